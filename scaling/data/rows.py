"""Rows of their own length, a document each: batches of pairs, padded on the right."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scaling.data.batches import Batches, Shuffle
from scaling.data.dataset import TokenDataset
from scaling.data.layout import NOTHING, Ids, TokenArray
from scaling.data.sizes import BatchSizes, batch_sizes

SPARED = 0.1  # part of the rows that may be too long for the context, and is left out

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rows:
    """Documents of a token array: places (n,) of their first ids, and their lengths (n,)."""

    ids: TokenArray
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]  # the end of a document included

    def gather(self, rows: NDArray[np.int64], width: int) -> Ids:
        """(rows, width) ids, `NOTHING` behind the end of a row."""
        place = np.arange(width)
        inside = place < self.lengths[rows, None]
        reach = np.where(inside, self.starts[rows, None] + place, self.starts[rows, None])
        return np.where(inside, self.ids[reach].astype(np.int64), NOTHING)


class RowBatches(Batches):
    """Batches of whole rows. A row of n + 1 ids counts as n tokens, as a window does."""

    def __init__(self, rows: Rows, *, context: int, sequences: int | BatchSizes, seed: int) -> None:
        self.rows, self.context, self.sizes = rows, context, batch_sizes(sequences)
        self._shuffle = Shuffle(len(rows.starts), self.sizes, seed)
        self._total = int((rows.lengths - 1).sum())

    def batch(self, step: int) -> Ids:
        """(sequences, context + 1) ids, `NOTHING` behind the end of a row."""
        return self.rows.gather(self._shuffle.batch(step), self.context + 1)

    def tokens(self, steps: int) -> int:
        """Tokens in the first `steps` batches, repeats included."""
        epochs, rest = divmod(self.sizes.rows(steps), len(self.rows.starts))
        return epochs * self._total + self._first(epochs, rest)

    def tokens_unique(self, steps: int) -> int:
        """Distinct tokens in the first `steps` batches."""
        served = self.sizes.rows(steps)
        return self._total if served >= len(self.rows.starts) else self._first(0, served)

    def epochs(self, steps: int) -> float:
        """How often the first `steps` batches go through the corpus; above 1, tokens repeat."""
        return self.sizes.rows(steps) / len(self.rows.starts)

    def _first(self, epoch: int, rows: int) -> int:
        order = self._shuffle.order(epoch)
        return int((self.rows.lengths[order[:rows]] - 1).sum())


@dataclass(frozen=True, kw_only=True)
class PairDataset(TokenDataset):
    """Rows `source separator target end`. The second side alone is predicted, but by a masked model."""

    def batches(self, context: int, sequences: int | BatchSizes, seed: int) -> Batches:
        return RowBatches(self._rows("train", context), context=context, sequences=sequences, seed=seed)

    def heldout_batches(self, context: int, sequences: int, tokens: int | None = None) -> list[Ids]:
        rows = self._rows("heldout", context)
        total = len(rows.starts)
        if total < sequences:
            raise ValueError(
                f"held-out split: {total:,} pairs of up to {context + 1} tokens are too few for one batch of "
                f"{sequences}. Hold out a larger fraction (data.heldout_fraction), or give more pairs."
            )
        batches = total // sequences
        if tokens is not None:
            mean = float((rows.lengths - 1).mean())
            batches = min(batches, max(1, round(tokens / mean / sequences)))
        chosen = np.arange(batches * sequences) * total // (batches * sequences)
        parts = np.split(chosen, batches)
        return [rows.gather(part, context + 1) for part in parts]

    def row_tokens(self, context: int) -> float:
        return float((self._rows("train", context).lengths - 1).mean())

    def _rows(self, split: str, context: int) -> Rows:
        """The pairs of a split that fit, in order.

        Raises:
            ValueError: when more than a tenth do not fit: the rest would be another corpus.
        """
        ids = self.train if split == "train" else self.heldout
        starts, lengths = self._documents[split]
        fit = lengths <= context + 1
        if fit.mean() < 1 - SPARED:
            raise ValueError(
                f"data.context: {(~fit).sum():,} of {len(fit):,} {split} pairs have more than context + 1 = "
                f"{context + 1} tokens, the longest {lengths.max()}. A context of "
                f"{int(np.quantile(lengths, 1 - SPARED / 10)) - 1} would hold nearly all."
            )
        if not fit.all():
            logger.warning(
                "%s: %d of %d %s pairs are longer than the context of %d tokens and are left out",
                self.name, (~fit).sum(), len(fit), split, context,
            )  # fmt: skip
        return Rows(ids, starts[fit], lengths[fit])

    @cached_property
    def _documents(self) -> dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]]:
        assert self.tokenizer is not None
        found: dict[str, Any] = {}
        for split, ids in (("train", self.train), ("heldout", self.heldout)):
            ends = np.flatnonzero(np.asarray(ids) == self.tokenizer.end)
            starts = np.concatenate([[0], ends[:-1] + 1])
            found[split] = starts, ends + 1 - starts
        return found
