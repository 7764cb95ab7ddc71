from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling.data.tokenizer import BpeTokenizer, ByteTokenizer, Tokenizer, check_vocab, train_bpe

SAMPLE = [Path(module.__file__ or "").read_bytes() for module in (json, subprocess)]
BPE = train_bpe(SAMPLE, 600)
TOKENIZERS: list[Tokenizer] = [ByteTokenizer(), BPE]

# Any text that a document may be, and text that looks like source more often.
texts = st.text(st.characters(codec="utf-8", exclude_characters="\0")) | st.text(" \n\t'_=.(){}abcs09é日")


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@given(text=texts)
def test_text_survives(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert all(0 <= i < tokenizer.vocab and i != tokenizer.end for i in ids)
    assert sum(len(tokenizer.table[i]) for i in ids) == len(text.encode())


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@given(documents=st.lists(texts, min_size=1, max_size=4))
def test_documents_are_encoded_as_texts_each_with_an_end(tokenizer: Tokenizer, documents: list[str]) -> None:
    """For BPE this holds our splitting into words to the library's, on every string."""
    expected = [i for text in documents for i in [*tokenizer.encode(text), tokenizer.end]]
    assert tokenizer.encode_documents([t.encode() for t in documents]).tolist() == expected


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_no_documents_are_no_ids(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode_documents([]).tolist() == []


def test_a_vocabulary_is_exact() -> None:
    assert BPE.vocab == len(BPE.table) == 600
    assert len(set(BPE.table)) == 600
    assert BPE.end == 599
    assert BPE.table[BPE.end] == b""


def test_merges_pay() -> None:
    text = SAMPLE[0].decode()
    assert len(BPE.encode(text)) < 0.6 * len(ByteTokenizer().encode(text))


def test_text_that_spells_a_special_token_is_text() -> None:
    assert BPE.end not in BPE.encode("<|endoftext|>")


def test_wide_vocabularies_get_wide_ids() -> None:
    model = json.loads(BPE.state)
    model["model"]["vocab"] |= {f"extra{i}": 599 + i for i in range(70_000)}
    assert BpeTokenizer(json.dumps(model).encode()).dtype == np.dtype("<u4")
    assert BPE.dtype == np.dtype("<u2")


def test_cached_words_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scaling.data.tokenizer.CACHED_WORDS", 3)
    tokenizer = BpeTokenizer(BPE.state)
    for document in (b"one two three four five", b"six one"):
        assert tokenizer.encode_documents([document]).tolist() == [*BPE.encode(document.decode()), BPE.end]
    assert len(tokenizer._ids_of) == 3  # the end, "six" and " one"


def test_half_a_character_is_shown_as_such() -> None:
    assert ByteTokenizer().decode("é".encode()[:1]) == "�"


@pytest.mark.parametrize("threads", ["1", "3"])
def test_threads_change_no_merge(threads: str) -> None:
    code = (
        "import json, subprocess, pathlib\n"
        "from scaling.data.tokenizer import train_bpe\n"
        "sample = [pathlib.Path(m.__file__).read_bytes() for m in (json, subprocess)]\n"
        "print(train_bpe(sample, 600).digest)"
    )
    env = {**os.environ, "RAYON_NUM_THREADS": threads, "TOKENIZERS_PARALLELISM": str(threads != "1").lower()}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == BPE.digest


def test_a_vocabulary_that_the_text_cannot_fill_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"supports a BPE vocabulary of at most 259, not 1000: no further pair"
    ):
        train_bpe([b"abc abc"], 1000)
    assert train_bpe([b"abc abc"], 259).vocab == 259


@pytest.mark.parametrize("vocab", [-1, 0, 255])
def test_too_small_a_vocabulary_is_refused(vocab: int) -> None:
    with pytest.raises(
        ValueError, match=rf"vocab: {vocab} is too small\. Legal: 256 for raw bytes, or 257 and"
    ):
        check_vocab(vocab)


def test_the_least_vocabularies_are_legal() -> None:
    check_vocab(256)
    check_vocab(257)
    assert train_bpe([b"a"], 257).encode("a") == [BPE.encode("a")[0]]


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(
        ModuleNotFoundError, match=r"needs the package tokenizers: pip install 'scaling-harness\[train"
    ):
        train_bpe([b"a"], 300)
