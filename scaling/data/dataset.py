"""A corpus as training needs it: rows of ids by (seed, step), a fixed held-out set, what ids stand for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.data.batches import Batches, WindowBatches, heldout_batches
from scaling.data.cache import Request, find_or_build
from scaling.data.corpora import Options, find_source
from scaling.data.layout import Ids, Layout
from scaling.data.pairs import find_separator
from scaling.data.split import RULE
from scaling.data.tokenizer import Tokenizer, check_vocab
from scaling.data.tokenset import DamagedSet, TokenSet, json_digest, open_set
from scaling.data.truth.law import Truth
from scaling.data.truth.sources import SOURCES


@dataclass(frozen=True, kw_only=True)
class Dataset(ABC):
    """What training needs of a corpus, read or generated.

    Attributes:
        name: the corpus, e.g. "python_source".
        fingerprint: 16 hex digits of everything that decides its rows. Losses of runs with different
            fingerprints are not comparable.
        layout: how its rows are to be read.
        token_bytes: (vocab,) bytes of text that an id stands for; 0 for the end of a document, and for all
            ids of a corpus that is no text. Their sum over a split is its text in bytes, to the byte, which
            makes bits per byte exact.
        facts: what to tell a reader of a report about where it is from; JSON.
        tokenizer: None where ids are not text.
        truth: what is known of a generated corpus.
    """

    name: str
    fingerprint: str
    layout: Layout
    token_bytes: NDArray[np.int64]
    facts: dict[str, Any]
    tokenizer: Tokenizer | None = field(default=None, repr=False)
    truth: Truth | None = None

    @property
    def vocab(self) -> int:
        return self.layout.vocab

    @abstractmethod
    def batches(self, context: int, sequences: int, seed: int) -> Batches:
        """Training batches of `sequences` rows of `context` + 1 ids."""

    @abstractmethod
    def heldout_batches(self, context: int, sequences: int, tokens: int | None = None) -> list[Ids]:
        """A fixed held-out set of about `tokens` tokens, the same in every run with the same sizes.

        Raises:
            ValueError: when the corpus cannot fill one batch.
        """

    def row_tokens(self, context: int) -> float:
        """Tokens of a training row, on average."""
        return context

    def reading(self, context: int) -> float:
        """Tokens that a model reads for each one that counts as a token of D."""
        return 1.0

    def decode(self, ids: Iterable[int]) -> str:
        """Text of `ids`. The end of a document is no text; half a character shows as U+FFFD.

        Raises:
            ValueError: for a corpus that is no text.
        """
        return self._text().decode(ids)

    def encode(self, text: str) -> list[int]:
        """Ids of `text`, with no end of a document.

        Raises:
            ValueError: for a corpus that is no text.
        """
        return self._text().encode(text)

    def _text(self) -> Tokenizer:
        if self.tokenizer is None:
            raise ValueError(f"corpus {self.name!r} is generated: its ids stand for no text.")
        return self.tokenizer


@dataclass(frozen=True, kw_only=True)
class TokenDataset(Dataset):
    """Both splits of a text as one stream of ids each: (n,) memory-mapped, uint16 or uint32."""

    train: NDArray[np.unsignedinteger[Any]]
    heldout: NDArray[np.unsignedinteger[Any]]

    def batches(self, context: int, sequences: int, seed: int) -> Batches:
        return WindowBatches(self.train, context=context, sequences=sequences, seed=seed)

    def heldout_batches(self, context: int, sequences: int, tokens: int | None = None) -> list[Ids]:
        return heldout_batches(self.heldout, context, sequences, tokens)


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
    settings: Mapping[str, float] | None = None,
    train_tokens: int | None = None,
    verify: bool = False,
) -> Dataset:
    """The token arrays of a corpus, from the cache where its files are unchanged, and built there otherwise.

    Args:
        corpus: a name in `CORPORA`, or in `SOURCES` for a generated one.
        vocab: 256 for raw bytes, or more for byte-level BPE of exactly that vocabulary.
        cache: folder of the token files; processes may share it.
        paths: `text` and `pairs`: files, folders or globs. `huggingface`: one hub name or local folder.
        field: the field or column that holds the text, in .jsonl, .parquet and `huggingface`; of `pairs`, the
            two fields of .jsonl, as in "source,target".
        limit_bytes: stop after so much kept text, both splits together.
        heldout_fraction: expected fraction of the documents that is held out.
        subset: `huggingface`: the configuration of a data set that has several.
        split: `huggingface`: the split to read; the held-out documents are taken from it too.
        revision: `huggingface`: branch, tag or commit.
        settings: numbers that decide a generated corpus; text has none.
        train_tokens: only the first so many tokens of the training split, to study their repetition; the
            held-out split and the fingerprint stay what they are.
        verify: also hash cached token files, where otherwise only their sizes are compared.

    Raises:
        ValueError: for an option out of range, an unknown corpus, or a corpus that is empty.
        FileNotFoundError: for paths that name nothing.
        ModuleNotFoundError: naming the extra that installs a missing package.
    """
    if corpus in SOURCES:
        # Here, because a generated corpus is a Dataset too.
        from scaling.data.truth.generated import open_generated

        if train_tokens is not None:
            raise ValueError(
                f"data.train_tokens: corpus {corpus!r} is generated and never repeats; give null."
            )
        return open_generated(corpus, vocab, settings or {})
    if settings:
        raise ValueError(
            f"data.settings: corpus {corpus!r} is text and has none; got {dict(settings)}. "
            "They belong to a generated corpus."
        )
    check_vocab(vocab)
    if not 0 < heldout_fraction < 1:
        raise ValueError(f"heldout_fraction: must lie between 0 and 1; got {heldout_fraction!r}.")
    if limit_bytes is not None and limit_bytes < 1:
        raise ValueError(f"limit_bytes: must be positive, or absent for no limit; got {limit_bytes!r}.")
    options = Options(tuple(paths), field, subset, split, revision)
    source = find_source(corpus, options)
    request = Request(source, vocab, heldout_fraction, limit_bytes)
    found, facts = find_or_build(request, Path(cache), verify=verify)
    return _of_set(source.name, found, facts, train_tokens)


def reopen_dataset(corpus: str, fingerprint: str, *, vocab: int, cache: str | Path) -> Dataset | None:
    """The text of this fingerprint, where the cache still has it, whatever became of the files it is from."""
    for folder in sorted(Path(cache).glob(f"{corpus}-{vocab}-*")):
        try:
            found = open_set(folder, verify=False)
        except (FileNotFoundError, DamagedSet):
            continue
        if identify(found.content, found.load_tokenizer()) == fingerprint:
            return _of_set(corpus, found, {}, None)
    return None


def _of_set(name: str, found: TokenSet, facts: dict[str, Any], train_tokens: int | None) -> Dataset:
    tokenizer = found.load_tokenizer()
    kind, separator = TokenDataset, None
    if name == "pairs":
        from scaling.data.rows import PairDataset

        kind, separator = PairDataset, find_separator(tokenizer)
    return kind(
        name=name,
        fingerprint=identify(found.content, tokenizer),
        layout=Layout(found.vocab, separator),
        train=_first(found.memory_map("train"), train_tokens),
        heldout=found.memory_map("heldout"),
        token_bytes=np.array([len(piece) for piece in tokenizer.table], dtype=np.int64),
        facts={**facts, "tokens": found.tokens},
        tokenizer=tokenizer,
    )


def identify(content: str, tokenizer: Tokenizer) -> str:
    """The fingerprint of a text of this content, as `Tally.content` hashes it, in these tokens."""
    identity = {"rule": RULE, "content": content, "vocab": tokenizer.vocab, "tokenizer": tokenizer.digest}
    return json_digest(identity)[:16]


def _first(ids: NDArray[np.unsignedinteger[Any]], tokens: int | None) -> NDArray[np.unsignedinteger[Any]]:
    if tokens is not None and tokens > len(ids):
        raise ValueError(
            f"data.train_tokens: the training split has {len(ids):,} tokens; got {tokens:,}. "
            "Ask for fewer, or give more text."
        )
    return ids[:tokens]
