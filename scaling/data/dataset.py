"""A corpus as training needs it: rows of ids by (seed, step), a fixed held-out set, what ids stand for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.data.batches import Batches, WindowBatches, heldout_batches
from scaling.data.layout import Ids, Layout
from scaling.data.sizes import BatchSizes
from scaling.data.tokenizer import Tokenizer
from scaling.data.truth.law import Truth


@dataclass(frozen=True, kw_only=True)
class Dataset(ABC):
    """What training needs of a corpus, read or generated.

    Attributes:
        name: the corpus, e.g. "python_source".
        fingerprint: 16 hex digits of everything that decides its rows. Losses of runs with different
            fingerprints are not comparable.
        layout: how its rows are to be read.
        token_bytes: (vocab,) bytes of text that an id stands for; 0 for the end of a document, and for all
            ids of a corpus that is not text. Their sum over a split is its text in bytes, to the byte, which
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
    def batches(self, context: int, sequences: int | BatchSizes, seed: int) -> Batches:
        """Training batches of `sequences` rows of `context` + 1 ids."""

    @abstractmethod
    def heldout_batches(self, context: int, sequences: int, tokens: int | None = None) -> list[Ids]:
        """A fixed held-out set of about `tokens` tokens, the same in every run with the same sizes.

        Raises:
            ValueError: when the corpus cannot fill one batch.
        """

    def heldout_sets(self) -> dict[str, Dataset]:
        """The sets that a loss on this corpus is the mean over, by name; none where it is one set."""
        return {}

    def row_tokens(self, context: int) -> float:
        """Tokens of a training row, on average."""
        return context

    def reading(self, context: int) -> float:
        """Tokens that a model reads for each one that counts as a token of D."""
        return 1.0

    def decode(self, ids: Iterable[int]) -> str:
        """Text of `ids`. The end of a document is no text; half a character shows as U+FFFD.

        Raises:
            ValueError: for a corpus that is not text.
        """
        return self._text().decode(ids)

    def encode(self, text: str) -> list[int]:
        """Ids of `text`, with no end of a document.

        Raises:
            ValueError: for a corpus that is not text.
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

    def batches(self, context: int, sequences: int | BatchSizes, seed: int) -> Batches:
        return WindowBatches(self.train, context=context, sequences=sequences, seed=seed)

    def heldout_batches(self, context: int, sequences: int, tokens: int | None = None) -> list[Ids]:
        return heldout_batches(self.heldout, context, sequences, tokens)
