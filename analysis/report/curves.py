"""Learning curves as a figure: trunks, the cooldowns that leave them, and the envelope."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.laws.law import Array
from analysis.report.decimate import some_trunks
from analysis.report.figures import AXES, LOSS, empty, words
from analysis.report.style import (
    INK,
    axes_or_new,
    label_ends,
    legend_above,
    linear_axis,
    say,
    scale_axis,
    shades,
)


def plot_learning_curves(curves: pd.DataFrame, *, against: str = "tokens", ax: Axes | None = None) -> Axes:
    """Held-out loss along trunks and cooldowns, against `tokens` or `flops`, with the lower envelope of all.

    Args:
        curves: as `load_curves` returns. Lines without an evaluation are left out; of many trunks a few of
            each size are drawn (`some_trunks`).
    """
    ax = axes_or_new(ax)
    seen = curves[np.isfinite(curves["loss"]) & (curves[against] > 0)]
    if seen.empty:
        return empty(ax, "no evaluation along training was logged")
    shown = some_trunks(seen)
    starts = curves[curves["trunk_id"].isin(shown["trunk_id"])].groupby("run_id")[against].min()
    ends = []
    for family, of_family in shown.groupby("family", sort=True):
        sizes = np.unique(of_family["params"].dropna())
        for size, tint in zip(sizes, shades(str(family), len(sizes)), strict=True):
            lines = of_family[of_family["params"] == size]
            for _, trunk in lines.groupby("trunk_id", sort=True):
                line = trunk[trunk["part"] == "trunk"]
                x, y = line[against].to_numpy(float), line["loss"].to_numpy(float)
                ax.plot(x, y, color=tint, lw=1.2)
                for run, branch in trunk[trunk["part"] == "cooldown"].groupby("run_id", sort=True):
                    x_run, y_run = _from_trunk(branch, against, float(starts[run]), x, y)
                    ax.plot(x_run, y_run, color=tint, lw=0.7, alpha=0.7)
                    ax.plot(x_run[-1:], y_run[-1:], "o", color=tint, ms=3.5)
            last = lines.loc[lines[against].idxmax()]
            ends.append((float(last["loss"]), say(float(size)), tint))
    if against == "flops":
        ax.plot(*_envelope(seen[against], seen["loss"]), color=INK, lw=1.1, ls=(0, (4, 2)), label="envelope")
        legend_above(ax)
    # The first steps fall from ln V and would flatten all that is of interest: show what the runs came to.
    results = seen.groupby(["trunk_id", "run_id"], dropna=False)["loss"].last()
    least, top = float(seen["loss"].min()), float(results.max())
    top += 0.25 * (top - least) or 0.1 * top
    inside = seen.loc[seen["loss"] <= top, against]
    scale_axis(ax, float(inside.min()), float(inside.max()), words(against))
    ax.set_ylim(least - 0.06 * (top - least), top)
    ax.set_xlabel(AXES[against])
    linear_axis(ax.yaxis, LOSS)
    if against == "tokens":
        label_ends(ax, "N", ends)
    return ax


def _from_trunk(branch: pd.DataFrame, against: str, start: float, x: Array, y: Array) -> tuple[Array, Array]:
    """A cooldown's line, from its trunk's curve (read between evaluations) where it branched off."""
    x_run, y_run = branch[against].to_numpy(float), branch["loss"].to_numpy(float)
    if len(x) and start < x_run[0]:
        x_run = np.insert(x_run, 0, start)
        y_run = np.insert(y_run, 0, np.interp(np.log(start), np.log(x), y))
    return x_run, y_run


def _envelope(x: pd.Series, loss: pd.Series) -> tuple[Array, Array]:
    """The evaluations that none of equal or smaller x beats, in order of x."""
    order = np.lexsort([loss, x])
    x_in_order, y = x.to_numpy(float)[order], loss.to_numpy(float)[order]
    best = np.append(True, y[1:] < np.minimum.accumulate(y)[:-1])
    return x_in_order[best], y[best]
