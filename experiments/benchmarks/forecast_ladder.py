"""Scores of the largest models of a public ladder, forecast from the smaller ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.fitting.bootstrap.replicates import Bootstrap
from analysis.fitting.runs import Runs
from analysis.forecast.predict import fit_basis
from analysis.forecast.task import forecast_task
from experiments.benchmarks.row import Row
from experiments.public_data import LADDER

RESAMPLES = 200
CHANCE = {"mmlu": 0.25, "hellaswag": 0.25, "arc_challenge": 0.25, "arc_easy": 0.25, "piqa": 0.5, "csqa": 0.2}
CHANCE |= {"socialiqa": 1 / 3, "openbookqa": 0.25}
ITEMS = {
    "mmlu": 14042,
    "hellaswag": 10042,
    "arc_challenge": 1172,
    "arc_easy": 2376,
    "piqa": 1838,
    "csqa": 1221,
}
ITEMS |= {"socialiqa": 1954, "openbookqa": 500}


def ladder_rows(folder: Path, simulations: int) -> Iterator[Row]:
    """The largest size of the ladder at its largest data, from all smaller sizes, by the automatic choice."""
    if not (folder / LADDER).is_file():
        return
    table = pd.read_csv(folder / LADDER)
    table["loss"] = table["c4_loss"]
    table["trunk_id"] = [str(i) for i in range(len(table))]
    held = table["params"] == table["params"].max()
    before, after = table[~held], table[held].nlargest(2, "tokens")
    basis, _ = fit_basis(
        Runs.of({"N": before["params"], "D": before["tokens"]}, before["loss"]),
        (),
        Bootstrap(resamples=RESAMPLES),
    )
    errors, inside = [], 0
    for task, chance in CHANCE.items():
        far = []
        for _, model in after.iterrows():
            at = (float(model["params"]), float(model["tokens"]))
            found = forecast_task(
                before, task, at, basis, chance=chance, items=ITEMS[task], resamples=RESAMPLES
            )
            far.append(found.score.score.value / model[task] - 1)
            inside += bool(found.score.run[0] <= model[task] <= found.score.run[1])
        errors += far
        ours = f"{100 * np.mean(np.abs(far)):.1f} %, {found.score.how}"
        yield Row(f"  ladder, {task}: mean relative error", "", ours)
    mean = 100 * float(np.mean(np.abs(errors)))
    ours = f"{mean:.1f} %, {inside} of {len(errors)}"
    what = f"ladder, {len(after)} models of {after['params'].max():.3g}: error, inside"
    yield Row(what, "<= 6 %, >= 15 of 16", ours, mean, mean <= 6 and inside >= 15 / 16 * len(errors))
