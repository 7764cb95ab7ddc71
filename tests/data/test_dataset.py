from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from scaling.data.corpora import open_dataset
from scaling.data.options import DataOptions
from tests.data.conftest import Opener, write_documents


def test_an_unknown_corpus_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"no corpus 'books'\. There are: huggingface, mixture, pairs, python_source, text,"
    ):
        open_dataset(DataOptions("books", 256), tmp_path)


def test_python_source_takes_no_paths(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"corpus 'python_source' takes no paths; got \['a'\].*use corpus 'text'"
    ):
        open_dataset(DataOptions("python_source", 256, ("a",)), tmp_path)


@pytest.mark.parametrize("fraction", [0, 1, -0.1, float("nan")])
def test_a_fraction_is_between_0_and_1(open_text: Opener, fraction: float) -> None:
    with pytest.raises(ValueError, match="heldout_fraction: must lie between 0 and 1; got"):
        open_text("x.txt", heldout_fraction=fraction)


def test_a_limit_is_positive(open_text: Opener) -> None:
    with pytest.raises(ValueError, match=r"limit_bytes: must be positive, or absent for no limit; got 0\."):
        open_text("x.txt", limit_bytes=0)


def test_a_vocabulary_is_checked_before_anything_is_read(open_text: Opener) -> None:
    with pytest.raises(ValueError, match="vocab: 100 is too small"):
        open_text("no such file", vocab=100)


def test_an_empty_corpus_says_what_was_found(tmp_path: Path, open_text: Opener) -> None:
    for name, content in (("a.txt", b""), ("b.txt", b"\xff"), ("c.txt", b"\0"), ("d.txt", b"")):
        (tmp_path / name).write_bytes(content)
    match = (
        r"corpus 'text' is empty: of 4 documents none is kept: 2 empty, 1 not UTF-8, 1 with a NUL byte\. "
        r"Looked in '.*\*\.txt' \(current folder: .*\)\."
    )
    with pytest.raises(ValueError, match=match):
        open_text(tmp_path / "*.txt")


def test_an_empty_split_says_what_to_do(tmp_path: Path, open_text: Opener) -> None:
    corpus = write_documents(tmp_path / "few", count=2)
    with pytest.raises(
        ValueError, match=r"none of its 2 documents is held out at data.heldout_fraction=0.001"
    ):
        open_text(corpus, heldout_fraction=0.001)
    with pytest.raises(ValueError, match=r"all of its 2 documents are held out .* Lower it, or give more"):
        open_text(corpus, heldout_fraction=0.999)


def test_the_fraction_that_is_advised_holds_out_a_document(tmp_path: Path, open_text: Opener) -> None:
    corpus = write_documents(tmp_path / "many", count=59)
    with pytest.raises(ValueError, match="Use data") as told:
        open_text(corpus, heldout_fraction=1e-9)
    (advice,) = re.findall(r"Use data\.heldout_fraction=(0\.\d+)", str(told.value))
    facts = open_text(corpus, heldout_fraction=float(advice)).facts
    assert facts["documents"]["heldout"] >= 1


def test_one_document_is_not_split(tmp_path: Path, open_text: Opener) -> None:
    with pytest.raises(ValueError, match="one document, of which no part can be held out"):
        open_text(write_documents(tmp_path / "one", count=1))


def test_a_limit_that_leaves_nothing_to_hold_out_is_named(tmp_path: Path, open_text: Opener) -> None:
    corpus = write_documents(tmp_path / "many", count=59)
    with pytest.raises(
        ValueError, match=r"data\.limit_bytes=1 keeps 1 document and holds out none\. Raise it"
    ):
        open_text(corpus, heldout_fraction=1e-9, limit_bytes=1)


def test_a_missing_tokenizer_package_is_named_before_anything_is_read(
    corpus: Path, open_text: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    monkeypatch.setattr("scaling.data.cache.split_documents", lambda *_, **__: pytest.fail("read the corpus"))
    with pytest.raises(ModuleNotFoundError, match="other than 256 needs the package tokenizers"):
        open_text(corpus, vocab=300)


def test_opening_data_imports_nothing_that_it_does_not_need(corpus: Path, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from scaling.data.corpora import open_dataset\n"
        "from scaling.data.options import DataOptions\n"
        f"options = DataOptions('text', 256, ({str(corpus)!r},), heldout_fraction=0.2)\n"
        f"open_dataset(options, {str(tmp_path / 'cache')!r})\n"
        "heavy = {'torch', 'pandas', 'tokenizers', 'datasets', 'pyarrow', 'zstandard', 'hydra', 'wandb'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
