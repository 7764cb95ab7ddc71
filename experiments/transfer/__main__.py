"""`python -m experiments.transfer [RUNS]`: does the best learning rate stay where it is as models grow wider?

Without RUNS, from the table kept beside this file; RUNS is the folder of `scaling run study=transfer`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from analysis.report.figures.transfer import plot_transfer
from analysis.report.style import save, styled
from analysis.sweeps.transfer import Transfer, measure_transfer
from experiments.cli import expected_errors
from experiments.terminal import Column, table
from scaling.records.record import read_study
from scaling.records.storage import write_atomic

KEPT = Path(__file__).with_name("runs.csv")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m experiments.transfer", description=__doc__)
    parser.add_argument("source", nargs="?", type=Path, default=KEPT, help="runs/STUDY, or a table")
    source = parser.parse_args(arguments).source
    if source.is_dir():
        runs = read_runs(source)
        source = source / "transfer.csv"
        write_atomic(source, runs.to_csv(index=False).encode())
    runs = pd.read_csv(source)
    found = {str(name): measure_transfer(rows) for name, rows in runs.groupby("parametrisation", sort=False)}
    print(describe(found))
    with styled():
        figure = Figure(figsize=(4.4 * len(found), 4.2), layout="constrained")
        plot_transfer(runs, found, list(figure.subplots(1, len(found), sharey=True, squeeze=False).flat))
        write_atomic(source.with_suffix(".png"), save(figure, ["png"])["png"])
    print(f"\nfigure: {source.with_suffix('.png')}")
    return 0


def read_runs(folder: Path) -> pd.DataFrame:
    """A row a finished run, without the rates at which a seed diverged."""
    found = pd.DataFrame(
        [
            {
                "parametrisation": run.spec["trunk"].get("parametrisation", "standard"),
                "width": run.width,
                "params": run.params,
                "tokens": run.tokens,
                "learning_rate": run.learning_rate,
                "seed": run.seed,
                "loss": run.loss,
            }
            for run in read_study(folder).records
        ]
    )
    cells = found.groupby(["parametrisation", "width", "learning_rate"])["loss"]
    whole = found[cells.transform("count") == cells.transform("size")]
    by = ["parametrisation", "width", "learning_rate", "seed"]
    return whole.sort_values(by, ascending=[False, True, True, True], ignore_index=True)


def describe(found: dict[str, Transfer]) -> str:
    """One line per width, and one sentence per parametrisation."""
    rows = [(name, optimum) for name, transfer in found.items() for optimum in transfer.optima]
    lines = [
        table(
            [
                Column("parametrisation", [name for name, _ in rows], left=True),
                Column("width", [str(o.width) for _, o in rows]),
                Column("best rate", [f"{o.rate:.2e}" for _, o in rows]),
                Column("95 %", [f"[{o.interval[0]:.1e}, {o.interval[1]:.1e}]" for _, o in rows]),
                Column("loss", [f"{o.loss:.4f}" for _, o in rows]),
                Column("edge of the grid", ["YES" if o.edge else "no" for _, o in rows]),
            ]
        ),
        "",
        *(f"{name}: {transfer}" for name, transfer in found.items()),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(expected_errors("transfer", lambda: main(sys.argv[1:])))
