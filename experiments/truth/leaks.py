"""`python -m experiments.truth.leaks RUNS [CSV]`: does any run on facts know more than the rows it has seen?

RUNS is runs/truth after `scaling run study=truth`. With CSV, the table of runs is written there, with three
columns more: `bayes`, the loss of the best learner of the same rows; `surprise`, by how many standard
deviations the run lies below what these rows allow; `accuracy`, the frequency of facts answered rightly.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from analysis.table import load_runs
from experiments.cli import expected_errors
from scaling.capability.finished import open_finished
from scaling.data.generated import GeneratedDataset
from scaling.data.layout import Ids
from scaling.data.truth.bayes import LEAK, answer_log_probs, count_answers, find_leak
from scaling.data.truth.law import Array
from scaling.data.truth.zipf_facts import ZipfFacts
from scaling.training.evaluate import predictions


def judge(folder: Path) -> pd.DataFrame:
    """The table of a study of facts, with `bayes`, `surprise` and `accuracy`.

    Raises:
        FileNotFoundError, ValueError: when the folder is none, or holds runs on another corpus.
    """
    runs = load_runs(folder).rows
    rows: dict[tuple[int, int, int], np.ndarray] = {}  # what a stream of these sizes has shown
    judged = []
    for run in runs.itertuples():
        finished = open_finished(folder / str(run.trunk_id) / str(run.run_id))
        dataset, spec = finished.subject.dataset, finished.spec.trunk
        if not isinstance(dataset, GeneratedDataset) or not isinstance(dataset.source, ZipfFacts):
            raise ValueError(f"{finished.folder}: trained on {dataset.name!r}, not on zipf_facts.")
        source, model = dataset.source, finished.subject.model
        key = (spec.seed, spec.sequences, finished.spec.steps)
        if key not in rows:
            stream = dataset.batches(spec.data.context, spec.sequences, spec.seed)
            rows[key] = count_answers(source, (stream.batch(step) for step in range(finished.spec.steps)))

        def predict(ids: Ids, model: torch.nn.Module = model, of: GeneratedDataset = dataset) -> Array:
            logits = next(predictions(model, "causal", [ids], of, "cpu"))[2]
            return np.asarray(torch.log_softmax(logits.double(), -1).numpy())

        told = answer_log_probs(source, predict)
        found = find_leak(source, told, rows[key])
        right = told.argmax(axis=1) == source.facts
        judged.append((found.bayes, found.surprise, float(source.frequency @ right)))
    runs[["bayes", "surprise", "accuracy"]] = judged
    return runs


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m experiments.truth.leaks", description=__doc__)
    parser.add_argument("runs", nargs="?", type=Path, default=Path("runs/truth"), help="default: runs/truth")
    parser.add_argument("csv", nargs="?", type=Path, help="where to write the table")
    asked = parser.parse_args(arguments)
    runs = judge(asked.runs)
    if asked.csv is not None:
        runs.to_csv(asked.csv, index=False)
    worst, nearest = runs["surprise"].max(), (runs["loss"] - runs["bayes"]).min()
    print(
        f"{len(runs)} runs; largest surprise {worst:+.1f} standard deviations (a leak is above {LEAK:g}); "
        f"nearest to the best learner of its rows {nearest:+.4f} nats; "
        f"best accuracy {runs['accuracy'].max():.4f}"
    )
    return int(worst > LEAK)


if __name__ == "__main__":
    sys.exit(expected_errors("truth", lambda: main(sys.argv[1:])))
