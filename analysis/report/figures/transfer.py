"""The figure of learning rates that transfer across widths, or do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes

from analysis.report.style import PLAIN, linear_axis, scale_axis, shades
from analysis.sweeps.transfer import Transfer


def plot_transfer(table: pd.DataFrame, found: Mapping[str, Transfer], axes: Sequence[Axes]) -> Sequence[Axes]:
    """Loss against learning rate, one curve per width; one panel per parametrisation.

    Seeds are averaged, each a faint dot; a bar below is the best rate's interval, with a dot at the rate,
    hollow where that lies at the edge of the grid. The highest tenth of the losses is cut off.

    Args:
        table: columns parametrisation, width, learning_rate, loss.
        found: by parametrisation, a panel each.

    Source: Yang et al. 2022 (arXiv:2203.03466), figure 1.
    """
    least, most = table["loss"].min(), table["loss"].quantile(0.9)
    for ax, (name, transfer) in zip(axes, found.items(), strict=True):
        rows = table[table["parametrisation"] == name]
        for place, (optimum, ink) in enumerate(
            zip(transfer.optima, shades(PLAIN, len(transfer.optima)), strict=True)
        ):
            here = rows[rows["width"] == optimum.width]
            mean = here.groupby("learning_rate")["loss"].mean()
            ax.plot(here["learning_rate"], here["loss"], "o", color=ink, alpha=0.25, ms=3)
            ax.plot(mean.index, mean, "-", color=ink, label=f"width {optimum.width}")
            below = least - (0.03 + 0.03 * place) * (most - least)
            ax.plot(optimum.interval, [below, below], "-", color=ink, linewidth=1)
            ax.plot(optimum.rate, below, "o", color=ink, mfc="white" if optimum.edge else ink)
        scale_axis(ax, table["learning_rate"].min(), table["learning_rate"].max(), most=6)
        ax.set(title=name, xlabel="learning rate", ylim=(below - 0.04 * (most - least), most))
        linear_axis(ax.yaxis)
    axes[0].set_ylabel("held-out loss [nats/token]")
    axes[-1].legend(loc="upper left")
    return axes
