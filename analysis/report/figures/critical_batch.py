"""The picture of critical batches along training."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes

from analysis.report import style
from analysis.sweeps.critical_batch import CriticalBatch


def plot_branches(
    table: pd.DataFrame, cells: Sequence[CriticalBatch], axes: Sequence[Axes]
) -> Sequence[Axes]:
    """Loss of the branches above the best against their batch, one panel per point of branching.

    Args:
        table: as `critical_batches` takes it; seeds are averaged, each is a faint dot.
        cells: what was found; a triangle is the critical batch.
        axes: one panel per point, in order.
    """
    origins = sorted({cell.origin for cell in cells})
    final = table[table["final"]]
    for ax, origin in zip(axes, origins, strict=True):
        here = [cell for cell in cells if cell.origin == origin]
        for cell, ink in zip(here, style.shades(style.PLAIN, len(here)), strict=True):
            rows = final.query("family == @cell.family and params == @cell.params and origin == @origin")
            mean = rows.groupby("batch_tokens")["loss"].mean()
            # Each seed against its own mean: what trunks differ by is no scatter of their branches.
            level = rows.groupby("seed")["loss"].transform("mean") - mean.mean()
            ax.plot(rows["batch_tokens"], rows["loss"] - level - mean.min(), "o", color=ink, alpha=0.25, ms=3)
            ax.plot(mean.index, mean - mean.min(), "-", color=ink, label=f"N {style.say(cell.params)}")
            if math.isfinite(cell.batch):
                ax.plot(cell.batch, 0, "^", color=ink, ms=8, clip_on=False, zorder=3)
        style.scale_axis(ax, min(c.tried[0] for c in here), max(c.tried[-1] for c in here), most=4)
        ax.set(title=f"branched off at D {style.say(origin)}", xlabel="batch [tokens]")
        style.linear_axis(ax.yaxis)
        ax.set_ylabel("loss above the best [nats/token]")
    axes[0].plot([], [], "^", color=style.GREY, ms=8, label="critical batch")
    axes[0].legend()
    return axes


def plot_critical_batch(cells: Sequence[CriticalBatch], *, ax: Axes) -> Axes:
    """Critical batch against the tokens at which branches leave, with intervals, one colour per size.

    An arrow stands for an interval that what was tried does not close, a hollow dot for what is unidentified.
    """
    sizes = sorted({cell.params for cell in cells})
    tried = sorted({batch for cell in cells for batch in cell.tried})
    low, high = tried[0], tried[-1]
    for place, (size, ink) in enumerate(zip(sizes, style.shades(style.PLAIN, len(sizes)), strict=True)):
        here = sorted((c for c in cells if c.params == size), key=lambda c: c.origin)
        aside = 1.06 ** (place - (len(sizes) - 1) / 2)  # sizes beside one another, not on
        inner = [c for c in here if c.verdict == "inside"]
        x = [c.origin * aside for c in inner]
        ax.plot(x, [c.batch for c in inner], "-o", color=ink, label=f"N {style.say(size)}")
        for c in here:
            down, up = max(c.interval[0], c.tried[0]), min(c.interval[1], c.tried[-1])
            ax.vlines(c.origin * aside, down, up, color=ink, linewidth=1)
            ends = [(c.interval[0] == 0, down, "v"), (math.isinf(c.interval[1]), up, "^")]
            for _, y, marker in (end for end in ends if end[0]):
                ax.plot(c.origin * aside, y, marker, color=ink, ms=5)
            if c.verdict == "unidentified" and math.isfinite(c.batch):
                ax.plot(c.origin * aside, c.batch, "o", color=ink, mfc="white")
    ax.set_yscale("log")
    ax.set_yticks(tried, [f"{batch:,}" for batch in tried])
    ax.minorticks_off()
    style.scale_axis(ax, min(c.origin for c in cells), max(c.origin for c in cells))
    ax.set(xlabel="tokens of the trunk where branches leave", ylabel="critical batch [tokens]")
    for b in (low, high):
        ax.axhline(b, color=style.INK, linewidth=0.6, linestyle=":")
    style.legend_above(ax)
    return ax
