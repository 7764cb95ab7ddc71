"""`python -m experiments.truth.sgd [--schedule trunk]`: a trainer without noise, from records to a forecast.

Trains kernel_sgd into runs/kernel_sgd, where `scaling fit` and `scaling report` read it like any other study.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd

from analysis.fitting.bootstrap.replicates import Bootstrap
from analysis.fitting.fit import fit_runs
from analysis.fitting.lack_of_fit import lack_of_fit
from analysis.fitting.recipe import Recipe
from analysis.fitting.runs import Runs
from analysis.forecast.heldout import forecast_heldout
from analysis.table import load_runs
from experiments.cli import expected_errors
from scaling.virtual.kernel_sgd import KernelSGD
from scaling.virtual.train import SCHEDULES, train_students

SIZES = [2**k for k in range(3, 11)]
SAMPLES = [2**k for k in range(8, 18)]


def describe(runs: pd.DataFrame, teacher: KernelSGD) -> str:
    """What two laws say of the truth, and what each is worth."""
    fitted = Runs.of(
        {"N": runs["params"], "D": runs["tokens"]}, runs["loss"], runs["trunk_id"], compute=runs["flops"]
    )
    lines = [
        f"truth: E {teacher.floor:.4f}, alpha {teacher.alpha:.4f}, beta {teacher.beta:.4f}; {len(runs)} runs"
    ]
    for law in ("coupled", "chinchilla"):
        fit = fit_runs(fitted, Recipe(law))
        held = forecast_heldout(fitted, Recipe(law), Bootstrap(resamples=1), holdout=0.4)
        lines += [
            "",
            str(fit),
            f"forecast of the {len(held.table)} runs of largest compute: {100 * held.error:.2g} %",
        ]
    plain = fit_runs(fitted, Recipe("chinchilla"), Bootstrap(resamples=0))
    return "\n".join([*lines, "", str(lack_of_fit(plain))])


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m experiments.truth.sgd", description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of studies (default: runs)")
    parser.add_argument("--schedule", choices=list(SCHEDULES), default="linear", help="default: linear")
    asked = parser.parse_args(arguments)
    teacher = KernelSGD()
    study = "kernel_sgd" if asked.schedule == "linear" else f"kernel_sgd_{asked.schedule}"
    train_students(teacher, SIZES, SAMPLES, asked.runs, study=study, schedule=asked.schedule)
    print(describe(load_runs(asked.runs / study).rows, teacher))
    return 0


if __name__ == "__main__":
    sys.exit(expected_errors("truth", lambda: main(sys.argv[1:])))
