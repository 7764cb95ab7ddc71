"""What figures of runs and laws have in common: names of quantities, and a law along a line of the table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from scipy.spatial import KDTree

from analysis.laws.law import Array, Law, Optimum
from analysis.report.style import GREY, say, say_flops

AXES = {
    "params": "N, non-embedding parameters",
    "tokens": "D, training tokens",
    "flops": "C, training FLOPs (counted)",
    "flops_6nd": "C = 6 N D [FLOP]",
}
COLUMNS = {"N": "params", "D": "tokens", "C": "flops", "U": "tokens_unique"}  # a law's letter → our column
LOSS = "held-out loss [nats/token]"
NO_LAW = "no law could be fitted"


def words(column: str) -> Callable[[float], str]:
    """How a value of a column is written on a tick."""
    return say_flops if column.startswith("flops") else say


def law_at(law: Law, runs: pd.DataFrame, N: npt.ArrayLike, D: npt.ArrayLike) -> Array:
    """The law's loss at sizes N and tokens D; any further input is that of the nearest run."""
    N, D = np.broadcast_arrays(np.asarray(N, dtype=float), np.asarray(D, dtype=float))
    inputs: dict[str, Array] = {"N": N, "D": D}
    others = [name for name in law.inputs if name not in inputs]
    if others:
        places = np.log(runs[["params", "tokens"]].to_numpy(dtype=float))
        nearest = KDTree(places).query(np.log(np.stack([N.ravel(), D.ravel()], axis=1)))[1]
        for name in others:
            column = runs[COLUMNS.get(name, name)].to_numpy(dtype=float)
            inputs[name] = column[nearest].reshape(N.shape)
    return np.asarray(law(**inputs), dtype=float)


def optimum(law: Any, C: float) -> Optimum | None:
    """The law's optimum, or None where its parameters, or its inputs, give none."""
    try:
        found: Optimum = law.optimum(C=C)
    except (ValueError, NotImplementedError):
        return None
    return found


def empty(ax: Axes, reason: str) -> Axes:
    """Write in the picture why there is nothing in it."""
    ax.text(0.5, 0.5, reason, ha="center", va="center", transform=ax.transAxes, color=GREY)
    ax.set_axis_off()
    return ax
