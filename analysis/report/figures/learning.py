"""The figure of learning curves: trunks, the cooldowns that leave them, and the envelope."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.laws.law import Array
from analysis.report.figures.axes import AXES, LOSS, empty, words
from analysis.report.figures.decimate import apart, some_trunks
from analysis.report.style import (
    GREY,
    INK,
    axes_or_new,
    colours,
    label_ends,
    legend_above,
    linear_axis,
    say,
    scale_axis,
    shades,
)

_NO_ARM = "in no fit"
_COLUMNS = ("trunk_id", "run_id", "part", "family", "params", "loss")


def plot_learning_curves(
    curves: pd.DataFrame,
    *,
    against: str = "tokens",
    arms: Mapping[str, str] | None = None,
    inks: Mapping[str, str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Held-out loss along trunks and cooldowns, against `tokens` or `flops`, with the lower envelope of all.

    Args:
        curves: as `load_curves` returns. Lines without an evaluation are left out; of many trunks a few of
            each size are drawn (`some_trunks`).
        arms: trunk → label of its arm; by default its family. A trunk that is missing here enters no fit.
    """
    ax = axes_or_new(ax)
    seen = evaluated(curves, against)
    if seen.empty:
        return empty(ax, "no evaluation along training was logged")
    shown = some_trunks(seen)
    trunks = shown["trunk_id"].astype(object)
    arm = shown["family"].astype(str) if arms is None else trunks.map(dict(arms)).fillna(_NO_ARM)
    by_arm = {str(name): lines for name, lines in shown.groupby(arm.to_numpy(), sort=True)}
    inks = {_NO_ARM: GREY, **(inks or colours(name for name in by_arm if name != _NO_ARM))}
    branches = curves["run_id"].notna() & curves["trunk_id"].isin(shown["trunk_id"].unique())
    starts = curves.loc[branches, ["run_id", against]].groupby("run_id", observed=True)[against].min()
    ends = []
    for name, of_arm in by_arm.items():
        sizes = np.unique(of_arm["params"].dropna())
        for size, tint in zip(sizes, shades(inks[name], len(sizes)), strict=True):
            lines = of_arm[of_arm["params"] == size]
            for _, trunk in lines.groupby("trunk_id", sort=True, observed=True):
                line = trunk[trunk["part"] == "trunk"]
                x, y = line[against].to_numpy(float), line["loss"].to_numpy(float)
                dots = apart(np.log(x), y)
                ax.plot(x[dots], y[dots], color=tint, lw=1.2)
                cooldowns = trunk[trunk["part"] == "cooldown"]
                for run, branch in cooldowns.groupby("run_id", sort=True, observed=True):
                    x_run, y_run = _from_trunk(branch, against, float(starts[run]), x, y)
                    ax.plot(x_run, y_run, color=tint, lw=0.7, alpha=0.7)
                    ax.plot(x_run[-1:], y_run[-1:], "o", color=tint, ms=3.5)
            last = lines.loc[lines[against].idxmax()]
            ends.append((float(last["loss"]), say(float(size)), tint))
    if against == "flops":
        ax.plot(*_envelope(seen[against], seen["loss"]), color=INK, lw=1.1, ls=(0, (4, 2)), label="envelope")
    # The first steps fall from ln V and would flatten all that is of interest: show what the runs came to.
    results = seen.groupby(["trunk_id", "run_id"], dropna=False, observed=True)["loss"].last()
    least, top = float(seen["loss"].min()), float(results.max())
    top += 0.25 * (top - least) or 0.1 * top
    inside = seen.loc[seen["loss"] <= top, against]
    scale_axis(ax, float(inside.min()), float(inside.max()), words(against))
    ax.set_ylim(least - 0.06 * (top - least), top)
    ax.set_xlabel(AXES[against])
    linear_axis(ax.yaxis, LOSS)
    if len(by_arm) > 1:  # sizes of several arms have no room beside the lines
        for name in by_arm:
            ax.plot([], [], color=inks[name], label=name)
    elif against == "tokens":
        label_ends(ax, "N", ends)
    if len(by_arm) > 1 or against == "flops":
        legend_above(ax)
    return ax


def evaluated(curves: pd.DataFrame, against: str = "tokens") -> pd.DataFrame:
    """The rows with a held-out loss, and of them the columns that a figure needs."""
    rows = np.flatnonzero(np.isfinite(curves["loss"]) & (curves[against] > 0))
    return curves[[*_COLUMNS, against]].take(rows)


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
