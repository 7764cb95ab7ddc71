"""The runs that a fit uses: checked, and in an order of their own so that the table's order cannot matter."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from analysis.laws.law import FLOPS_PER_PARAM_TOKEN, Array

if TYPE_CHECKING:  # pandas takes half a second, and a plan needs none of it
    from analysis.table import RunTable

SEEN = 1000  # of many runs, by how many it is tried what then holds for all
GOLDEN = 0.6180339887498949  # multiples of it, modulo 1, are spread out evenly
COLUMNS = {"N": "params", "D": "tokens", "U": "tokens_unique", "C": "flops", "x": "x"}  # letter → our column


class FitError(ValueError):
    """Data that no law can be fitted to, with the reason."""


@dataclass(frozen=True)
class Runs:
    """n runs, sorted by their inputs, then loss."""

    inputs: dict[str, Array]  # what the law is a function of, (n,)
    loss: Array  # (n,) [nats/token]
    groups: npt.NDArray[np.int64]  # (n,) trunk of each run, 0 … n_groups - 1
    weights: Array  # (n,)
    order: npt.NDArray[np.int64]  # (n,) row of the caller's table
    compute: Array  # (n,) [FLOP] as counted, or 6 N D; of a law of x, x

    @classmethod
    def of_table(cls, table: RunTable, inputs: Sequence[str]) -> Runs:
        """The runs of a table as a law of these inputs sees them, trunks and counted FLOPs included.

        Raises:
            FitError: for an input that the table does not have, with how to bring it in.
        """
        missing = [name for name in map(called, inputs) if not table.has_numbers(name)]
        if missing:
            known = [table.columns.get(n, n).strip("'") for n in ("tokens", "params", "flops") if n in table]
            if missing == ["x"] and known:
                typed = " or ".join(f"--columns {shlex.quote(f'x={name}')}" for name in known)
                how = f"Its one input may be any column: {typed}."
            else:
                how = f"If a column holds it under another name, map it: --columns {missing[0]}=NAME."
            raise FitError(
                f"the table has no {' and no '.join(missing)} in numbers, which the law needs. {how}"
            )
        values = {name: table.numbers(called(name)) for name in inputs}
        flops = table.numbers("flops") if "flops" in table and "x" not in inputs else None
        return cls.of(values, table.numbers("loss"), table.trunks, compute=flops)

    @classmethod
    def of(
        cls,
        inputs: Mapping[str, npt.ArrayLike],
        loss: npt.ArrayLike,
        groups: npt.ArrayLike | None = None,
        weights: npt.ArrayLike | None = None,
        compute: npt.ArrayLike | None = None,
    ) -> Runs:
        """Check and sort; `compute` as counted [FLOP], where it is not 6 N D.

        Raises:
            FitError: for unequal lengths, no runs, and numbers that are missing, infinite or not positive.
        """
        columns = {name: _column(called(name), values) for name, values in {**inputs, "loss": loss}.items()}
        n = len(columns["loss"])
        for name, values in columns.items():
            if len(values) != n:
                raise FitError(
                    f"{called(name)} has {len(values)} rows, loss has {n}; give one value per run."
                )
        if n == 0:
            raise FitError("no runs: the table is empty.")
        for name, values in columns.items():
            bad = ~(np.isfinite(values) & (values > 0))
            if bad.any():
                row = int(np.flatnonzero(bad)[0])
                raise FitError(
                    f"{called(name)} must be positive and finite; {int(bad.sum())} of {n} rows are not, "
                    f"the first is row {row}: {float(values[row])!r}. Leave out runs without a result."
                )
        weight = np.ones(n) if weights is None else _column("weights", weights)
        if len(weight) != n:
            raise FitError(f"weights has {len(weight)} rows, loss has {n}; give one value per run.")
        if not (np.isfinite(weight) & (weight >= 0)).all() or not weight.any():
            raise FitError("weights must be finite, not negative, and not all 0.")
        labels = np.arange(n) if groups is None else np.asarray(groups)
        if labels.shape != (n,):
            raise FitError(f"groups has shape {labels.shape}, loss has {n} rows; give one trunk per run.")
        if groups is not None and any(label is None or label != label for label in labels.tolist()):
            raise FitError("groups: some runs have no trunk; name one for every run, or give no groups.")
        names = list(columns)
        order = np.lexsort([weight, *(columns[name] for name in reversed(names))])
        if groups is None:
            codes = np.arange(n)
        else:
            codes = np.unique(labels.astype(str), return_inverse=True)[1][order]
        sorted_columns = {name: values[order] for name, values in columns.items()}
        loss_column = sorted_columns.pop("loss")
        spent = size_of(sorted_columns) if compute is None else _column("flops", compute)[order]
        return cls(sorted_columns, loss_column, codes, weight[order], order, spent)

    def only(self, inputs: Sequence[str]) -> Runs:
        """The same runs as a law of these inputs sees them.

        Raises:
            FitError: for an input that the runs do not have.
        """
        if missing := [called(name) for name in inputs if name not in self.inputs]:
            raise FitError(f"the law is a function of {', '.join(missing)}, which these runs do not have.")
        return replace(self, inputs={name: self.inputs[name] for name in inputs})

    @property
    def n(self) -> int:
        return len(self.loss)

    @property
    def relative_weights(self) -> Array:
        """Weights (n,) with a mean of 1."""
        relative: Array = self.weights * (self.n / self.weights.sum())
        return relative

    @cached_property
    def distinct(self) -> npt.NDArray[np.bool_]:
        """Which runs (n,) have weight and are no copies of one before them."""
        used = np.flatnonzero(self.weights > 0)
        columns = np.stack([*self.inputs.values(), self.loss])[:, used]
        first = np.zeros(self.n, dtype=bool)
        first[used] = np.append(True, (np.diff(columns) != 0).any(axis=0))  # sorted: copies are neighbours
        return first

    @property
    def n_distinct(self) -> int:
        """What degrees of freedom are counted by."""
        return int(self.distinct.sum())

    @cached_property
    def n_groups(self) -> int:
        return int(self.groups.max()) + 1

    def take(self, keep: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Runs:
        """The runs at these places of the sorted order; trunks are numbered afresh."""
        codes = np.unique(self.groups[keep], return_inverse=True)[1]
        inputs = {name: x[keep] for name, x in self.inputs.items()}
        weights, order = self.weights[keep], self.order[keep]
        return Runs(inputs, self.loss[keep], codes, weights, order, self.compute[keep])

    def in_table_order(self, values: Array) -> Array:
        """Values per run (n,) in the order of the caller's table."""
        out = np.empty_like(values)
        out[np.argsort(self.order).argsort()] = values
        return out


def size_of(inputs: Mapping[str, Array]) -> Array:
    """How large each run is: 6 N D [FLOP], the compute of a law of C, or the input of a law of one."""
    if {"N", "D"} <= set(inputs):
        return np.asarray(FLOPS_PER_PARAM_TOKEN * inputs["N"] * inputs["D"])
    return next(iter(inputs.values()))


def called(name: str) -> str:
    """The table's word for a law's letter."""
    return COLUMNS.get(name, name)


def _column(name: str, values: npt.ArrayLike) -> Array:
    try:
        column = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise FitError(f"{name} is not a column of numbers: {error}") from error
    if column.ndim != 1:
        raise FitError(f"{name} must be one number per run; got an array of shape {column.shape}.")
    return column


def spread_out(n: int) -> npt.NDArray[np.int64]:
    """About `SEEN` of n places, over all of them and in step with nothing."""
    places: npt.NDArray[np.int64] = np.unique((np.arange(SEEN) * GOLDEN % 1.0 * n).astype(np.int64))
    return places
