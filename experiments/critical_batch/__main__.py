"""`python -m experiments.critical_batch [RUNS | TABLE]`: how large batches may be, by branching off a trunk.

RUNS is a study at a constant rate (training.cooldown=0): each of its runs is a point to branch off. Branches
that have a record already are not trained again; the table and the figure go to RUNS_branches.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from analysis.report.figures.critical_batch import plot_branches, plot_critical_batch
from analysis.report.style import save, styled
from analysis.sweeps.critical_batch import (
    TOLERANCE,
    CriticalBatch,
    critical_batches,
    fit_growth,
)
from experiments.cli import expected_errors
from experiments.terminal import Column, table
from scaling.records.storage import write_atomic

KEPT = Path(__file__).with_name("branches.csv")
FACTORS = (0.25, 0.5, 1, 2, 4, 8, 16, 32)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m experiments.critical_batch", description=__doc__)
    parser.add_argument(
        "source", nargs="?", type=Path, default=KEPT, help="runs/STUDY with training.cooldown=0, or a table"
    )
    parser.add_argument(
        "--points", type=int, nargs="+", help="tokens of the runs to branch off (default: all)"
    )
    parser.add_argument("--factors", type=float, nargs="+", default=FACTORS, help="of the batch")
    parser.add_argument("--tokens", type=int, help="of each branch (default: as many as its run has seen)")
    parser.add_argument("--microbatch", type=int, help="rows at once (default: as many as the runs took)")
    parser.add_argument("--cache", default="~/.cache/scaling", help="of corpora")
    parser.add_argument("--tolerance", type=float, default=TOLERANCE, help="nats (default 0.01)")
    parser.add_argument("--overhead", type=float, default=0.2, help="of tokens (default 0.2)")
    asked = parser.parse_args(arguments)
    source = asked.source
    if source.is_dir():
        from experiments.critical_batch.branch import read_branches, train_branches  # here: needs PyTorch

        home = train_branches(
            *(source, asked.factors),
            tokens=asked.tokens,
            points=asked.points,
            microbatch=asked.microbatch,
            cache=asked.cache,
        )
        source = home / KEPT.name
        write_atomic(source, read_branches(home).to_csv(index=False).encode())
    found = pd.read_csv(source)
    cells = critical_batches(found, tolerance=asked.tolerance)
    print(f"within {asked.tolerance:g} nats of every smaller batch\n{describe(cells)}\n")
    try:
        print(f"at an overhead of {asked.overhead:.0%} of the tokens of a branch")
        print(describe(critical_batches(found, overhead=asked.overhead)))
    except ValueError as error:
        print(error)
    print(f"\nfigure: {draw(found, cells, source.with_suffix('.png'))}")
    return 0


def describe(cells: list[CriticalBatch]) -> str:
    """One line per cell, and how the critical batch grows."""
    lines = [
        table(
            [
                Column("family", [c.family for c in cells], left=True),
                Column("N", [f"{c.params:,}" for c in cells]),
                Column("from D", [f"{c.origin:,}" for c in cells]),
                Column("critical batch", [_said(c.batch) for c in cells]),
                Column("95 %", [f"[{_said(c.interval[0])}, {_said(c.interval[1])}]" for c in cells]),
                Column("verdict", [c.verdict for c in cells], left=True),
                Column("tolerance", [f"{c.tolerance:.4f}" for c in cells]),
                Column("seeds", [str(c.seeds) for c in cells]),
            ]
        )
    ]
    for family in dict.fromkeys(c.family for c in cells):
        try:
            lines.append(f"{family}: grows as {fit_growth([c for c in cells if c.family == family])}")
        except ValueError as error:
            lines.append(f"{family}: no exponent: {error}")
    return "\n".join(lines)


def draw(found: pd.DataFrame, cells: list[CriticalBatch], path: Path) -> Path:
    """Loss against batch, one panel per point of branching, and what follows from it."""
    points = found["origin"].nunique()
    columns = math.ceil((points + 1) / 2)
    with styled():
        figure = Figure(figsize=(4.2 * columns, 6.8), layout="constrained")
        axes = list(figure.subplots(2, columns, squeeze=False).flat)
        plot_branches(found, cells, axes[:points])
        plot_critical_batch(cells, ax=axes[points])
        for spare in axes[points + 1 :]:
            spare.remove()
        write_atomic(path, save(figure, ["png"])["png"])
    return path


def _said(batch: float) -> str:
    return "…" if batch == 0 or math.isinf(batch) else f"{batch:,.0f}"


if __name__ == "__main__":
    sys.exit(expected_errors("critical_batch", lambda: main(sys.argv[1:])))
