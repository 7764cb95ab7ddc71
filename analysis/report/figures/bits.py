"""Loss and capability against the size of compressed models in bits."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from analysis.report import style
from analysis.report.figures.axes import LOSS, empty


def plot_loss_vs_bits(evaluations: pd.DataFrame, *, task: str = "loss", ax: Axes | None = None) -> Axes:
    """Loss, or the score of a task, against bits of the whole model: one line per setting, one dot per run.

    At equal bits the lower loss wins: more weights of fewer bits, or fewer of more. Of runs of one size the
    one with most tokens is shown.

    Args:
        evaluations: of `load_evaluations`, after `scaling evaluate --quantise … --prune …`.
    """
    ax = style.axes_or_new(ax)
    rows = _with_bits(evaluations, task)
    if rows.empty:
        return empty(ax, f"no score of {task!r} under any setting: scaling evaluate RUNS --quantise 8,4,3,2")
    quantised = sorted(rows["quantise"].dropna().unique(), reverse=True)
    pruned = sorted(rows["prune"].dropna().unique())
    plain = rows["quantise"].isna() & rows["prune"].isna()
    lines: list[tuple[str, Any, Any, str]] = [("as trained", plain, style.INK, "-")]
    for bits, tint in zip(quantised, style.shades(style.PALETTE[0], len(quantised)), strict=False):
        lines.append((f"{bits:g} bits", rows["quantise"] == bits, tint, "-"))
    for part, tint in zip(pruned, style.shades(style.PALETTE[1], len(pruned)), strict=False):
        lines.append((f"{part:.0%} pruned", rows["prune"] == part, tint, "--"))
    for label, member, tint, dashes in lines:
        line = rows[member].sort_values("bits")
        ax.errorbar(
            line["bits"], line["value"], yerr=line["se"], label=label, color=tint, ls=dashes, marker="o", ms=4
        )
    style.scale_axis(ax, float(rows["bits"].min()), float(rows["bits"].max()))
    ax.set_xlabel("weights × bits of each [bit]")
    style.linear_axis(ax.yaxis, LOSS if task == "loss" else task)
    style.legend_above(ax, columns=4)
    return ax


def _with_bits(evaluations: pd.DataFrame, task: str) -> pd.DataFrame:
    """Rows of a task, the longest run of each size, each with the bits of its model under its setting."""
    if evaluations.empty or "bits" not in evaluations:
        return evaluations.iloc[:0]
    keys = ["run_id", "quantise", "prune"]
    losses = evaluations.loc[evaluations["task"] == "loss", [*keys, "bits"]]
    rows = evaluations[evaluations["task"] == task].drop(columns="bits")
    rows = rows.merge(losses, on=keys)  # NaN meets NaN: a model as trained
    longest = rows.groupby("params")["tokens"].transform("max")
    return rows[rows["tokens"] == longest]
