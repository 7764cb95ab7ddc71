"""The figure of the reducible loss: what lies above the floor of the law, on log-log axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.fitting.bootstrap.quantiles import quantiles
from analysis.fitting.fit import Fit
from analysis.report import style
from analysis.report.arm_style import Look, look_of
from analysis.report.figures.axes import AXES, NO_LAW, empty, optimum, words
from analysis.report.figures.decimate import apart

BEYOND = 10.0  # times the largest run: so far the law is drawn
_DRAWS = 100
_GRID = 13  # places along what is nearly a straight line


def plot_reducible(
    parts: Sequence[tuple[str, pd.DataFrame, Sequence[Fit]]],
    *,
    looks: Mapping[str, Look] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """L − E against compute of each (label, runs, fits): runs, and the first law at its compute optimum.

    E is that of the printed law; each draw of the band is above its own. A sum of power laws at its optimum
    is a straight line here. Runs below E, as noise can bring about, have no place on a logarithmic axis.
    """
    ax = style.axes_or_new(ax)
    shown = [(label, runs, fits[0]) for label, runs, fits in parts if fits and "E" in fits[0].law.parameters]
    if not shown:
        return empty(ax, NO_LAW)
    looks = look_of(looks, (label for label, _, _ in shown))
    compute = pd.concat([runs["flops_6nd"] for _, runs, _ in shown])
    low, high = float(compute.min()), float(compute.max())
    heights: list[float] = []
    for label, runs, fit in shown:
        look = looks[label]
        above = runs["loss"].to_numpy(float) - fit.law.parameters["E"]
        at = runs["flops_6nd"].to_numpy(float)
        over = np.flatnonzero(above > 0)
        dots = over[apart(np.log(at[over]), np.log(above[over]))]
        points: dict[str, Any] = {"color": look.ink, "ms": 4, "alpha": 0.7, "mew": 0, "label": label}
        look.tag(ax.plot(at[dots], above[dots], look.marker, **points), dots)
        heights += above[over].tolist()
        grid = np.union1d(np.geomspace(low, high * BEYOND, _GRID), at.max())
        heights += _draw_optimum(ax, fit, grid, float(at.max()), look)
    if not heights:
        return empty(ax, "every run lies below the floor of the law")
    ax.plot([], [], color=style.GREY, ls="--", label="law at its optimum")
    style.scale_axis(ax, low, high * BEYOND, words("flops"))
    style.log_axis(ax.yaxis, min(heights), max(heights))
    ax.set_ylim(min(heights) / 1.15, max(heights) * 1.15)
    ax.set_xlabel(AXES["flops_6nd"])
    ax.set_ylabel("L − E [nats/token]")
    style.legend_above(ax)
    return ax


def _draw_optimum(ax: Axes, fit: Fit, grid: Any, largest: float, look: Look) -> list[float]:
    """Draw the law's least L − E at each compute with its band; dotted beyond the runs."""

    def along(law: Any) -> Any:
        best = [optimum(fit, law, float(C)) for C in grid]
        return np.array([np.nan if b is None else b.loss - law.parameters["E"] for b in best])

    line = along(fit.law)
    split = int(np.searchsorted(grid, largest * 1.001, side="right"))
    look.tag(ax.plot(grid[:split], line[:split], color=look.ink, ls="--"))
    look.tag(ax.plot(grid[split - 1 :], line[split - 1 :], color=look.ink, ls=":"))
    if fit.draws:
        drawn = np.array([along(law) for law in fit.draws[:_DRAWS]])
        sound = np.isfinite(drawn).all(axis=0) & (drawn > 0).all(axis=0)
        if sound.any():
            bottom, top = quantiles(drawn[:, sound], fit.level)
            look.tag([ax.fill_between(grid[sound], bottom, top, color=look.ink, alpha=0.13, lw=0)])
    return [float(y) for y in line if np.isfinite(y) and y > 0]
