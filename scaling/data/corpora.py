"""The corpora by name, and how one is opened."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.data.cache import Request, find_or_build
from scaling.data.dataset import Dataset, TokenDataset
from scaling.data.generated import open_generated
from scaling.data.huggingface import huggingface
from scaling.data.layout import Layout
from scaling.data.options import DataOptions
from scaling.data.pairs import find_separator, pair_files
from scaling.data.python_source import python_source
from scaling.data.rows import PairDataset
from scaling.data.source import Source
from scaling.data.split import RULE
from scaling.data.text import text_files
from scaling.data.tokenizer import check_vocab
from scaling.data.tokenset import DamagedSet, TokenSet, json_digest, open_set, read_set
from scaling.data.truth.sources import SOURCES
from scaling.registry import Registry

logger = logging.getLogger(__name__)


def _python_source(options: DataOptions) -> Source:
    if options.paths:
        raise ValueError(
            f"corpus 'python_source' takes no paths; got {list(options.paths)}. "
            "For text of your own, use corpus 'text'."
        )
    return python_source()


@dataclass(frozen=True)
class Corpus:
    """A corpus of text: its name, and where its documents are found, by the options of `data`.

    >>> from scaling.data.source import Document, FileStamp, Source
    >>> def lines(options):
    ...     text = [Document(str(i), f"line {i}".encode()) for i in range(9)]
    ...     return Source("lines", "in memory", (FileStamp("lines", 9, 0),), lambda: iter(text))
    >>> Corpus("lines", lines).name
    'lines'
    """

    name: str
    find: Callable[[DataOptions], Source]


CORPORA: Registry[Corpus] = Registry(
    "corpus",
    "data.corpus",
    {
        corpus.name: corpus
        for corpus in (
            Corpus("python_source", _python_source),
            Corpus("text", lambda options: text_files(options.paths, options.field)),
            Corpus("pairs", lambda options: pair_files(options.paths, options.field)),
            Corpus(
                "huggingface",
                lambda options: huggingface(
                    options.paths, options.field, options.subset, options.split, options.revision
                ),
            ),
        )
    },
)


def find_source(options: DataOptions) -> Source:
    """Find the files of a corpus of text.

    Raises:
        ValueError: for a name that is not in `CORPORA`, or options that the corpus cannot use.
        FileNotFoundError: for paths that name nothing.
    """
    if options.corpus not in CORPORA:
        known = ", ".join(sorted([*CORPORA, *SOURCES]))
        raise ValueError(f"no corpus {options.corpus!r}. There are: {known}.")
    return CORPORA[options.corpus].find(options)


def open_dataset(options: DataOptions, cache: str | Path) -> Dataset:
    """Open a corpus: a generated one, or token arrays, from the cache where its files are unchanged.

    Every byte of a cached file is checked when a process first opens it; a damaged set is built again.

    Args:
        cache: folder of the token files, made there where they are missing; processes may share it.

    Raises:
        ValueError: for an option out of range, an unknown corpus, or a corpus that is empty.
        FileNotFoundError: for paths that name nothing.
        ModuleNotFoundError: naming the extra that installs a missing package.
    """
    if options.corpus in SOURCES:
        if options.train_tokens is not None:
            raise ValueError(
                f"data.train_tokens: corpus {options.corpus!r} is generated and never repeats; give null."
            )
        return open_generated(options.corpus, options.vocab, dict(options.settings))
    _check(options)
    source = find_source(options)
    request = Request(source, options.vocab, options.heldout_fraction, options.limit_bytes)
    found, facts = find_or_build(request, Path(cache).expanduser())
    return _of_set(source.name, found, facts, options.train_tokens)


def reopen_dataset(options: DataOptions, fingerprint: str, cache: str | Path) -> Dataset | None:
    """Open the text of this fingerprint where the cache still has it, whatever became of its files."""
    for folder in sorted(Path(cache).expanduser().glob(f"{options.corpus}-{options.vocab}-*")):
        try:
            told, _ = read_set(folder)
            if identify(told.content, told.vocab, told.tokenizer_digest) == fingerprint:
                return _of_set(options.corpus, open_set(folder), {}, None)
        except FileNotFoundError:
            continue
        except DamagedSet as error:
            logger.warning("%s; the text is read again", error)
    return None


def identify(content: str, vocab: int, tokenizer: str) -> str:
    """The fingerprint of a text of this content, as `Tally.content` hashes it, in these tokens."""
    identity = {"rule": RULE, "content": content, "vocab": vocab, "tokenizer": tokenizer}
    return json_digest(identity)[:16]


def _check(options: DataOptions) -> None:
    """
    Raises:
        ValueError: for an option of a text that is out of range.
    """
    if options.settings:
        raise ValueError(
            f"data.settings: corpus {options.corpus!r} is text and has none; got {dict(options.settings)}. "
            "They belong to a generated corpus."
        )
    check_vocab(options.vocab)
    if not 0 < options.heldout_fraction < 1:
        raise ValueError(f"heldout_fraction: must lie between 0 and 1; got {options.heldout_fraction!r}.")
    if options.limit_bytes is not None and options.limit_bytes < 1:
        raise ValueError(
            f"limit_bytes: must be positive, or absent for no limit; got {options.limit_bytes!r}."
        )


def _of_set(name: str, found: TokenSet, facts: dict[str, Any], train_tokens: int | None) -> Dataset:
    tokenizer = found.load_tokenizer()
    pairs = name == "pairs"
    kind = PairDataset if pairs else TokenDataset
    return kind(
        name=name,
        fingerprint=identify(found.content, tokenizer.vocab, tokenizer.digest),
        layout=Layout(found.vocab, find_separator(tokenizer) if pairs else None),
        train=_first(found.memory_map("train"), train_tokens),
        heldout=found.memory_map("heldout"),
        token_bytes=np.array([len(piece) for piece in tokenizer.table], dtype=np.int64),
        facts={**facts, "tokens": found.tokens},
        tokenizer=tokenizer,
    )


def _first(ids: NDArray[np.unsignedinteger[Any]], tokens: int | None) -> NDArray[np.unsignedinteger[Any]]:
    if tokens is not None and tokens > len(ids):
        raise ValueError(
            f"data.train_tokens: the training split has {len(ids):,} tokens; got {tokens:,}. "
            "Ask for fewer, or give more text."
        )
    return ids[:tokens]
