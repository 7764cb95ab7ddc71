"""`python -m experiments.cooldown [TABLE]`: cooldowns off one trunk against separate cosine runs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd

from analysis.sweeps.paired import compare_paired
from analysis.table import load_runs
from experiments.cli import expected_errors
from experiments.terminal import Column, table

KEPT = Path(__file__).with_name("runs.csv")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m experiments.cooldown", description=__doc__)
    parser.add_argument("table", nargs="?", default=KEPT, help="runs of the study (default: the kept ones)")
    runs = load_runs(parser.parse_args(arguments).table).rows
    found = [
        (name, compare_paired(rows, "schedule", "trunk", "cosine"), saved(rows))
        for name, rows in [*((f"{size:,}", rows) for size, rows in runs.groupby("params")), ("all", runs)]
    ]
    print(
        table(
            [
                Column("N", [name for name, _, _ in found]),
                Column("cells", [str(p.cells) for _, p, _ in found]),
                Column("trunk - cosine", [f"{p.mean:+.4f}" for _, p, _ in found]),
                Column("95 %", [f"[{p.interval[0]:+.4f}, {p.interval[1]:+.4f}]" for _, p, _ in found]),
                Column("seeds", [f"{p.seed_spread:.4f}" for _, p, _ in found]),
                Column("within noise", ["yes" if p.within_noise else "NO" for _, p, _ in found]),
                Column("FLOP ratio", [f"{ratio:.3f}" for _, _, ratio in found]),
            ]
        )
    )
    return 0


def saved(runs: pd.DataFrame) -> float:
    """FLOPs spent on trunks and their cooldowns over those of the cosine runs.

    A trunk is trained up to its last branch, and each run adds its cooldown.
    """
    trunks = runs[runs["schedule"] == "trunk"]
    per_step = trunks["flops"] / trunks["steps"]
    branch = (trunks["steps"] - trunks["cooldown_steps"]) * per_step
    spent = branch.groupby(trunks["trunk_id"]).max().sum() + (trunks["cooldown_steps"] * per_step).sum()
    return float(spent / runs.loc[runs["schedule"] == "cosine", "flops"].sum())


if __name__ == "__main__":
    sys.exit(expected_errors("cooldown", lambda: main(sys.argv[1:])))
