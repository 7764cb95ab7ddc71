"""Families against one another: the compute that one needs for the loss of another."""

from __future__ import annotations

from matplotlib.axes import Axes

from analysis.report.style import GREY, axes_or_new, colours, legend_above
from analysis.sweeps.families import FamilyComparison


def plot_compute_multiplier(comparison: FamilyComparison, *, ax: Axes | None = None) -> Axes:
    """Compute of each family over that of the reference, against the loss both reach; bands are intervals.

    Losses fall to the right, so that models get better along the axis.
    """
    ax = axes_or_new(ax)
    inks = colours(comparison.laws)
    for curve in comparison.multipliers:
        ink = inks[curve.family]
        ax.plot(curve.loss, curve.value, color=ink, label=curve.family)
        ax.fill_between(curve.loss, curve.low, curve.high, color=ink, alpha=0.2, linewidth=0)
    ax.axhline(1, color=GREY, linewidth=1, label=comparison.reference)
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    ticks = [t for t in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100) if low <= t <= high]
    ax.set_yticks(ticks, [f"{t:g}×" for t in ticks])
    ax.minorticks_off()
    ax.invert_xaxis()
    ax.set(
        xlabel="held-out loss [nats/token], best size of each family",
        ylabel=f"compute needed, {comparison.reference} = 1",
    )
    legend_above(ax, columns=4)
    return ax
