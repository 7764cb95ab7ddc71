"""Windows of a token array as training batches and as a fixed held-out set."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from scaling.data.layout import Ids, TokenArray


class Batches(Protocol):
    """Training rows as a pure function of (seed, step): there is nothing to save and nothing to restore."""

    def batch(self, step: int) -> Ids:
        """(sequences, context + 1) ids, `NOTHING` behind the end of a shorter row."""

    def tokens(self, steps: int) -> int:
        """Tokens in the first `steps` batches, repeats included."""

    def tokens_unique(self, steps: int) -> int:
        """Distinct tokens in the first `steps` batches."""

    def epochs(self, steps: int) -> float:
        """How often the first `steps` batches go through the corpus; above 1, tokens repeat."""


class Shuffle:
    """Which rows a step takes: each epoch takes every row once, in an order of its own.

    A batch may hold the end of one epoch and the start of the next.
    """

    def __init__(self, rows: int, sequences: int, seed: int) -> None:
        self.rows, self.sequences, self.seed = rows, sequences, seed
        self._orders: dict[int, NDArray[np.int64]] = {}

    def batch(self, step: int) -> NDArray[np.int64]:
        """Rows (sequences,) of a step, counted from 0."""
        if step < 0:
            raise ValueError(f"step: counted from 0; got {step}.")
        places = np.arange(step * self.sequences, (step + 1) * self.sequences)
        epochs, places = np.divmod(places, self.rows)
        return np.concatenate([self.order(int(e))[places[epochs == e]] for e in np.unique(epochs)])

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Every row, as this epoch takes them."""
        if epoch not in self._orders:
            # Steps go forward, and a batch may straddle two epochs: older orders are not asked for again.
            self._orders = {e: order for e, order in self._orders.items() if e == epoch - 1}
            self._orders[epoch] = np.random.default_rng([self.seed, epoch]).permutation(self.rows)
        return self._orders[epoch]


class WindowBatches:
    """Batches of equal windows, of `context` predicted tokens, that the array is cut into."""

    def __init__(self, tokens: TokenArray, *, context: int, sequences: int, seed: int) -> None:
        """
        Args:
            tokens: (n,) token ids.
            context: tokens predicted per sequence.
            sequences: sequences per batch.
            seed: fixes the order of windows in every epoch.

        Raises:
            ValueError: when `tokens` does not fill one window, or a size is not positive.
        """
        self.windows = _count_windows(tokens, context, sequences)
        if self.windows == 0:
            raise ValueError(
                f"training split: {len(tokens):,} tokens do not fill one window of context + 1 = "
                f"{context + 1:,}. Give more text or a shorter context."
            )
        self.ids = tokens
        self.context = context
        self.sequences = sequences
        self._shuffle = Shuffle(self.windows, sequences, seed)

    def batch(self, step: int) -> Ids:
        """(sequences, context + 1): columns 0 … context-1 are inputs, columns 1 … context their targets."""
        return _gather(self.ids, self._shuffle.batch(step), self.context)

    def tokens(self, steps: int) -> int:
        """Tokens predicted in the first `steps` batches, repeats included."""
        return steps * self.sequences * self.context

    def tokens_unique(self, steps: int) -> int:
        """Distinct tokens predicted in the first `steps` batches."""
        return min(steps * self.sequences, self.windows) * self.context

    def epochs(self, steps: int) -> float:
        """How often the first `steps` batches go through the corpus; above 1, tokens repeat."""
        return steps * self.sequences / self.windows


def heldout_batches(
    heldout: TokenArray, context: int, sequences: int, tokens: int | None = None
) -> list[Ids]:
    """A fixed set of held-out batches, the same in every run with the same sizes.

    Windows are spread evenly over the held-out split and share no predicted token. There are
    `tokens` / (sequences · context) batches, rounded up, and fewer where the split is smaller than that: what
    was evaluated is the sum of their sizes.

    Args:
        heldout: (n,) token ids.
        context: tokens predicted per sequence.
        sequences: sequences per batch.
        tokens: how many tokens to predict; None for as many as there are.

    Returns:
        Arrays of shape (sequences, context + 1), laid out as in `WindowBatches.batch`.

    Raises:
        ValueError: when the split does not fill one batch, or a size is not positive.
    """
    windows = _count_windows(heldout, context, sequences)
    if windows < sequences:
        raise ValueError(
            f"held-out split: {len(heldout):,} tokens are too few for one batch of {sequences} sequences of "
            f"{context} tokens, which takes {sequences * context + 1:,}. Hold out a larger fraction "
            "(data.heldout_fraction), give more text, or a smaller data.context."
        )
    batches = windows // sequences
    if tokens is not None:
        if tokens < 1:
            raise ValueError(f"tokens: evaluate on at least one held-out token; got {tokens}.")
        batches = min(batches, -(-tokens // (sequences * context)))
    chosen = np.arange(batches * sequences) * windows // (batches * sequences)
    return [_gather(heldout, chosen[i : i + sequences], context) for i in range(0, len(chosen), sequences)]


def _count_windows(tokens: TokenArray, context: int, sequences: int) -> int:
    for name, value in (("context", context), ("sequences", sequences)):
        if value < 1:
            raise ValueError(f"{name}: must be at least 1; got {value}.")
    return max(len(tokens) - 1, 0) // context


def _gather(tokens: TokenArray, windows: NDArray[np.int64], context: int) -> Ids:
    """Neighbouring windows share one token: the last target of one is the first input of the next."""
    return np.asarray(tokens[windows[:, None] * context + np.arange(context + 1)], dtype=np.int64)
