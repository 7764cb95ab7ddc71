from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from scaling.data import cache as cache_module
from scaling.data import tokenset
from scaling.data.corpora import open_dataset
from scaling.data.options import DataOptions
from scaling.data.source import Document, FileStamp, Source
from scaling.data.tokenset import DamagedSet, open_set
from scaling.records.storage import Lock
from tests.data.conftest import Opener, write_documents

VOCABS = pytest.mark.parametrize("vocab", [256, 300])


def sets(cache: Path) -> list[Path]:
    return sorted(path for path in cache.iterdir() if path.name != "listings")


def builds(caplog: pytest.LogCaptureFixture) -> int:
    return sum("tokenised" in record.message for record in caplog.records)


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="scaling.data")


@VOCABS
def test_tokens_are_the_text(corpus: Path, open_text: Opener, vocab: int) -> None:
    data = open_text(corpus, vocab=vocab)
    texts = {path.read_text() for path in corpus.iterdir()}
    end = data.tokenizer.end
    found = []
    for split, ids in (("train", data.train), ("heldout", data.heldout)):
        assert ids.dtype == np.uint16
        assert ids[-1] == end
        assert int(ids.max()) < vocab
        assert data.facts["tokens"][split] == len(ids)
        assert data.facts["documents"][split] == int((ids == end).sum())
        assert data.facts["bytes"][split] == int(data.token_bytes[ids].sum())
        found += [data.decode(part) for part in np.split(ids, np.flatnonzero(ids == end) + 1)[:-1]]
    assert len(found) == len(texts) == 40
    assert set(found) == texts
    assert data.decode(data.encode("loss é")) == "loss é"
    assert isinstance(data.train, np.memmap)
    assert not data.train.flags.writeable


def test_ids_do_not_depend_on_how_text_is_chunked(
    corpus: Path, open_text: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = open_text(corpus, vocab=300)
    shutil.rmtree(tmp_path / "cache")
    monkeypatch.setattr(tokenset, "CHUNK_BYTES", 1)
    chunked = open_text(corpus, vocab=300)
    assert (whole.train == chunked.train).all()
    assert (whole.heldout == chunked.heldout).all()
    assert whole.fingerprint == chunked.fingerprint


@VOCABS
def test_unchanged_files_are_not_read_again(
    corpus: Path, open_text: Opener, vocab: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_text(corpus, vocab=vocab)
    monkeypatch.setattr(cache_module, "split_documents", lambda *_, **__: pytest.fail("read the corpus"))
    monkeypatch.setitem(sys.modules, "tokenizers", None)  # nor is the tokenizer's library needed
    again = open_text(corpus, vocab=vocab)
    assert again.fingerprint == first.fingerprint
    assert again.facts == first.facts
    assert (again.train == first.train).all()


def test_touched_files_are_read_again_and_found_the_same(
    corpus: Path, open_text: Opener, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = open_text(corpus)
    os.utime(corpus / "003.txt", (1, 1))
    assert open_text(corpus).fingerprint == first.fingerprint
    assert builds(caplog) == 1
    assert len(sets(tmp_path / "cache")) == 1


def test_a_changed_file_makes_another_set(corpus: Path, open_text: Opener, tmp_path: Path) -> None:
    first = open_text(corpus)
    (corpus / "003.txt").write_text("something else\n" * 20)
    changed = open_text(corpus)
    assert changed.fingerprint != first.fingerprint
    assert len(sets(tmp_path / "cache")) == 2
    assert first.decode(first.train[:8]) == "document"  # the old set stays usable


def test_the_fingerprint_is_of_content_not_of_places(corpus: Path, open_text: Opener, tmp_path: Path) -> None:
    first = open_text(corpus, vocab=300)
    moved = tmp_path / "elsewhere"
    shutil.copytree(corpus, moved)
    shutil.rmtree(tmp_path / "cache")
    assert open_text(moved, vocab=300).fingerprint == first.fingerprint
    assert len(first.fingerprint) == 16


def test_everything_that_changes_ids_changes_the_fingerprint(corpus: Path, open_text: Opener) -> None:
    options: list[dict[str, object]] = [
        {},
        {"vocab": 300},
        {"vocab": 301},
        {"heldout_fraction": 0.5},
        {"limit_bytes": 20_000},
    ]
    assert len({open_text(corpus, **option).fingerprint for option in options}) == len(options)


def test_a_limit_that_does_not_bind_changes_nothing(
    corpus: Path, open_text: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    free, loose = open_text(corpus), open_text(corpus, limit_bytes=10**9)
    assert loose.fingerprint == free.fingerprint
    assert builds(caplog) == 1
    tight = open_text(corpus, limit_bytes=20_000)
    assert tight.facts["limited"]
    assert not loose.facts["limited"]
    assert 20_000 <= sum(tight.facts["bytes"].values()) < 22_000


def damage_truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2])


def damage_flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def damage_remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("damage", [damage_truncate, damage_flip, damage_remove])
@pytest.mark.parametrize("name", ["train.bin", "heldout.bin", "tokenizer.json", "dataset.json"])
def test_a_damaged_set_is_built_again(
    corpus: Path,
    open_text: Opener,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    name: str,
    damage: object,
) -> None:
    first = open_text(corpus, vocab=300)
    train, heldout = first.train.tolist(), first.heldout.tolist()
    (folder,) = sets(tmp_path / "cache")
    damage(folder / name)  # type: ignore[operator]
    again = open_text(corpus, vocab=300)
    assert builds(caplog) == 2
    assert again.fingerprint == first.fingerprint
    assert again.train.tolist() == train
    assert again.heldout.tolist() == heldout
    if name != "dataset.json" or damage is not damage_remove:  # a set never finished is not damaged
        assert any(
            name in record.message and "building it again" in record.message for record in caplog.records
        )


def test_a_file_of_another_size_is_named(
    corpus: Path, open_text: Opener, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    size = open_text(corpus).train.nbytes
    (folder,) = sets(tmp_path / "cache")
    damage_truncate(folder / "train.bin")
    with pytest.raises(DamagedSet, match=rf"train\.bin: {size - 2:,} bytes, should have {size:,}"):
        open_set(folder)
    open_text(corpus)
    assert builds(caplog) == 2


@pytest.mark.parametrize("damage", [damage_truncate, damage_flip])
def test_a_damaged_listing_is_written_again(
    corpus: Path, open_text: Opener, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: object
) -> None:
    first = open_text(corpus)
    (listing,) = (tmp_path / "cache" / "listings").iterdir()
    before = listing.read_bytes()
    damage(listing)  # type: ignore[operator]
    assert open_text(corpus).facts == first.facts
    assert listing.read_bytes() == before
    assert builds(caplog) == 1
    assert any("reading the text again" in record.message for record in caplog.records)


def test_a_set_of_another_schema_is_not_believed(
    corpus: Path, open_text: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_text(corpus)
    (folder,) = sets(tmp_path / "cache")
    monkeypatch.setattr(tokenset, "SCHEMA", 2)
    with pytest.raises(DamagedSet, match=r"dataset\.json: damaged \(this version reads schema 2\)"):
        open_set(folder)


PROGRAM = """
import logging, sys
from scaling.data.corpora import open_dataset
from scaling.data.options import DataOptions
logging.basicConfig(level=logging.INFO)
data = open_dataset(DataOptions("text", 340, (sys.argv[2],), heldout_fraction=0.2), sys.argv[1])
print(data.fingerprint, int(data.train.sum()), int(data.heldout.sum()))
"""


def test_of_processes_that_build_at_once_one_builds(tmp_path: Path) -> None:
    corpus, cache = write_documents(tmp_path / "many", count=400), tmp_path / "cache"
    command = [sys.executable, "-c", PROGRAM, str(cache), str(corpus)]
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)
    ]
    outcomes = [process.communicate(timeout=60) for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], outcomes
    assert len({out for out, _ in outcomes}) == 1
    assert sum(err.count("tokenised") for _, err in outcomes) == 1
    (folder,) = sets(cache)
    open_set(folder)


def test_who_comes_second_waits(
    corpus: Path, open_text: Opener, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = open_text(corpus)
    (folder,) = sets(tmp_path / "cache")
    shutil.rmtree(tmp_path / "cache" / "listings")
    lock = Lock(folder / "lock")
    lock.__enter__()
    threading.Timer(0.3, lock.__exit__, (None, None, None)).start()
    started = time.monotonic()
    assert open_text(corpus).fingerprint == first.fingerprint
    assert time.monotonic() - started >= 0.2
    assert sum("waiting for another process" in record.message for record in caplog.records) == 1
    assert builds(caplog) == 1


CRASH = """
import os, sys
from scaling.data import tokenset
from scaling.data.corpora import open_dataset
from scaling.data.options import DataOptions
tokenset.write_json = lambda *_: os._exit(9)  # dies with the token files written, the set not finished
open_dataset(DataOptions("text", 256, (sys.argv[2],), heldout_fraction=0.2), sys.argv[1])
"""


def test_a_build_that_died_is_built_again(
    corpus: Path, open_text: Opener, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    done = subprocess.run([sys.executable, "-c", CRASH, str(tmp_path / "cache"), str(corpus)], check=False)
    assert done.returncode == 9
    (folder,) = sets(tmp_path / "cache")
    (folder / ".tmp-123-dead").write_bytes(b"left by a killed writer")
    data = open_text(corpus)
    assert sum(data.facts["documents"].values()) == 40
    assert sorted(p.name for p in folder.iterdir()) == ["dataset.json", "heldout.bin", "lock", "train.bin"]


def test_documents_that_change_under_the_reader_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = iter(range(2))

    def documents() -> Iterator[Document]:
        now = next(passes)
        return (Document(str(i), f"{i} {now}".encode()) for i in range(50))

    source = Source("text", "a test", (FileStamp("f", 1, 1),), documents)
    monkeypatch.setattr("scaling.data.corpora.find_source", lambda *_: source)
    with pytest.raises(
        RuntimeError, match=r"corpus 'text': documents changed while they were read \(50 kept"
    ):
        open_dataset(DataOptions("text", 256), tmp_path / "cache")
    with closing(os.scandir(sets(tmp_path / "cache")[0])) as left:
        assert [entry.name for entry in left] == ["lock"]
