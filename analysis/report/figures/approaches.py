"""The figure of the three approaches to the best size, and of what following each would waste."""

from __future__ import annotations

from matplotlib.axes import Axes

from analysis.forecast.isoflop import Comparison
from analysis.report import style

_LOOKS = {1: ("#b06a00", "s"), 2: ("#7a4fa3", "^"), 3: ("#1f5f99", "o")}  # no family has these three together

BEYOND = 10.0  # times the sizes of all lines and marks: so far an interval is drawn


def plot_approaches(found: Comparison, *, ax: Axes | None = None) -> Axes:
    """Best size against compute by each approach, with intervals where they are compared.

    Marks are what each found at a budget (for the surface, its own curve), lines its power law, dotted where
    nothing was measured; at the right the advised size, an arrow where its interval goes on. The legend says
    what share of compute it wastes if the surface is true.
    """
    ax = style.axes_or_new(ax)
    sizes: list[float] = []
    first = min(float(approach.budgets.min()) for approach in found.approaches)
    rows = {row["approach"]: row for row in found.table.to_dict(orient="records")}
    for approach in found.approaches:
        ink, mark = _LOOKS[approach.number]
        row = rows.get(approach.number)
        ends = (float(approach.budgets.min()), float(approach.budgets.max()), found.compute)
        line = [approach.optimum(C)[0] for C in ends]
        label = f"{approach.number} {approach.name}: a {approach.a:z.2f}"
        if row is None:
            label += ", not followed"
        else:
            label += f", wastes {100 * row['regret']:.2g} %" if approach.number < 3 else ", the judge"
        ax.plot(ends[:2], line[:2], color=ink, lw=1.6, label=label)
        ax.plot(ends[1:], line[1:], color=ink, lw=1.2, ls=(0, (1, 2)))
        if approach.number < 3:
            ax.plot(approach.budgets, approach.sizes, mark, color=ink, ms=2 if approach.number == 1 else 4)
        sizes += [*line, *approach.sizes]
    least, most = min(sizes), max(sizes)
    for approach in found.approaches:
        ink, mark = _LOOKS[approach.number]
        row = rows.get(approach.number)
        if row is not None and row["N_lo"] <= row["N_hi"]:
            nudge = found.compute * (1 + 0.12 * (approach.number - 2))  # bars of three that agree stay apart
            bar = (max(row["N_lo"], least / BEYOND), min(row["N_hi"], most * BEYOND))
            ax.plot([nudge] * 2, bar, color=ink, lw=2, solid_capstyle="butt")
            ax.plot([nudge], [row["N"]], mark, color=ink, ms=6)
            for end, known, arrow in zip(bar, (row["N_lo"], row["N_hi"]), "v^", strict=True):
                if end != known:
                    ax.plot([nudge], [end], arrow, color=ink, ms=5)
            sizes += bar
    style.scale_axis(ax, first, found.compute * 1.15, style.say_flops)
    style.log_axis(ax.yaxis, min(sizes), max(sizes))
    ax.set_xlabel("compute C = 6 N D [FLOP]")
    ax.set_ylabel("best size N")
    style.legend_above(ax, columns=1)
    return ax
