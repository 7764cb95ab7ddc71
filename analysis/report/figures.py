"""One function a figure: data and fits in, Axes out. None fits, none saves, all share one style.

Every function takes `ax` to draw into; without it a new figure is made (`ax.figure`). Colour is the family,
its shade the size; a marker is a measured run and a line a fitted law. Draw inside `style.styled()`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

from analysis.fitting.fit import Fit
from analysis.forecast.findings import pareto
from analysis.forecast.select import Forecast
from analysis.report.decimate import PLENTY, apart
from analysis.report.style import (
    FAINT,
    GREY,
    INK,
    axes_or_new,
    colour,
    label_ends,
    legend_above,
    linear_axis,
    say,
    say_flops,
    scale_axis,
    shades,
)

AXES = {
    "params": "N, non-embedding parameters",
    "tokens": "D, training tokens",
    "flops": "C, training FLOPs (counted)",
    "flops_6nd": "C = 6 N D [FLOP]",
}
LOSS = "held-out loss [nats/token]"
BARS = 200  # held-out runs that are drawn with their intervals
_DRAWS = 200  # bootstrap laws behind a drawn band; a picture needs no more
_Array = NDArray[np.float64]


def plot_loss_vs_params(
    table: pd.DataFrame, fits: Sequence[Fit], *, tokens: Sequence[float] | None = None, ax: Axes | None = None
) -> Axes:
    """Loss against N, a shade a token budget, and the first law along each budget.

    Args:
        tokens: budgets to show; by default those of the table, or six of them where there are more.
    """
    return _loss_along(table, fits, "params", "tokens", tokens, ax)


def plot_loss_vs_tokens(
    table: pd.DataFrame, fits: Sequence[Fit], *, params: Sequence[float] | None = None, ax: Axes | None = None
) -> Axes:
    """Loss against D, a shade a size, and the first law along each size."""
    return _loss_along(table, fits, "tokens", "params", params, ax)


def plot_loss_vs_flops(
    parts: Sequence[tuple[str, pd.DataFrame, Sequence[Fit]]], *, ax: Axes | None = None
) -> Axes:
    """Loss against compute of each (label, runs, fits): runs, their frontier, the first law at its optimum.

    The law counts C = 6 N D, so runs are placed at `flops_6nd`. The band is the central 95 % of its
    bootstrap draws; beyond the largest run the line is dotted, as nothing was measured there.
    """
    ax = axes_or_new(ax)
    everything = pd.concat([runs for _, runs, _ in parts])
    low, high = float(everything["flops_6nd"].min()), float(everything["flops_6nd"].max())
    markers = markers_of([str(runs["family"].iloc[0]) for _, runs, _ in parts])
    for (label, runs, fits), marker in zip(parts, markers, strict=True):
        ink = colour(str(runs["family"].iloc[0]))
        dots = runs.iloc[apart(np.log(runs["flops_6nd"]), runs["loss"])]
        ax.plot(dots["flops_6nd"], dots["loss"], marker, color=ink, ms=3.5, alpha=0.55, mew=0, label=label)
        frontier = pareto(runs.assign(flops=runs["flops_6nd"]))
        ax.plot(frontier["flops"], frontier["loss"], color=ink, lw=0.9, drawstyle="steps-post", alpha=0.8)
        if not fits:
            continue
        budgets = np.geomspace(low, high * 10, 60)
        best = _optimal_losses(fits[0].law, budgets)
        measured = budgets <= float(runs["flops_6nd"].max())
        ax.plot(budgets[measured], best[measured], color=ink, lw=1.6, ls="--")
        ax.plot(budgets[~measured], best[~measured], color=ink, lw=1.6, ls=":")
        band = np.array([_optimal_losses(law, budgets) for law in fits[0].draws[:_DRAWS]])
        if len(band):
            bottom, top = np.nanquantile(band, [0.025, 0.975], axis=0)
            ax.fill_between(budgets, bottom, top, color=ink, alpha=0.13, lw=0)
    for words, style in (("best run so far", "-"), ("law at its optimum", "--"), ("beyond the runs", ":")):
        ax.plot([], [], color=GREY, ls=style, label=words)
    scale_axis(ax, low, high * 10, say_flops)
    least, most = float(everything["loss"].min()), float(everything["loss"].max())
    ax.set_ylim(max(0.0, least - 0.35 * (most - least)), most * 1.03)
    ax.set_xlabel(AXES["flops_6nd"])
    linear_axis(ax.yaxis, LOSS)
    legend_above(ax)
    return ax


def plot_isoflop(
    table: pd.DataFrame, fits: Sequence[Fit], *, budgets: int = 5, ax: Axes | None = None
) -> Axes:
    """Slices of the first law at equal compute, with the runs nearest to each slice and its optimum.

    A run that lies off a slice is moved to it along the law: its loss times L(N, C / 6 N) / L(N, D). Only
    runs within a factor of two of a slice's compute are shown.
    """
    ax = axes_or_new(ax)
    if not fits:
        return empty(ax, "no law could be fitted")
    law = fits[0].law
    family = str(table["family"].iloc[0])
    compute = table["flops_6nd"].to_numpy(dtype=float)
    params = table["params"].to_numpy(dtype=float)
    slices = np.geomspace(np.quantile(compute, 0.15), np.quantile(compute, 0.97), budgets)
    nearest = np.argmin(np.abs(np.log(compute)[:, None] - np.log(slices)[None, :]), axis=1)
    tints = shades(family, budgets)
    ends = []
    sizes = np.geomspace(params.min() / 1.5, params.max() * 1.5, 120)
    shown: list[float] = []
    for k, (C, tint) in enumerate(zip(slices, tints, strict=True)):
        rows = table[(nearest == k) & (np.abs(np.log(compute / C)) < np.log(2))]
        N, D = rows["params"].to_numpy(dtype=float), rows["tokens"].to_numpy(dtype=float)
        moved = rows["loss"].to_numpy(dtype=float) * law(N=N, D=C / (6 * N)) / law(N=N, D=D)
        line = np.asarray(law(N=sizes, D=C / (6 * sizes)), dtype=float)
        ax.plot(sizes, line, color=tint, lw=1.2)
        dots = apart(np.log(N), moved, plenty=PLENTY // budgets)
        ax.plot(N[dots], moved[dots], "o", color=tint, ms=4.5)
        shown += [*moved, float(line.min())]
        optimum = _optimum(law, C)
        if optimum is not None and sizes[0] <= optimum.N <= sizes[-1]:
            ax.plot([optimum.N], [optimum.loss], "D", mfc="white", mec=tint, ms=6, mew=1.4, zorder=4)
        ends.append((float(line[-1]), say_flops(C), tint))
    scale_axis(ax, float(sizes[0]), float(sizes[-1]))
    ax.set_ylim(min(shown) - 0.08 * float(np.ptp(shown)), max(shown) + 0.15 * float(np.ptp(shown)))
    ax.set_xlabel(AXES["params"])
    linear_axis(ax.yaxis, LOSS)
    label_ends(ax, "C = 6ND", ends)
    ax.plot([], [], "D", mfc="white", mec=INK, ms=6, mew=1.4, label="optimum of the law")
    ax.plot([], [], "o", color=GREY, ms=4.5, label="run, moved to the slice")
    legend_above(ax)
    return ax


def plot_residuals(
    table: pd.DataFrame, fits: Sequence[Fit], *, against: str = "params", ax: Axes | None = None
) -> Axes:
    """What the first law leaves unexplained [%], against `params`, `tokens` or the `fitted` loss."""
    ax = axes_or_new(ax)
    if not fits:
        return empty(ax, "no law could be fitted")
    fit = fits[0]
    left = 100 * np.expm1(np.asarray(fit.residuals, dtype=float))
    if against == "fitted":
        x = np.asarray(
            fit.law(N=table["params"].to_numpy(float), D=table["tokens"].to_numpy(float)), dtype=float
        )
        linear_axis(ax.xaxis, "fitted loss [nats/token]", most=5)
    else:
        x = table[against].to_numpy(dtype=float)
        scale_axis(ax, float(x.min()), float(x.max()), words(against))
        ax.set_xlabel(AXES[against])
    ax.axhline(0, color=INK, lw=0.8)
    dots = apart(x if against == "fitted" else np.log(x), left)
    ax.plot(x[dots], left[dots], "o", color=colour(str(table["family"].iloc[0])), ms=4, alpha=0.75, mew=0)
    reach = max(float(np.abs(left).max()) * 1.15, 0.1)
    ax.set_ylim(-reach, reach)
    linear_axis(ax.yaxis, "measured above the law [%]", most=5)
    return ax


def plot_forecast(forecasts: Sequence[tuple[str, str, Forecast]], *, ax: Axes | None = None) -> Axes:
    """Forecast against measured loss of held-out runs, (label, family, forecast) each, with intervals."""
    ax = axes_or_new(ax)
    if not forecasts:
        return empty(ax, "no run was held out")
    markers = markers_of([family for _, family, _ in forecasts])
    ends: list[float] = []
    for (label, family, forecast), marker in zip(forecasts, markers, strict=True):
        rows = forecast.table
        ends += [*rows["loss"], *rows["lo"], *rows["hi"]]
        rows = rows.iloc[apart(rows["loss"], rows["predicted"], plenty=BARS, grain=(BARS // 4, BARS // 4))]
        above = np.stack([rows["predicted"] - rows["lo"], rows["hi"] - rows["predicted"]]).clip(min=0)
        ax.errorbar(
            rows["loss"],
            rows["predicted"],
            yerr=above,
            fmt=marker,
            color=colour(family),
            ms=4.5,
            lw=1.1,
            capsize=2,
            label=f"{label} ({forecast.fit.name}): rms error {100 * forecast.error:.2g} %",
        )
    low, high = min(ends), max(ends)
    margin = 0.06 * (high - low) or 0.01 * high
    line = np.array([low - margin, high + margin])
    ax.fill_between(line, line * 0.99, line * 1.01, color=FAINT, alpha=0.55, lw=0, label="within 1 %")
    ax.plot(line, line, color=INK, lw=0.9)
    ax.set_xlim(*line)
    ax.set_ylim(*line)
    linear_axis(ax.xaxis, "measured loss [nats/token]")
    linear_axis(ax.yaxis, "forecast loss [nats/token]")
    legend_above(ax, columns=1)
    return ax


def plot_parameter(fits: Sequence[tuple[str, str, Fit]], name: str, *, ax: Axes | None = None) -> Axes:
    """One parameter of each (label, family, fit) with its interval, on a log axis where it spans a decade."""
    ax = axes_or_new(ax)
    values = []
    for y, (_, family, fit) in enumerate(fits):
        if name not in fit.law.parameters:
            continue
        value = fit.law.parameters[name]
        low, high = interval_or_point(fit, name)
        ax.plot([low, high], [y, y], color=colour(family), lw=2.2, solid_capstyle="butt")
        ax.plot([value], [y], "o", color=colour(family), ms=6)
        values += [low, high, value]
    ax.set_yticks(range(len(fits)), [label for label, _, _ in fits])
    ax.set_ylim(len(fits) - 0.5, -0.5)
    ax.grid(visible=False, axis="y")
    if values and min(values) > 0 and max(values) / min(values) > 10:
        scale_axis(ax, min(values), max(values), most=4)
    else:
        linear_axis(ax.xaxis, most=4)
    ax.set_title(name)
    return ax


def interval_or_point(fit: Fit, name: str) -> tuple[float, float]:
    """The interval of a parameter, or the parameter twice where the fit has no draws."""
    value = fit.law.parameters[name]
    if not fit.draws:
        return value, value
    return fit.interval(lambda law: float(law.parameters[name]))


def levels(
    values: _Array, wanted: Sequence[float] | None = None, most: int = 6
) -> tuple[_Array, NDArray[np.int_]]:
    """The distinct sizes of a column to draw a line for, and which of them each row belongs to (n,).

    Values within 2 % are one level. Of more than `most` levels those nearest to even quantiles of
    the rows stay, and every row goes to the nearest of them.
    """
    if wanted is None:
        distinct = np.unique(values)
        merged = distinct[np.concatenate([[True], np.diff(np.log(distinct)) > 0.02])]
        thin = np.exp(np.quantile(np.log(values), np.linspace(0.04, 0.96, most)))
        found = (
            merged
            if len(merged) <= most
            else merged[np.unique([np.argmin(np.abs(np.log(merged / t))) for t in thin])]
        )
    else:
        found = np.asarray(sorted(wanted), dtype=float)
    member = np.argmin(np.abs(np.log(values)[:, None] - np.log(found)[None, :]), axis=1)
    return found, member


def markers_of(families: Sequence[str]) -> list[str]:
    """A marker a part: circles, and other shapes for further parts of a family, which share its colour."""
    shapes = "osD^vP*X"
    return [shapes[families[:i].count(family) % len(shapes)] for i, family in enumerate(families)]


def _loss_along(
    table: pd.DataFrame,
    fits: Sequence[Fit],
    axis: str,
    held: str,
    wanted: Sequence[float] | None,
    ax: Axes | None,
) -> Axes:
    ax = axes_or_new(ax)
    family = str(table["family"].iloc[0])
    x = table[axis].to_numpy(dtype=float)
    other = table[held].to_numpy(dtype=float)
    loss = table["loss"].to_numpy(dtype=float)
    found, member = levels(other, wanted)
    dots = np.zeros(len(x), dtype=bool)
    dots[apart(np.log(x), loss)] = True
    grid = np.geomspace(x.min(), x.max(), 100)
    ends = []
    for k, (level, tint) in enumerate(zip(found, shades(family, len(found)), strict=True)):
        here = member == k
        if wanted is not None:
            here &= np.abs(np.log(other / level)) < 0.05
        ax.plot(x[here & dots], loss[here & dots], "o", color=tint, ms=4.5)
        end = float(loss[here][np.argmax(x[here])]) if here.any() else float("nan")
        if fits:
            sizes = {axis: grid, held: np.full_like(grid, level)}
            line = np.asarray(fits[0].law(N=sizes["params"], D=sizes["tokens"]), dtype=float)
            ax.plot(grid, line, color=tint, lw=1.2)
            end = float(line[-1])
        if np.isfinite(end):
            ends.append((end, say(float(level)), tint))
    scale_axis(ax, float(x.min()), float(x.max()))
    ax.set_xlabel(AXES[axis])
    linear_axis(ax.yaxis, LOSS)
    label_ends(ax, "D" if held == "tokens" else "N", ends)
    return ax


def words(column: str) -> Callable[[float], str]:
    return say_flops if column.startswith("flops") else say


def _optimal_losses(law: Any, budgets: _Array) -> _Array:
    found = [_optimum(law, float(C)) for C in budgets]
    return np.array([np.nan if o is None else o.loss for o in found])


def _optimum(law: Any, C: float) -> Any:
    """The law's optimum, or None where its parameters give none."""
    try:
        return law.optimum(C=C)
    except (ValueError, NotImplementedError):
        return None


def empty(ax: Axes, reason: str) -> Axes:
    """Say in the picture why there is nothing in it."""
    ax.text(0.5, 0.5, reason, ha="center", va="center", transform=ax.transAxes, color=GREY)
    ax.set_axis_off()
    return ax
