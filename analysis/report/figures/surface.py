"""Figures of a surface in N and D: its lines along size and tokens, and its slices of equal compute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from analysis.fitting.fit import Fit
from analysis.laws.law import Array
from analysis.report import style
from analysis.report.arm_style import PLAIN_LOOK, Look
from analysis.report.figures.axes import AXES, LOSS, NO_LAW, empty, law_at, optimum
from analysis.report.figures.decimate import PLENTY, apart

WIDER = 1.6  # times the runs and the optimum of a slice of equal compute: so far it is drawn


def plot_loss_vs_params(
    runs: pd.DataFrame,
    fits: Sequence[Fit],
    *,
    tokens: Sequence[float] | None = None,
    look: Look = PLAIN_LOOK,
    ax: Axes | None = None,
) -> Axes:
    """Loss against N, one shade per token budget, and the first law along each budget.

    Args:
        tokens: budgets to show; by default those of the table, or six of them where there are more.
    """
    return _loss_along(runs, fits, ("params", "tokens"), tokens, look, style.axes_or_new(ax))


def plot_loss_vs_tokens(
    runs: pd.DataFrame,
    fits: Sequence[Fit],
    *,
    params: Sequence[float] | None = None,
    look: Look = PLAIN_LOOK,
    ax: Axes | None = None,
) -> Axes:
    """Loss against D, one shade per size, and the first law along each size."""
    return _loss_along(runs, fits, ("tokens", "params"), params, look, style.axes_or_new(ax))


def plot_isoflop(
    runs: pd.DataFrame,
    fits: Sequence[Fit],
    *,
    budgets: int = 5,
    look: Look = PLAIN_LOOK,
    ax: Axes | None = None,
) -> Axes:
    """Slices of the first law at equal compute, with the runs nearest to each slice and its optimum.

    A run that lies off a slice is moved to it along the law: its loss times L(N, C / 6 N) / L(N, D). Only
    runs within a factor of two of a slice's compute are shown.
    """
    ax = style.axes_or_new(ax)
    if not fits:
        return empty(ax, NO_LAW)
    fit = fits[0]
    compute, params = (runs[name].to_numpy(dtype=float) for name in ("flops_6nd", "params"))
    slices = np.geomspace(np.quantile(compute, 0.15), np.quantile(compute, 0.97), budgets)
    nearest = np.argmin(np.abs(np.log(compute)[:, None] - np.log(slices)[None, :]), axis=1)
    sizes = np.geomspace(params.min() / 3, params.max() * 3, 240)
    cups: list[tuple[float, Any, Array]] = []
    shown: list[float] = []
    for k, (C, tint) in enumerate(zip(slices, style.shades(look.ink, budgets), strict=True)):
        here = np.flatnonzero((nearest == k) & (np.abs(np.log(compute / C)) < np.log(2)))
        rows = runs.iloc[here]
        N, D = rows["params"].to_numpy(dtype=float), rows["tokens"].to_numpy(dtype=float)
        move = law_at(fit, N, C / (6 * N), rows) / law_at(fit, N, D, rows)
        moved = move * rows["loss"].to_numpy(dtype=float)
        dots = apart(np.log(N), moved, plenty=PLENTY // budgets)
        look.tag(ax.plot(N[dots], moved[dots], look.marker, color=tint, ms=4.5), here[dots])
        shown += [*moved]
        best = optimum(fit, fit.law, C)
        middle = [best.N] if best is not None and sizes[0] <= best.N <= sizes[-1] else []
        if best is not None and middle:
            shown.append(best.loss)
            point = ax.plot(middle, [best.loss], "D", mfc="white", mec=tint, ms=6, mew=1.4, zorder=4)
            look.tag(point)
        if len(N) or middle:
            span = [*N, *middle]
            cups.append((C, tint, sizes[(sizes > min(span) / WIDER) & (sizes < max(span) * WIDER)]))
    low, high = min(shown, default=1.0), max(shown, default=2.0)
    top = high + 0.15 * (high - low or 0.1 * high)
    for C, tint, over in cups:
        line = law_at(fit, over, C / (6 * over))
        inside = line <= top
        look.tag(ax.plot(over[inside], line[inside], color=tint, lw=1.2))
        if inside.any():
            _beside(ax, over[inside][-1], line[inside][-1], style.say_flops(C), tint)
    ends = [over[edge] for _, _, over in cups for edge in (0, -1)] or [params.min(), params.max()]
    style.scale_axis(ax, float(min(ends)), float(max(ends)) * 1.6)  # room for the last label
    ax.set_ylim(low - 0.08 * (top - low), top)
    ax.set_xlabel(AXES["params"])
    style.linear_axis(ax.yaxis, LOSS)
    ax.plot([], [], "D", mfc="white", mec=style.INK, ms=6, mew=1.4, label="optimum of the law")
    ax.plot([], [], look.marker, color=style.GREY, ms=4.5, label="run, moved to the slice")
    style.legend_above(ax)
    return ax


def _beside(ax: Axes, x: float, y: float, text: str, ink: Any) -> None:
    """Write text to the right of the end of a line, on a ground that lines behind it do not cross."""
    ax.annotate(
        text,
        xy=(x, y),
        xytext=(4, 0),
        textcoords="offset points",
        color=style.legible(ink),
        fontsize=style.SMALL,
        va="center",
        bbox={"boxstyle": "square,pad=0.08", "fc": "white", "ec": "none", "alpha": 0.85},
    )


def levels(
    values: Array, wanted: Sequence[float] | None = None, most: int = 6
) -> tuple[Array, NDArray[np.int_]]:
    """The distinct sizes of a column to draw a line for, and which of them each row belongs to (n,).

    Values within 2 % are one level. Of more than `most` levels those nearest to even quantiles of
    the rows stay, and every row goes to the nearest of them.
    """
    found = np.asarray(sorted(wanted or ()), dtype=float)
    if wanted is None:
        distinct = np.unique(values)
        found = distinct[np.append(True, np.diff(np.log(distinct)) > 0.02)]
        if len(found) > most:
            even = np.exp(np.quantile(np.log(values), np.linspace(0.04, 0.96, most)))
            found = found[np.unique([np.argmin(np.abs(np.log(found / value))) for value in even])]
    member = np.argmin(np.abs(np.log(values)[:, None] - np.log(found)[None, :]), axis=1)
    return found, member


def _loss_along(
    runs: pd.DataFrame,
    fits: Sequence[Fit],
    columns: tuple[str, str],
    wanted: Sequence[float] | None,
    look: Look,
    ax: Axes,
) -> Axes:
    axis, held = columns
    x, other, loss = (runs[name].to_numpy(dtype=float) for name in (axis, held, "loss"))
    found, member = levels(other, wanted)
    dots = np.zeros(len(x), dtype=bool)
    dots[apart(np.log(x), loss)] = True
    grid = np.geomspace(x.min(), x.max(), 100)
    ends = []
    for k, (level, tint) in enumerate(zip(found, style.shades(look.ink, len(found)), strict=True)):
        here = member == k
        if wanted is not None:
            here &= np.abs(np.log(other / level)) < 0.05
        points = ax.plot(x[here & dots], loss[here & dots], look.marker, color=tint, ms=4.5)
        look.tag(points, np.flatnonzero(here & dots))
        end = float(loss[here][np.argmax(x[here])]) if here.any() else float("nan")
        if fits:
            at = {axis: grid, held: np.full_like(grid, level)}
            line = law_at(fits[0], at["params"], at["tokens"])
            look.tag(ax.plot(grid, line, color=tint, lw=1.2))
            end = float(line[-1])
        if np.isfinite(end):
            ends.append((end, style.say(float(level)), tint))
    style.scale_axis(ax, float(x.min()), float(x.max()))
    ax.set_xlabel(AXES[axis])
    style.linear_axis(ax.yaxis, LOSS)
    style.label_ends(ax, "D" if held == "tokens" else "N", ends)
    return ax
