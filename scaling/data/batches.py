"""Windows of a token array as training batches and as a fixed held-out set."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from scaling.data.layout import Ids, TokenArray
from scaling.data.sizes import BatchSizes, batch_sizes


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

    def by_domain(self, steps: int) -> dict[str, dict[str, float]]:
        """Of a mixture, what each domain has given to the first `steps` batches; else nothing."""
        return {}


class Shuffle:
    """Which rows a step takes: each epoch takes every row once, in an order of its own.

    A batch may hold the end of one epoch and the start of the next.
    """

    def __init__(self, rows: int, sequences: int | BatchSizes, seed: int, *more: int) -> None:
        self.rows, self.sizes, self.seeds = rows, batch_sizes(sequences), (seed, *more)
        self._orders: dict[int, NDArray[np.int64]] = {}

    def batch(self, step: int) -> NDArray[np.int64]:
        """Rows (sequences,) of a step, counted from 0."""
        if step < 0:
            raise ValueError(f"step: counted from 0; got {step}.")
        return self.take(np.arange(self.sizes.rows(step), self.sizes.rows(step + 1)))

    def take(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows (n,) at these places of the endless order, ascending."""
        epochs, places = np.divmod(places, self.rows)
        return np.concatenate([self.order(int(e))[places[epochs == e]] for e in np.unique(epochs)])

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Every row, as this epoch takes them."""
        if epoch not in self._orders:
            # Steps go forward, and a batch may straddle two epochs: older orders are not asked for again.
            self._orders = {e: order for e, order in self._orders.items() if e == epoch - 1}
            self._orders[epoch] = np.random.default_rng([*self.seeds, epoch]).permutation(self.rows)
        return self._orders[epoch]


class WindowBatches(Batches):
    """Batches of equal windows, of `context` predicted tokens, that the array is cut into."""

    def __init__(self, tokens: TokenArray, *, context: int, sequences: int | BatchSizes, seed: int) -> None:
        """
        Args:
            tokens: (n,) token ids.
            context: tokens predicted per sequence.
            sequences: sequences per batch, or how they go with the step.
            seed: fixes the order of windows in every epoch.

        Raises:
            ValueError: when `tokens` does not fill one window, or a size is not positive.
        """
        self.sizes = batch_sizes(sequences)
        self.windows = count_windows(tokens, context, self.sizes.first)
        if self.windows == 0:
            raise ValueError(
                f"training split: {len(tokens):,} tokens do not fill one window of context + 1 = "
                f"{context + 1:,}. Give more text (or a larger data.limit_bytes), or a shorter data.context."
            )
        self.ids = tokens
        self.context = context
        self._shuffle = Shuffle(self.windows, self.sizes, seed)

    def batch(self, step: int) -> Ids:
        """(sequences, context + 1): columns 0 … context-1 are inputs, columns 1 … context their targets."""
        return gather(self.ids, self._shuffle.batch(step), self.context)

    def tokens(self, steps: int) -> int:
        """Tokens predicted in the first `steps` batches, repeats included."""
        return self.sizes.rows(steps) * self.context

    def tokens_unique(self, steps: int) -> int:
        """Distinct tokens predicted in the first `steps` batches."""
        return min(self.sizes.rows(steps), self.windows) * self.context

    def epochs(self, steps: int) -> float:
        """How often the first `steps` batches go through the corpus; above 1, tokens repeat."""
        return self.sizes.rows(steps) / self.windows


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
    windows = count_windows(heldout, context, sequences)
    if windows < sequences:
        raise ValueError(
            f"held-out split: {len(heldout):,} tokens are too few for one batch of {sequences} sequences of "
            f"{context} tokens, which takes {sequences * context + 1:,}. Hold out a larger fraction "
            "(data.heldout_fraction), give more text (or a larger data.limit_bytes), or a smaller "
            "data.context."
        )
    batches = windows // sequences
    if tokens is not None:
        if tokens < 1:
            raise ValueError(f"tokens: evaluate on at least one held-out token; got {tokens}.")
        batches = min(batches, -(-tokens // (sequences * context)))
    chosen = np.arange(batches * sequences) * windows // (batches * sequences)
    return [gather(heldout, chosen[i : i + sequences], context) for i in range(0, len(chosen), sequences)]


def count_windows(tokens: TokenArray, context: int, sequences: int = 1) -> int:
    """How many windows of `context` predicted tokens a token array holds."""
    for name, value in (("context", context), ("sequences", sequences)):
        if value < 1:
            raise ValueError(f"{name}: must be at least 1; got {value}.")
    return max(len(tokens) - 1, 0) // context


def gather(tokens: TokenArray, windows: NDArray[np.int64], context: int) -> Ids:
    """Neighbouring windows share one token: the last target of one is the first input of the next."""
    return np.asarray(tokens[windows[:, None] * context + np.arange(context + 1)], dtype=np.int64)
