"""Runs that share every input, as the seeds of a study do: a law is computed once for all of them.

At 10,000 runs in 100 cells that leaves of a fit what must see every run: its residual and what that costs.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from analysis.laws.form import Data, Form, Tape
from analysis.laws.law import Array, Law

COPIES = 4  # runs per cell from which it pays to add them up


class Cells(Form):
    """A form on one point per cell, seen as a form on every run; cells are neighbours."""

    def __init__(self, whole: Form, first: npt.NDArray[np.int64], n: int) -> None:
        self.names, self.lower, self.upper = whole.names, whole.lower, whole.upper
        self.creep, self.patience, self.amounts, self.owners = (
            whole.creep,
            whole.patience,
            whole.amounts,
            whole.owners,
        )
        self._whole = whole
        self._first = first
        self._cell = np.repeat(np.arange(len(first)), np.diff(np.append(first, n)))

    def _add(self, runs: Array) -> Array:
        """Sums over the runs of each cell: (R, n) → (R, cells)."""
        return np.add.reduceat(runs, self._first, axis=1)

    def value(self, theta: Array) -> Array:
        return self._whole.value(theta)[:, self._cell]

    def tape(self, theta: Array) -> Tape:
        tape = self._whole.tape(theta)
        return Tape(
            tape.value[:, self._cell],
            lambda first, second: tape.sums(self._add(first), self._add(second)),
            lambda weights: tape.outer(self._add(weights)),
        )

    def merged(self, weights: Array, values: Array) -> tuple[Form, Array, Array]:
        total = self._add(weights)
        mean = np.divide(self._add(weights * values), total, out=np.zeros_like(total), where=total > 0)
        return self._whole, total, mean

    def starts(self, weights: Array, log_loss: Array, thorough: bool) -> Array:
        """From each cell's relative least-squares mean, weighted so that sums of squares stay as they are."""
        square, linear = (self._add(weights * np.exp(power * log_loss)) for power in (-2, -1))
        loss = np.divide(linear, square, out=np.ones_like(square), where=square > 0)
        return self._whole.starts(square * loss**2, np.log(loss), thorough)

    def canonical(self, theta: Array) -> Array:
        return self._whole.canonical(theta)

    def laws(self, theta: Array) -> list[Law]:
        return self._whole.laws(theta)

    def called(self, coordinate: str) -> str:
        return self._whole.called(coordinate)

    def full(self, theta: Array) -> Array:
        return self._whole.full(theta)

    def narrowed(self, theta: Array) -> Array:
        return self._whole.narrowed(theta)


def by_cell(form: Callable[[Data], Form], data: Data) -> Form:
    """The form on these runs, by cells where there are many runs in each."""
    n = len(data.log_loss)
    changes = (np.diff(np.stack(list(data.inputs.values()))) != 0).any(axis=0)
    if COPIES * (1 + np.count_nonzero(changes)) > n:
        return form(data)
    first = np.flatnonzero(np.append(True, changes))
    inputs = {name: x[first] for name, x in data.inputs.items()}
    return Cells(form(Data(inputs, data.centres, data.log_loss[first], data.centre)), first, n)
