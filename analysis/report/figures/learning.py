"""The figure of learning curves: trunks, the cooldowns that leave them, and the envelope."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.laws.law import Array
from analysis.report import style
from analysis.report.arm_style import Look, look_of
from analysis.report.figures.axes import AXES, LOSS, empty, words
from analysis.report.figures.decimate import outline, some_trunks

_NO_ARM = "in no fit"
_NO_SIZE = 0.0
_Line = tuple[Array, Array]  # x, y
_COLUMNS = ("trunk_id", "run_id", "part", "family", "params", "loss")


def plot_learning_curves(
    curves: pd.DataFrame,
    *,
    against: str = "tokens",
    arms: Mapping[str, str] | None = None,
    looks: Mapping[str, Look] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Held-out loss along trunks and cooldowns, against `tokens` or `flops`, with the lower envelope of all.

    Args:
        curves: as `load_curves` returns. Lines without an evaluation are left out; of many trunks a few of
            each size are drawn (`some_trunks`).
        arms: trunk → label of its arm; by default its family. A trunk that is missing here enters no fit.
    """
    ax = style.axes_or_new(ax)
    seen = evaluated(curves, against)
    if seen.empty:
        return empty(ax, "no evaluation along training was logged")
    shown = some_trunks(seen)
    branches = curves["run_id"].notna() & curves["trunk_id"].isin(shown["trunk_id"].unique())
    starts = curves.loc[branches, ["run_id", against]].groupby("run_id", observed=True)[against].min()
    lines: dict[tuple[str, float], _Lines] = {}
    for trunk_id, trunk in shown.groupby("trunk_id", sort=True, observed=True):
        arm = str(trunk["family"].iloc[0]) if arms is None else arms.get(str(trunk_id), _NO_ARM)
        size = float(trunk["params"].fillna(_NO_SIZE).iloc[0])
        lines.setdefault((arm, size), _Lines()).add(trunk, against, starts)
    names = sorted({arm for arm, _ in lines})
    looks = {_NO_ARM: Look(style.GREY), **look_of(looks, (name for name in names if name != _NO_ARM))}
    ends = []
    for name in names:
        sizes = sorted(size for arm, size in lines if arm == name)
        for size, tint in zip(sizes, style.shades(looks[name].ink, len(sizes)), strict=True):
            of_size = lines[name, size]
            drawn = ax.plot(*_joined(of_size.trunks), color=tint, lw=1.2)
            drawn += ax.plot(*_joined(of_size.cooldowns), color=tint, lw=0.7, alpha=0.7)
            last = [(x[-1], y[-1]) for x, y in of_size.cooldowns]
            drawn += ax.plot(*np.reshape(last, (-1, 2)).T, looks[name].marker, color=tint, ms=3.5)
            looks[name].tag(drawn)
            _, height = max((x[-1], y[-1]) for x, y in of_size.every)
            ends.append((height, style.say(size) if size else "not stated", tint))
    if against == "flops":
        dashes = (0, (4, 2))
        ax.plot(*_envelope(seen[against], seen["loss"]), color=style.INK, lw=1.1, ls=dashes, label="envelope")
    # The first steps fall from ln V and would flatten all that is of interest: show what the runs came to.
    results = seen.groupby(["trunk_id", "run_id"], dropna=False, observed=True)["loss"].last()
    least, top = float(seen["loss"].min()), float(results.max())
    top += 0.25 * (top - least) or 0.1 * top
    inside = seen.loc[seen["loss"] <= top, against]
    style.scale_axis(ax, float(inside.min()), float(inside.max()), words(against))
    ax.set_ylim(least - 0.06 * (top - least), top)
    ax.set_xlabel(AXES[against])
    style.linear_axis(ax.yaxis, LOSS)
    if len(names) > 1:  # sizes of several arms have no room beside the lines
        for name in names:
            ax.plot([], [], looks[name].marker, ls="-", color=looks[name].ink, ms=4, label=name)
    elif against == "tokens":
        style.label_ends(ax, "N", ends)
    if len(names) > 1 or against == "flops":
        style.legend_above(ax)
    return ax


def evaluated(curves: pd.DataFrame, against: str = "tokens") -> pd.DataFrame:
    """The rows with a held-out loss, and of them the columns that a figure needs."""
    rows = np.flatnonzero(np.isfinite(curves["loss"]) & (curves[against] > 0))
    return curves[[*_COLUMNS, against]].take(rows)


@dataclass
class _Lines:
    """What is drawn of the trunks of one size, and of their cooldowns."""

    trunks: list[_Line] = field(default_factory=list)
    cooldowns: list[_Line] = field(default_factory=list)

    @property
    def every(self) -> list[_Line]:
        return [line for line in (*self.trunks, *self.cooldowns) if len(line[0])]

    def add(self, trunk: pd.DataFrame, against: str, starts: pd.Series) -> None:
        """Add a trunk and its cooldowns, each from where it branched off, read between evaluations."""
        line = trunk[trunk["part"] == "trunk"]
        x, y = line[against].to_numpy(float), line["loss"].to_numpy(float)
        dots = outline(np.log(x), y)
        self.trunks.append((x[dots], y[dots]))
        for run, branch in trunk[trunk["part"] == "cooldown"].groupby("run_id", sort=True, observed=True):
            x_run, y_run = branch[against].to_numpy(float), branch["loss"].to_numpy(float)
            start = min(float(starts[run]), x[-1]) if len(x) else x_run[0]
            if start < x_run[0]:  # the trunk there, never a guess beyond its last evaluation
                x_run = np.insert(x_run, 0, start)
                y_run = np.insert(y_run, 0, np.interp(np.log(start), np.log(x), y))
            self.cooldowns.append((x_run, y_run))


def _joined(lines: list[_Line]) -> _Line:
    """Lines as one with gaps: a picture draws one line of many pieces faster than many lines."""
    gap = np.array([np.nan])
    x, y = ([piece for line in lines for piece in (line[i], gap)] for i in (0, 1))
    return np.concatenate([gap, *x]), np.concatenate([gap, *y])


def _envelope(x: pd.Series, loss: pd.Series) -> tuple[Array, Array]:
    """The evaluations that none of equal or smaller x beats, in order of x."""
    order = np.lexsort([loss, x])
    x_in_order, y = x.to_numpy(float)[order], loss.to_numpy(float)[order]
    best = np.append(True, y[1:] < np.minimum.accumulate(y)[:-1])
    return x_in_order[best], y[best]
