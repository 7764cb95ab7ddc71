"""`python -m experiments.truth.markov RUNS`: how close runs on a Markov stream come to its entropy rate.

RUNS is runs/truth_markov after `scaling run study=truth_markov`. Each run is evaluated twice on the same
held-out rows: plainly, and paired with the true probabilities, which is what its record holds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

from experiments.cli import expected_errors
from experiments.terminal import Column, table
from scaling.capability.finished import open_finished
from scaling.records.record import find_record_files, read_study
from scaling.study.spec import EVALUATION_SEQUENCES
from scaling.training.evaluate import Evaluation, evaluate


@dataclass(frozen=True)
class Twice:
    """One run, evaluated both ways."""

    tokens: int
    floor: float
    paired: Evaluation
    plain: Evaluation

    @property
    def ratio(self) -> float:
        """How many times smaller the paired standard error is."""
        return self.plain.loss_se / self.paired.loss_se


def evaluate_twice(folder: str) -> list[Twice]:
    """Every run of a study of a source that is not exact, by budget.

    Raises:
        FileNotFoundError, ValueError: when the folder is none, or holds runs on a corpus with no known law.
    """
    study = read_study(folder)
    found = []
    for path in find_record_files(study.folder):
        run = open_finished(path.parent)
        dataset = run.subject.dataset
        if dataset.truth is None or dataset.truth.exact:
            raise ValueError(
                f"{path.parent}: losses on corpus {dataset.name!r} are not sampled from known probabilities: "
                "there is nothing to pair."
            )
        rows = dataset.heldout_batches(run.subject.context, EVALUATION_SEQUENCES, run.spec.evaluation_tokens)
        both = [
            evaluate(run.subject.model, run.record.objective, rows, by, "cpu")
            for by in (dataset, replace(dataset, truth=None))
        ]
        found.append(Twice(run.record.tokens, dataset.truth.floor, *both))
    return sorted(found, key=lambda run: run.tokens)


def describe(runs: Sequence[Twice]) -> str:
    """One line per run."""
    return table(
        [
            Column("D", [f"{r.tokens:,}" for r in runs]),
            Column("loss", [f"{r.paired.loss:.5f}" for r in runs]),
            Column("excess", [f"{r.paired.loss - r.floor:.5f}" for r in runs]),
            Column("se paired", [f"{r.paired.loss_se:.5f}" for r in runs]),
            Column("se plain", [f"{r.plain.loss_se:.5f}" for r in runs]),
            Column("ratio", [f"{r.ratio:.1f}" for r in runs]),
            Column("tokens saved", [f"{r.ratio**2:.0f}×" for r in runs]),
        ]
    )


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m experiments.truth.markov", description=__doc__)
    parser.add_argument("runs", nargs="?", default="runs/truth_markov", help="default: runs/truth_markov")
    runs = evaluate_twice(parser.parse_args(arguments).runs)
    print(f"floor {runs[0].floor:.5f} nats/token, exact")
    print(describe(runs))
    return 0


if __name__ == "__main__":
    sys.exit(expected_errors("truth", lambda: main(sys.argv[1:])))
