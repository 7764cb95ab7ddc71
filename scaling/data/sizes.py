"""How many rows each batch has: one number, or a ramp along training."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

Ramp = tuple[tuple[int, int], ...]  # (step, rows of every batch from there on), ascending


@dataclass(frozen=True)
class BatchSizes:
    """Rows of a batch as a function of the step, and so of the rows before it: whatever follows is shared."""

    first: int
    ramp: Ramp = ()

    def __post_init__(self) -> None:
        if min(self.all) < 1:
            raise ValueError(f"sequences: must be at least 1; got {min(self.all)}.")
        steps = [0, *(step for step, _ in self.ramp)]
        if any(a >= b for a, b in pairwise(steps)):
            raise ValueError(
                f"training.batch_ramp: its stages begin at steps {steps}, which must ascend; are two of them "
                "within one batch?"
            )

    @property
    def all(self) -> tuple[int, ...]:
        """Every size in order."""
        return (self.first, *(rows for _, rows in self.ramp))

    def size(self, step: int) -> int:
        """Rows of the batch of `step`, counted from 0."""
        return next((rows for start, rows in reversed(self.ramp) if start <= step), self.first)

    def rows(self, steps: int) -> int:
        """Rows of the first `steps` batches."""
        ends = [*(start for start, _ in self.ramp), steps]
        total, begin = 0, 0
        for rows, end in zip(self.all, ends, strict=True):
            total += rows * max(0, min(end, steps) - begin)
            begin = min(end, steps)
        return total

    def steps(self, rows: float) -> int:
        """Number of batches whose rows come closest to `rows`; at least 1."""
        begin, passed = 0, 0
        for size, end in zip(self.all, [*(start for start, _ in self.ramp), None], strict=True):
            if end is None or rows <= passed + size * (end - begin):
                return max(1, begin + round((rows - passed) / size))
            passed += size * (end - begin)
            begin = end
        raise AssertionError("the last stage has no end")


def batch_sizes(sequences: int | BatchSizes) -> BatchSizes:
    """Return the sizes; a number is that of every batch."""
    return sequences if isinstance(sequences, BatchSizes) else BatchSizes(sequences)
