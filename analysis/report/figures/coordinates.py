"""The picture of a coordinate check."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes

from analysis.report.style import GREY, INK


def plot_coordinates(table: pd.DataFrame, axes: Sequence[Axes]) -> Sequence[Axes]:
    """Change of the logits against width above, depth below; one panel per parametrisation, one line per
    step.

    Args:
        table: columns parametrisation, width, depth, step, moved; seeds are averaged.
        axes: two rows of one panel per parametrisation.

    Source: Yang et al. 2022 (arXiv:2203.03466), appendix D.1.
    """
    names = list(table["parametrisation"].unique())
    last = table["step"].max()
    for row, (along, held) in enumerate((("width", "depth"), ("depth", "width"))):
        fixed = table[held].mode().iloc[0] if row == 0 else table.loc[table["depth"] != 2, "width"].iloc[0]
        for column, name in enumerate(names):
            ax = axes[row * len(names) + column]
            rows = table[(table["parametrisation"] == name) & (table[held] == fixed)]
            for step, line in rows.groupby("step"):
                mean = line.groupby(along)["moved"].mean()
                ax.plot(mean.index, mean, color=INK if step == last else GREY, alpha=0.3 + 0.7 * step / last)
            ax.set(xscale="log", yscale="log", xlabel=along, title=name)
            ax.set_xticks(sorted(rows[along].unique()), [str(v) for v in sorted(rows[along].unique())])
            ax.minorticks_off()
            if column == 0:
                ax.set_ylabel(f"change of logits (rms)\n{held} {fixed}")
    low, high = table["moved"].min(), table["moved"].max()
    ticks = [t for t in (0.01, 0.1, 1, 10, 100) if low / 1.3 <= t <= high * 1.3]
    for ax in axes:
        ax.set_ylim(low / 1.3, high * 1.3)
        ax.set_yticks(ticks, [f"{t:g}" for t in ticks])
        ax.minorticks_off()
    return axes
