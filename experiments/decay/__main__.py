"""`python -m experiments.decay [TABLE]`: the best weight decay at each budget, and how it varies with D."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from analysis.sweeps.rates import BestRate, best_rates
from analysis.table import load_runs
from experiments.cli import expected_errors
from experiments.terminal import Column, table

KEPT = Path(__file__).with_name("runs.csv")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m experiments.decay", description=__doc__)
    parser.add_argument("table", nargs="?", default=KEPT, help="runs of study=decay (default: the kept ones)")
    asked = parser.parse_args(arguments)
    rows = load_runs(asked.table).rows
    cells = best_decays(rows)
    print(
        table(
            [
                Column("D", [f"{c.tokens:,}" for _, c in cells]),
                Column("seed", [str(seed) for seed, _ in cells]),
                Column("best decay", [f"{c.rate:.3g}" for _, c in cells]),
                Column("within 1 %", [f"{c.low:.2g} … {c.high:.2g}" for _, c in cells]),
                Column("tau there", [f"{tau_at(rows, c):.2g}" for _, c in cells]),
                Column("loss", [f"{c.loss:.4f}" for _, c in cells]),
                Column("edge of the grid", ["YES" if c.edge else "no" for _, c in cells]),
            ]
        )
    )
    inside = [c for _, c in cells if not c.edge]
    if len({c.tokens for c in inside}) < 3:
        print("\nno slope: fewer than three budgets have a best decay inside the grid")
        return 0
    slope, low, high = slope_in_data(inside)
    print(
        f"\nbest decay ∝ D^{slope:.2f}, 95 % [{low:.2f}, {high:.2f}], from {len(inside)} optima; 1/D is D^-1"
    )
    return 0


def best_decays(rows: pd.DataFrame) -> list[tuple[int, BestRate]]:
    """The best decay of every seed and budget, by the parabola that finds best learning rates."""
    swept = rows.assign(learning_rate=rows["weight_decay"])
    found = [
        (int(str(seed)), cell)
        for seed, part in swept.groupby("seed")
        for cell in best_rates(pd.DataFrame(part))
    ]
    return sorted(found, key=lambda item: (item[1].tokens, item[0]))


def tau_at(rows: pd.DataFrame, cell: BestRate) -> float:
    """1 / (rate * decay * steps) at a best decay."""
    run = rows[(rows["params"] == cell.params) & (rows["tokens"] == cell.tokens)].iloc[0]
    return 1 / (float(run["learning_rate"]) * cell.rate * float(run["steps"]))


def slope_in_data(cells: list[BestRate]) -> tuple[float, float, float]:
    """The exponent of the best decay in D, with its 95 % t interval."""
    x, y = (np.log([getattr(c, name) for c in cells]) for name in ("tokens", "rate"))
    line = stats.linregress(x, y)
    half = float(stats.t.ppf(0.975, len(cells) - 2)) * line.stderr
    return float(line.slope), float(line.slope - half), float(line.slope + half)


if __name__ == "__main__":
    sys.exit(expected_errors("decay", lambda: main(sys.argv[1:])))
