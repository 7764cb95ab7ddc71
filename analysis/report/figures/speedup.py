"""The speed-up of each recipe over the baseline, along compute."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from analysis.report.style import GREY, axes_or_new, colours, legend_above, log_axis, say_flops, scale_axis
from analysis.sweeps.compare import Comparison


def plot_speedup(comparison: Comparison, *, ax: Axes | None = None) -> Axes:
    """Draw lines with bands from the smallest compute to the last that was asked about; points as measured.

    The band is dashed beyond the largest compute that both arms were trained with.
    """
    ax = axes_or_new(ax)
    inks = colours([comparison.baseline, *(lead.arm for lead in comparison.leads)])
    for lead in comparison.leads:
        ink = inks[lead.arm]
        end = max(*comparison.at(lead), lead.largest)
        compute = np.geomspace(lead.smallest, end, 60)
        found = [lead.at(C) for C in compute]
        value = np.array([each.value for each in found])
        inside = compute <= lead.largest
        ax.plot(compute[inside], value[inside], color=ink, label=lead.arm)
        ax.plot(compute[~inside], value[~inside], color=ink, linestyle="--")
        low, high = ([getattr(each, side) for each in found] for side in ("low", "high"))
        ax.fill_between(compute, low, high, color=ink, alpha=0.2, linewidth=0)
        for point in lead.points:
            ends = (point.speedup.low, point.speedup.high)
            ax.plot([point.compute] * 2, ends, color=ink, linewidth=1)
            ax.plot(point.compute, point.speedup.value, "o", color=ink, markersize=4)
    ax.axhline(1, color=GREY, linewidth=1, label=comparison.baseline)
    reach = [(lead.smallest, max(*comparison.at(lead), lead.largest)) for lead in comparison.leads]
    scale_axis(ax, min(low for low, _ in reach), max(high for _, high in reach), say_flops)
    ax.set_yscale("log")
    low_y, high_y = ax.get_ylim()
    log_axis(ax.yaxis, low_y, high_y, lambda times: f"{times:g}×", most=6)
    unit = "compute" if comparison.per == "compute" else "time"
    ax.set(xlabel="training compute [FLOP]", ylabel=f"{unit} saved, {comparison.baseline} = 1")
    legend_above(ax, columns=4)
    return ax
