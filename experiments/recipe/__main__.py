"""`python -m experiments.recipe [TABLE]`: the loss of each recipe in each cell, and how far seeds differ."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.table import load_runs
from experiments.cli import expected_errors
from experiments.terminal import Column, table

KEPT = Path(__file__).with_name("runs.csv")
HEADS = Path(__file__).with_name("heads.csv")
VARIANTS = Path(__file__).with_name("variants.csv")
ARM = ["optimizer", "shift", "batch_tokens", "learning_rate"]
CELL = ["params", "tokens"]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m experiments.recipe", description=__doc__)
    parser.add_argument("table", nargs="?", default=KEPT, help="runs (default: the kept ones)")
    parser.add_argument("--heads", action="store_true", help="print heads.csv instead: heads and trunks")
    parser.add_argument(
        "--variants", action="store_true", help="print variants.csv instead: the demo, changed"
    )
    asked = parser.parse_args(arguments)
    if asked.variants:
        print("\n\n".join(falls(pd.read_csv(VARIANTS))))
        return 0
    if asked.heads:
        print("\n\n".join(by_budget(pd.read_csv(HEADS))))
        return 0
    cells = spread(load_runs(asked.table).rows)
    print(
        table(
            [
                Column("N", [f"{n:,}" for n in cells["params"]]),
                Column("D", [f"{d:,}" for d in cells["tokens"]]),
                Column("optimizer", list(cells["optimizer"]), left=True),
                Column("shift", ["yes" if s else "no" for s in cells["shift"]]),
                Column("batch", [f"{b:,}" for b in cells["batch_tokens"]]),
                Column("rate", [f"{r:.3g}" for r in cells["learning_rate"]]),
                Column("seeds", [str(n) for n in cells["count"]]),
                Column("loss", [f"{m:.4f}" for m in cells["mean"]]),
                Column("sd / loss", ["" if np.isnan(s) else f"{s:.2%}" for s in cells["spread"]]),
            ]
        )
    )
    return 0


def by_budget(rows: pd.DataFrame) -> list[str]:
    """One table per study: the loss of each width and number of heads, one column per budget."""
    found = []
    for name, part in rows.groupby("study"):
        cells = part.pivot_table(index=["width", "heads", "params"], columns="tokens", values="loss")
        shapes = zip(("width", "heads", "N"), zip(*cells.index, strict=True), strict=True)
        columns = [Column(title, [f"{value:,}" for value in values]) for title, values in shapes]
        losses = [Column(f"D {tokens:,}", [f"{x:.4f}" for x in cells[tokens]]) for tokens in cells]
        found.append(f"{name}\n{table([*columns, *losses])}")
    return found


def falls(rows: pd.DataFrame) -> list[str]:
    """The loss of each study and size by budget, and the power of D by which it falls between budgets."""
    rows = rows.assign(D=[float(f"{tokens:.2g}") for tokens in rows["tokens"]])
    seeds = rows.groupby(["study", "params"])["seed"].nunique()
    cells = rows.pivot_table(index=["study", "params"], columns="D", values="loss", aggfunc="mean")
    spreads = rows.pivot_table(index=["study", "params"], columns="D", values="loss", aggfunc="std") / cells
    powers = -cells.map(np.log).diff(axis=1).iloc[:, 1:] / np.diff(np.log(cells.columns.to_numpy()))
    shown = (
        ("loss", cells, ".4f"),
        ("sd / loss of seeds", spreads.dropna(), ".2%"),
        ("power of D", powers, ".3f"),
    )
    found = []
    for title, values, form in shown:
        first = [
            Column("study", [study for study, _ in values.index], left=True),
            Column("N", [f"{n:,}" for _, n in values.index]),
            Column("seeds", [str(seeds[key]) for key in values.index]),
        ]
        rest = [Column(f"to {D:,.0f}", [format(x, form) for x in values[D]]) for D in values]
        found.append(f"{title}\n{table([*first, *rest])}")
    return found


def spread(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per cell and recipe: count, mean and spread, the sd over seeds by the mean; NaN of one seed."""
    cells = rows.groupby([*CELL, *ARM])["loss"].agg(["count", "mean", "std"]).reset_index()
    return cells.assign(spread=cells["std"] / cells["mean"])


if __name__ == "__main__":
    sys.exit(expected_errors("recipe", lambda: main(sys.argv[1:])))
