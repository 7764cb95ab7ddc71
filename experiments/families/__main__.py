"""`python -m experiments.families [TABLE]`: causal families: floor, exponents, compute multiplier."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from matplotlib.figure import Figure

from analysis.report.figures.families import plot_compute_multiplier
from analysis.report.style import save, styled
from analysis.sweeps.families import FamilyComparison, compare_families
from analysis.table import load_runs
from experiments.cli import expected_errors
from experiments.terminal import Column, table
from scaling.records.storage import write_atomic

FOLDER = Path(__file__).parent


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m experiments.families", description=__doc__)
    parser.add_argument("table", nargs="?", default=FOLDER / "runs.csv")
    parser.add_argument("--reference", default="decoder")
    parser.add_argument("--resamples", type=int, default=400)
    parser.add_argument("--figure", type=Path, help="write the compute multiplier there, as PNG")
    asked = parser.parse_args(arguments)
    runs = load_runs(asked.table).rows
    causal = runs[runs["objective"] == "causal"]
    found = compare_families(causal, reference=asked.reference, resamples=asked.resamples)
    print(describe(found))
    if asked.figure:
        with styled():
            figure = Figure(figsize=(5.6, 3.8), layout="constrained")
            plot_compute_multiplier(found, ax=figure.subplots())
            write_atomic(asked.figure, save(figure, ["png"])["png"])
    return 0


def describe(found: FamilyComparison) -> str:
    """Laws, tests and the multiplier at five losses."""
    laws = table(
        [
            Column("family", list(found.laws), left=True),
            *(
                Column(name, [f"{getattr(law, name):.4g}" for law in found.laws.values()])
                for name in ("E", "A", "B", "alpha", "beta", "k")
            ),
        ]
    )
    lines = [f"{found.runs} causal runs, rms {100 * found.rms:.2g} %", "", laws, ""]
    lines += [str(found.shared_floor), str(found.equal_exponents), ""]
    for curve in found.multipliers:
        some = range(0, len(curve.loss), 6)
        lines += [
            f"compute of {curve.family} over {found.reference} for the same loss:",
            table(
                [
                    Column("loss", [f"{curve.loss[i]:.3f}" for i in some]),
                    Column("times", [f"{curve.value[i]:.2f}" for i in some]),
                    Column(
                        f"{100 * found.level:g} %",
                        [f"[{curve.low[i]:.2f}, {curve.high[i]:.2f}]" for i in some],
                    ),
                ]
            ),
            "",
        ]
    return "\n".join(lines).rstrip()


if __name__ == "__main__":
    sys.exit(expected_errors("families", lambda: main(sys.argv[1:])))
