"""The figure of a surface from above: lines of equal loss over N and D, and the path of best use."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.fitting.fit import Fit
from analysis.laws.law import Array
from analysis.report import style
from analysis.report.arm_style import PLAIN_LOOK, Look
from analysis.report.figures.axes import AXES, NO_LAW, empty, law_at, optimum
from analysis.report.figures.decimate import apart

BEYOND = 10.0  # times the largest compute: so far the path goes
_GRID = 60
_LEVELS = 9


def plot_contours(
    runs: pd.DataFrame, fits: Sequence[Fit], *, look: Look = PLAIN_LOOK, ax: Axes | None = None
) -> Axes:
    """Lines of equal loss of the first law over N and D, the runs, and its best N and D at each compute.

    Levels are evenly spaced in the logarithm of what lies above the lowest loss in the frame.

    Source: Hoffmann et al. 2022 (arXiv:2203.15556), figure 4.
    """
    ax = style.axes_or_new(ax)
    if not fits:
        return empty(ax, NO_LAW)
    fit = fits[0]
    N, D = (runs[name].to_numpy(float) for name in ("params", "tokens"))
    computes = np.geomspace(6 * (N * D).min(), 6 * (N * D).max() * BEYOND, 30)
    path = [best for C in computes if (best := optimum(fit, fit.law, float(C))) is not None]
    # A path far off the runs, as of a law that they do not identify, must not squeeze them into a corner.
    near = [b for b in path if N.min() / 30 < b.N < N.max() * 30 and D.min() / 30 < b.D < D.max() * 30]
    ends = [
        (min([*x, *y]) / 1.5, max([*x, *y]) * 1.5)
        for x, y in ((N, [b.N for b in near]), (D, [b.D for b in near]))
    ]
    grids = [np.geomspace(low, high, _GRID) for low, high in ends]
    loss = law_at(fit, grids[0][None, :], grids[1][:, None])
    style.scale_axis(ax, *ends[0])  # before the labels, which lie along the lines as they are drawn
    style.log_axis(ax.yaxis, *ends[1])
    ax.set_ylim(*ends[1])
    levels = _levels(loss)
    if len(levels) > 1:
        drawn = ax.contour(*grids, loss, levels=levels, colors=[style.GREY], linewidths=0.9)
        ax.clabel(drawn, levels[::-2], fmt="{:.3g}".format, fontsize=style.SMALL, inline_spacing=2)
    if near:
        line = ax.plot([b.N for b in near], [b.D for b in near], color=look.ink, lw=2, label="best N and D")
        look.tag(line)
    dots = apart(np.log(N), np.log(D))
    look.tag(
        ax.plot(N[dots], D[dots], look.marker, color=look.ink, ms=4.5, alpha=0.8, mew=0, label="run"), dots
    )
    ax.set_xlabel(AXES["params"])
    ax.set_ylabel(AXES["tokens"])
    style.legend_above(ax)
    return ax


def _levels(loss: Array) -> list[float]:
    """Losses of few digits in the frame, closer together where the surface is flat."""
    low, high = float(np.nanmin(loss)), float(np.nanmax(loss))
    if not (np.isfinite([low, high]).all() and high > low):
        return []
    rise = np.geomspace(0.04 * (high - low), high - low, _LEVELS + 1)[:-1]
    return sorted({float(f"{low + r:.3g}") for r in rise if low < float(f"{low + r:.3g}") < high})
