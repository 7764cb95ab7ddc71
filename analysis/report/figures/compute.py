"""Figures of loss against one quantity: compute at its best use, or the one input of a law."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes

from analysis.fitting.bootstrap.quantiles import quantiles
from analysis.fitting.fit import Fit
from analysis.fitting.runs import called
from analysis.forecast.along import pareto
from analysis.laws.law import Array, Law
from analysis.report import style
from analysis.report.arm_style import PLAIN_LOOK, Look, look_of
from analysis.report.figures.axes import AXES, LOSS, optimum, words
from analysis.report.figures.decimate import apart

BEYOND = 10.0  # times the largest run: so far a law is drawn
LOG = 3.0  # ratio of losses from which their axis is logarithmic
_DRAWS = 200  # bootstrap laws behind a drawn band; a picture needs no more
_GRID = 30
_OTHERS = ((0, (6, 2)), (0, (2, 1.5)), (0, (6, 2, 1.5, 2)), (0, (10, 3)), (0, (1, 1)))  # dashes of other laws


def plot_loss_vs_flops(
    parts: Sequence[tuple[str, pd.DataFrame, Sequence[Fit]]],
    *,
    looks: Mapping[str, Look] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Loss against compute of each (label, runs, fits): runs, their frontier, the first law at its optimum.

    The law counts C = 6 N D, so runs are placed at `flops_6nd`. The band holds the central part of its
    bootstrap draws at the level of the fit; beyond the largest run the line is dotted, as nothing was
    measured there.
    """
    ax = style.axes_or_new(ax)
    looks = look_of(looks, (label for label, _, _ in parts))
    everything = pd.concat([runs[["flops_6nd", "loss"]] for _, runs, _ in parts])
    low, high = float(everything["flops_6nd"].min()), float(everything["flops_6nd"].max())
    grid = np.geomspace(low, high * BEYOND, _GRID)
    for label, runs, fits in parts:
        places = apart(np.log(runs["flops_6nd"]), runs["loss"])
        dots, look = runs.iloc[places], looks[label]
        look_like: dict[str, Any] = {"color": look.ink, "ms": 4, "alpha": 0.6, "mew": 0, "label": label}
        look.tag(ax.plot(dots["flops_6nd"], dots["loss"], look.marker, **look_like), places)
        frontier = pareto(runs[["flops_6nd", "loss"]].set_axis(["flops", "loss"], axis=1))
        step: dict[str, Any] = {"color": look.ink, "lw": 0.9, "drawstyle": "steps-post", "alpha": 0.8}
        look.tag(ax.plot(frontier["flops"], frontier["loss"], **step))
        if fits:
            _draw_law(ax, fits[0], grid, float(runs["flops_6nd"].max()), look)
    for name, line in (("best run so far", "-"), ("law at its optimum", "--"), ("beyond the runs", ":")):
        ax.plot([], [], color=style.GREY, ls=line, label=name)
    style.scale_axis(ax, low, high * BEYOND, words("flops"))
    least, most = float(everything["loss"].min()), float(everything["loss"].max())
    ax.set_ylim(max(0.0, least - 0.35 * (most - least)), most * 1.03)
    ax.set_xlabel(AXES["flops_6nd"])
    style.linear_axis(ax.yaxis, LOSS)
    style.legend_above(ax)
    return ax


def plot_curve_law(
    label: str,
    x: npt.ArrayLike,
    loss: npt.ArrayLike,
    fits: Sequence[Fit],
    *,
    x_label: str | None = None,
    y_label: str = LOSS,
    look: Look = PLAIN_LOOK,
    ax: Axes | None = None,
) -> Axes:
    """Loss against the one input of a law, x or compute C: runs, the first law with its band, other laws.

    Lines go on, dotted, to ten times the largest x. Losses that span more than a factor of three have a
    logarithmic axis.

    Args:
        x, loss: (n,) each.
        fits: laws of one input, the best first; none draws the runs alone.
        x_label: of the x axis; by default what the input of the law means.
    """
    ax = style.axes_or_new(ax)
    x, loss = np.asarray(x, dtype=float), np.asarray(loss, dtype=float)
    column = called(fits[0].law.inputs[0]) if fits else "x"
    low, high = float(x.min()), float(x.max())
    grid = np.geomspace(low, high * BEYOND, 4 * _GRID)
    dots = apart(np.log(x), loss)
    look_like: dict[str, Any] = {"color": look.ink, "ms": 4, "alpha": 0.75, "mew": 0, "label": label}
    look.tag(ax.plot(x[dots], loss[dots], look.marker, **look_like), dots)
    lines = [loss]
    for place, fit in enumerate(fits):
        first = place == 0
        worn = look if first else replace(look, ink=style.GREY)
        dashes: Any = "-" if first else _OTHERS[(place - 1) % len(_OTHERS)]
        lines.append(_draw_law(ax, fit, grid, high, worn, ls=dashes, lw=1.6 if first else 1.1, band=first))
        ax.plot([], [], color=worn.ink, ls=dashes, lw=1.6 if first else 1.1, label=fit.name)
    values = np.concatenate(lines)
    least, most = float(values[values > 0].min()), float(values[np.isfinite(values)].max())
    style.scale_axis(ax, low, high * BEYOND if fits else high, words(column))
    ax.set_xlabel(x_label or AXES.get(column, column))
    if most > LOG * least:
        style.log_axis(ax.yaxis, least, most, style.say)
        ax.set_ylim(least / 1.1, most * 1.1)
        ax.set_ylabel(y_label)
    else:
        margin = 0.08 * (most - least) or 0.05 * most
        ax.set_ylim(least - margin, most + margin)
        style.linear_axis(ax.yaxis, y_label)
    style.legend_above(ax)
    return ax


def _draw_law(
    ax: Axes,
    fit: Fit,
    grid: Array,
    largest: float,
    look: Look,
    *,
    ls: str = "--",
    lw: float = 1.6,
    band: bool = True,
) -> Array:
    """The law along a grid of compute or of its input, dotted above `largest`, with the band of its draws."""
    line = _along(fit, fit.law, grid)
    split = int(np.searchsorted(grid, largest, side="right"))
    look.tag(ax.plot(grid[:split], line[:split], color=look.ink, lw=lw, ls=ls))
    look.tag(ax.plot(grid[split - 1 :], line[split - 1 :], color=look.ink, lw=lw, ls=":"))
    if band and fit.draws:
        drawn = np.array([_along(fit, law, grid) for law in fit.draws[:_DRAWS]])
        bounded = np.isfinite(drawn).all(axis=0)
        bottom, top = quantiles(drawn[:, bounded], fit.level)
        look.tag([ax.fill_between(grid[bounded], bottom, top, color=look.ink, alpha=0.13, lw=0)])
    return line


def _along(fit: Fit, law: Law, grid: Array) -> Array:
    """The law of one input there, or the lowest loss of a law of N and D at each compute."""
    if len(law.inputs) == 1:
        return np.asarray(law(**{law.inputs[0]: grid}), dtype=float)
    best = [optimum(fit, law, float(C)) for C in grid]
    return np.array([np.nan if found is None else found.loss for found in best])
