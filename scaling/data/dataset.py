"""A corpus as token arrays: the one thing that training needs from text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.data.cache import Request, find_or_build
from scaling.data.corpora import Options, find_source
from scaling.data.split import RULE
from scaling.data.tokenizer import Tokenizer, check_vocab
from scaling.data.tokenset import json_digest


@dataclass(frozen=True)
class Dataset:
    """Both splits of a corpus as token ids, and what they stand for.

    Attributes:
        name: the corpus, e.g. "python_source".
        fingerprint: 16 hex digits of the text of both splits in order, the tokenizer and the split rule.
            Losses of runs with different fingerprints are not comparable.
        vocab: every id is below it.
        train: (n,) memory-mapped ids, uint16 or uint32.
        heldout: (n,) the same.
        token_bytes: (vocab,) bytes of text that an id stands for; 0 for the end of a document. Their sum over
            a split is its text in bytes, to the byte, which makes bits per byte exact.
        facts: documents, bytes and tokens per split, what was dropped and why, where the text is from; JSON.
    """

    name: str
    fingerprint: str
    vocab: int
    train: NDArray[np.unsignedinteger[Any]]
    heldout: NDArray[np.unsignedinteger[Any]]
    token_bytes: NDArray[np.int64]
    facts: dict[str, Any]
    tokenizer: Tokenizer = field(repr=False)

    def decode(self, ids: Iterable[int]) -> str:
        """Text of `ids`. The end of a document is no text; half a character shows as U+FFFD."""
        return self.tokenizer.decode(ids)

    def encode(self, text: str) -> list[int]:
        """Ids of `text`, with no end of a document."""
        return self.tokenizer.encode(text)


def open_dataset(
    corpus: str,
    *,
    vocab: int,
    cache: str | Path,
    paths: Sequence[str] = (),
    field: str = "text",
    limit_bytes: int | None = None,
    heldout_fraction: float = 0.02,
    subset: str | None = None,
    split: str = "train",
    revision: str | None = None,
    verify: bool = False,
) -> Dataset:
    """The token arrays of a corpus, from the cache where its files are unchanged, and built there otherwise.

    Args:
        corpus: a name in `CORPORA`.
        vocab: 256 for raw bytes, or more for byte-level BPE of exactly that vocabulary.
        cache: folder of the token files; processes may share it.
        paths: `text`: files, folders or globs. `huggingface`: one hub name or local folder.
        field: the field or column that holds the text, in .jsonl, .parquet and `huggingface`.
        limit_bytes: stop after so much kept text, both splits together.
        heldout_fraction: expected fraction of the documents that is held out.
        subset: `huggingface`: the configuration of a data set that has several.
        split: `huggingface`: the split to read; the held-out documents are taken from it too.
        revision: `huggingface`: branch, tag or commit.
        verify: also hash cached token files, where otherwise only their sizes are compared.

    Raises:
        ValueError: for an option out of range, an unknown corpus, or a corpus that is empty.
        FileNotFoundError: for paths that name nothing.
        ModuleNotFoundError: naming the extra that installs a missing package.
    """
    check_vocab(vocab)
    if not 0 < heldout_fraction < 1:
        raise ValueError(f"heldout_fraction: must lie between 0 and 1; got {heldout_fraction!r}.")
    if limit_bytes is not None and limit_bytes < 1:
        raise ValueError(f"limit_bytes: must be positive, or absent for no limit; got {limit_bytes!r}.")
    options = Options(tuple(paths), field, subset, split, revision)
    source = find_source(corpus, options)
    request = Request(source, vocab, heldout_fraction, limit_bytes)
    found, facts = find_or_build(request, Path(cache), verify=verify)
    tokenizer = found.load_tokenizer()
    identity = {"rule": RULE, "content": found.content, "vocab": vocab, "tokenizer": tokenizer.digest}
    return Dataset(
        name=source.name,
        fingerprint=json_digest(identity)[:16],
        vocab=vocab,
        train=found.memory_map("train"),
        heldout=found.memory_map("heldout"),
        token_bytes=np.array([len(piece) for piece in tokenizer.table], dtype=np.int64),
        facts={**facts, "tokens": found.tokens},
        tokenizer=tokenizer,
    )
