"""What figures of runs and laws have in common: names of quantities, and a law along a line of the table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes

from analysis.fitting.fit import Fit
from analysis.fitting.runs import called
from analysis.laws.law import Array, Optimum
from analysis.report.style import GREY, say, say_flops

AXES = {
    "params": "N, non-embedding parameters",
    "tokens": "D, training tokens",
    "flops": "C, training FLOPs (counted)",
    "flops_6nd": "C = 6 N D [FLOP]",
}
LOSS = "held-out loss [nats/token]"
NO_LAW = "no law could be fitted"


def words(column: str) -> Callable[[float], str]:
    """How a value of a column is written on a tick."""
    return say_flops if column.startswith("flops") else say


def law_at(fit: Fit, N: npt.ArrayLike, D: npt.ArrayLike, runs: pd.DataFrame | None = None) -> Array:
    """The law's loss at sizes N and tokens D; any further input is that of each run, or else its median.

    Unique tokens U are never more than D.
    """
    others = others_of(fit)
    if runs is not None:
        others = {name: runs[called(name)].to_numpy(dtype=float) for name in others}
    elif "U" in others:
        others["U"] = np.minimum(others["U"], D)
    return np.asarray(fit.law(N=N, D=D, **others), dtype=float)


def optimum(fit: Fit, law: Any, C: float) -> Optimum | None:
    """The optimum of the law or a draw of it; None where its parameters, or its inputs, give none."""
    try:
        found: Optimum = law.optimum(C=C, **others_of(fit))
    except (ValueError, NotImplementedError):
        return None
    return found


def others_of(fit: Fit) -> dict[str, Any]:
    """The median of every input of a law but N and D, where a figure holds it."""
    return {name: float(np.median(x)) for name, x in fit.runs.inputs.items() if name not in ("N", "D")}


def empty(ax: Axes, reason: str) -> Axes:
    """Write in the picture why there is nothing in it."""
    ax.text(0.5, 0.5, reason, ha="center", va="center", transform=ax.transAxes, color=GREY)
    ax.set_axis_off()
    return ax
