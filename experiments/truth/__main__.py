"""`python -m experiments.truth [RUNS]`: make again what is kept in this folder.

With RUNS (runs/truth after `scaling run study=truth`), runs.csv is written anew first.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from matplotlib.figure import Figure

from analysis.report.style import save, styled
from analysis.report.write import write_report
from analysis.table import load_runs
from experiments.cli import expected_errors
from experiments.truth import facts, leaks
from scaling.records.storage import make_folder, write_atomic

HERE = Path(__file__).parent
BEST = HERE / "best.csv"  # the best rate of each size and budget from the cut on: what the report is of
QUESTION = "Does a sweep of small transformers, fitted like any other, find the floor that its source has?"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m experiments.truth", description=__doc__)
    parser.add_argument("runs", nargs="?", help="runs/truth; default: the kept runs.csv as it is")
    asked = parser.parse_args(arguments)
    leaking = leaks.main([asked.runs, str(facts.KEPT)]) if asked.runs else 0
    best = facts.best_of_rates(facts.read(facts.KEPT))
    cuts = facts.fit_cuts(best)
    print(facts.describe(best, cuts))
    best[best["tokens"] >= facts.CUT].to_csv(BEST, index=False)
    # A relative name, so that the report names no folder of this machine.
    write_report(load_runs(os.path.relpath(BEST)), out=HERE / "report", question=QUESTION)
    figures = make_folder(HERE / "report" / "figures")
    with styled():
        for name, axes in (
            ("stability", facts.plot_stability(cuts)),
            ("learning", facts.plot_learning(best)),
        ):
            figure = axes.get_figure(root=True)
            assert isinstance(figure, Figure)
            write_atomic(figures / f"{name}.png", save(figure, ("png",))["png"])
    print(f"report: {HERE / 'report' / 'index.html'}")
    return leaking


if __name__ == "__main__":
    sys.exit(expected_errors("truth", lambda: main(sys.argv[1:])))
