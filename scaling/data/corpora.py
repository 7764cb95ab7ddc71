"""The corpora by name, and how one is opened."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.data.cache import Request, find_or_build
from scaling.data.dataset import Dataset, TokenDataset
from scaling.data.generated import open_generated
from scaling.data.huggingface import huggingface
from scaling.data.layout import Layout
from scaling.data.mixture import MIXTURE, mix
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
        known = ", ".join(sorted([*CORPORA, *SOURCES, MIXTURE]))
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
    if options.corpus == MIXTURE or options.mixture:
        return _open_mixture(options, cache)
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


def _open_mixture(options: DataOptions, cache: str | Path) -> Dataset:
    """The domains of a mixture, in one vocabulary: the first's tokenizer serves all."""
    if options.corpus != MIXTURE or not options.mixture:
        raise ValueError(
            "data.mixture: goes with data=mixture, and that with domains, e.g. 'data.mixture={code: {weight: "
            "0.7, corpus: python_source}, prose: {weight: 0.3, corpus: text, paths: [books]}}'; got corpus "
            f"{options.corpus!r} and {len(options.mixture)} domains."
        )
    opened: list[Dataset] = []
    for domain in options.mixture:
        if domain.options.corpus in SOURCES or not opened:
            opened.append(open_dataset(domain.options, cache))
        else:
            opened.append(open_encoded(domain.options, opened[0], cache, heldout_only=False))
    return mix(options.mixture, opened)


def open_encoded(
    options: DataOptions, like: Dataset, cache: str | Path, *, heldout_only: bool = True
) -> Dataset:
    """Open a corpus in the tokens of another data set, e.g. to judge a model that was trained on that.

    Args:
        heldout_only: every document is held out; there is nothing to train on.

    Raises:
        ValueError: for an unknown corpus, an empty one, or one whose ids are not those of `like`.
    """
    if options.corpus in SOURCES:
        made = open_generated(options.corpus, options.vocab, dict(options.settings))
        if made.vocab != like.vocab:
            raise ValueError(f"corpus {options.corpus!r} has {made.vocab} ids, the model {like.vocab}.")
        return made
    if like.tokenizer is None:
        raise ValueError(f"corpus {options.corpus!r} is text, but the ids of corpus {like.name!r} are not.")
    _check(replace(options, vocab=like.vocab))
    fraction = 1.0 if heldout_only else options.heldout_fraction
    request = Request(
        *(find_source(options), like.vocab, fraction, options.limit_bytes, like.tokenizer, heldout_only)
    )
    found, facts = find_or_build(request, Path(cache).expanduser())
    return _of_set(options.corpus, found, facts, None if heldout_only else options.train_tokens)


_opened: dict[tuple[object, ...], Dataset] = {}  # held-out sets of this process, which many jobs ask for


def open_heldout(sets: Sequence[tuple[str, DataOptions]], like: Dataset, cache: str) -> dict[str, Dataset]:
    """Open further held-out sets, by name, in the tokens of a data set.

    Raises:
        ValueError, OSError, ImportError: as `open_encoded`, naming the set.
    """
    found = {}
    for name, options in sets:
        try:
            key = (options, like.fingerprint, cache)
            if key not in _opened:
                _opened[key] = open_encoded(options, like, cache)
            found[name] = _opened[key]
        except (ValueError, OSError) as error:
            raise type(error)(f"data.heldout.{name}: {error}") from error
    return found


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
        train=_first(found.memory_map("train"), train_tokens) if found.tokens["train"] else _NOTHING,
        heldout=found.memory_map("heldout"),
        token_bytes=np.array([len(piece) for piece in tokenizer.table], dtype=np.int64),
        facts={**facts, "tokens": found.tokens},
        tokenizer=tokenizer,
    )


_NOTHING = np.empty(0, dtype=np.uint16)


def _first(ids: NDArray[np.unsignedinteger[Any]], tokens: int | None) -> NDArray[np.unsignedinteger[Any]]:
    if tokens is not None and tokens > len(ids):
        raise ValueError(
            f"data.train_tokens: the training split has {len(ids):,} tokens; got {tokens:,}. "
            "Ask for fewer, or give more text."
        )
    return ids[:tokens]
