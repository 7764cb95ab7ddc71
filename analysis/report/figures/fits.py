"""Figures that judge a fit: its residuals, its forecast of held-out runs, and its parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.fitting.fit import Fit
from analysis.forecast.select import Forecast
from analysis.report import style
from analysis.report.arm_style import PLAIN_LOOK, Look, look_of
from analysis.report.figures.axes import AXES, NO_LAW, empty, words
from analysis.report.figures.decimate import apart

BARS = 200  # held-out runs that are drawn with their intervals


def plot_residuals(
    runs: pd.DataFrame,
    fits: Sequence[Fit],
    *,
    against: str = "params",
    look: Look = PLAIN_LOOK,
    ax: Axes | None = None,
) -> Axes:
    """What the first law leaves unexplained [%], against a column of the runs or the `fitted` loss."""
    ax = style.axes_or_new(ax)
    if not fits:
        return empty(ax, NO_LAW)
    residuals = np.asarray(fits[0].residuals, dtype=float)
    left = 100 * np.expm1(residuals)
    if against == "fitted":
        x = runs["loss"].to_numpy(dtype=float) * np.exp(-residuals)
        style.linear_axis(ax.xaxis, "fitted loss [nats/token]", most=5)
    else:
        x = runs[against].to_numpy(dtype=float)
        style.scale_axis(ax, float(x.min()), float(x.max()), words(against))
        ax.set_xlabel(AXES.get(against, against))
    ax.axhline(0, color=style.INK, lw=0.8)
    dots = apart(x if against == "fitted" else np.log(x), left)
    drawn = ax.plot(x[dots], left[dots], look.marker, color=look.ink, ms=4, alpha=0.75, mew=0)
    look.tag(drawn, dots)
    reach = max(float(np.abs(left).max()) * 1.15, 0.1)
    ax.set_ylim(-reach, reach)
    style.linear_axis(ax.yaxis, "measured above the law [%]", most=5)
    return ax


def plot_forecast(
    forecasts: Sequence[tuple[str, Forecast]],
    *,
    looks: Mapping[str, Look] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Forecast against measured loss of held-out runs with intervals, of each (label, forecast).

    An interval much wider than the losses leaves the frame, so that these stay apart.
    """
    ax = style.axes_or_new(ax)
    if not forecasts:
        return empty(ax, "no run was held out")
    looks = look_of(looks, (label for label, _ in forecasts))
    points: list[float] = []
    ends: list[float] = []
    for label, forecast in forecasts:
        rows = forecast.table
        points += [*rows["loss"], *rows["predicted"]]
        ends += [*rows["lo"], *rows["hi"]]
        rows = rows.iloc[apart(rows["loss"], rows["predicted"], plenty=BARS, grain=(BARS // 4, BARS // 4))]
        above = np.stack([rows["predicted"] - rows["lo"], rows["hi"] - rows["predicted"]]).clip(min=0)
        drawn = ax.errorbar(
            rows["loss"],
            rows["predicted"],
            yerr=above,
            fmt=looks[label].marker,
            color=looks[label].ink,
            ms=4.5,
            lw=1.1,
            capsize=2,
            label=f"{label} ({forecast.fit.name}): rms error {100 * forecast.error:.2g} %",
        )
        looks[label].tag(artist for artist in drawn.get_children() if artist is not None)
    low, high = min(points), max(points)
    span = high - low or 0.1 * high
    low, high = min(low, max(low - span, min(ends))), max(high, min(high + span, max(ends)))
    margin = 0.06 * (high - low) or 0.01 * high
    line = np.array([low - margin, high + margin])
    ax.fill_between(line, line * 0.99, line * 1.01, color=style.FAINT, alpha=0.55, lw=0, label="within 1 %")
    ax.plot(line, line, color=style.INK, lw=0.9)
    ax.set_xlim(*line)
    ax.set_ylim(*line)
    style.linear_axis(ax.xaxis, "measured loss [nats/token]")
    style.linear_axis(ax.yaxis, "forecast loss [nats/token]")
    style.legend_above(ax, columns=1)
    return ax


def plot_parameter(fits: Sequence[tuple[str, str, Fit]], name: str, *, ax: Axes | None = None) -> Axes:
    """One parameter of each (label, colour, fit) with its interval, on a log axis where it spans a decade."""
    ax = style.axes_or_new(ax)
    values = []
    for y, (_, ink, fit) in enumerate(fits):
        if name not in fit.law.parameters:
            continue
        value = fit.law.parameters[name]
        low, high = fit.intervals[name] or (value, value)
        ax.plot([low, high], [y, y], color=ink, lw=2.2, solid_capstyle="butt")
        ax.plot([value], [y], "o", color=ink, ms=6)
        values += [low, high, value]
    ax.set_yticks(range(len(fits)), [label for label, _, _ in fits])
    ax.set_ylim(len(fits) - 0.5, -0.5)
    ax.grid(visible=False, axis="y")
    if values and min(values) > 0 and max(values) / min(values) > 10:
        style.scale_axis(ax, min(values), max(values), most=3)
    else:
        style.linear_axis(ax.xaxis, most=3)
    ax.set_title(name)
    return ax
