"""`python -m experiments.optimizers [TABLE]`: how much compute Muon saves over AdamW, with an interval."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from analysis.sweeps.families import compare_families
from analysis.sweeps.rates import best_rates, fit_rule
from analysis.table import load_runs
from experiments.cli import expected_errors
from experiments.families.__main__ import describe
from experiments.terminal import Column, table
from scaling.study.rates import BATCH

FOLDER = Path(__file__).parent
CELL = ["params", "tokens"]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m experiments.optimizers", description=__doc__)
    parser.add_argument("table", nargs="?", default=FOLDER / "runs.csv", help="runs of study=optimizers")
    parser.add_argument(
        "--rates",
        metavar="TABLE",
        nargs="?",
        const=FOLDER / "rates.csv",
        help="print the rules of a sweep of rates instead",
    )
    parser.add_argument("--resamples", type=int, default=400)
    asked = parser.parse_args(arguments)
    if asked.rates:
        print("\n".join(rules(load_runs(asked.rates).rows)))
        return 0
    rows = load_runs(asked.table).rows
    gains = differences(rows)
    cells = gains.groupby(CELL)["gain"].agg(["mean", "std", "count"]).reset_index()
    print(
        table(
            [
                Column("N", [f"{n:,.0f}" for n in cells["params"]]),
                Column("D", [f"{d:,.0f}" for d in cells["tokens"]]),
                Column("AdamW - Muon [nats]", [f"{g:+.4f}" for g in cells["mean"]]),
                Column("sd over seeds", [f"{s:.4f}" for s in cells["std"]]),
            ]
        )
    )
    for what, part in (("all cells", gains), *((f"N {n:,}", p) for n, p in gains.groupby("params"))):
        mean, low, high = interval(part.groupby("seed")["gain"].mean().to_numpy())
        print(f"{what}: Muon's loss is lower by {mean:+.4f} nats, 95 % [{low:+.4f}, {high:+.4f}], over seeds")
    print(
        f"\n{describe(compare_families(rows, by='optimizer', reference='adamw', resamples=asked.resamples))}"
    )
    return 0


def differences(rows: pd.DataFrame) -> pd.DataFrame:
    """AdamW's loss less Muon's at the same size, budget and seed: columns params, tokens, seed, gain."""
    losses = rows.pivot_table(index=[*CELL, "seed"], columns="optimizer", values="loss")  # one run per cell
    return (losses["adamw"] - losses["muon"]).rename("gain").reset_index()


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """Mean, and its 95 % t interval, of one number per seed (n,)."""
    mean = float(values.mean())
    half = float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5)
    return mean, mean - half, mean + half


def rules(rows: pd.DataFrame) -> list[str]:
    """The rule of each optimizer for the learning rate, the optima behind it, and the entry of `rates`."""
    lines = []
    for optimizer, part in rows.groupby("optimizer"):
        cells = best_rates(pd.DataFrame(part))
        lines += [
            f"{optimizer}  N {c.params:>7,}  D {c.tokens:>9,}  best rate {c.rate:.2e}  "
            f"within 1 % {c.low:.1e} … {c.high:.1e}  loss {c.loss:.4f}{'  EDGE' if c.edge else ''}"
            for c in cells
        ]
        rule = fit_rule(cells)
        lines.append(f"{optimizer}: {rule}")
        name = "decoder" if optimizer == "adamw" else f"decoder.{optimizer}"
        batch = float(part["batch_tokens"].iloc[0])
        at = rule.rate * (BATCH / batch) ** 0.5
        lines.append(f"  as rates: {name}: {{rate: {at:.3g}, params_exponent: {rule.exponent:.3f}}}")
    return lines


if __name__ == "__main__":
    sys.exit(expected_errors("optimizers", lambda: main(sys.argv[1:])))
