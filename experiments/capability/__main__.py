"""`python -m experiments.capability [TABLE]`: do scores follow scale; can the largest be predicted?"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from analysis.forecast.capability import WAYS
from analysis.forecast.ways import compare_ways
from analysis.table import load_runs
from experiments.cli import expected_errors
from experiments.terminal import Column, table

KEPT = Path(__file__).with_name("runs.csv")
CHANCE = {"next_line": 0.25, "well_formed": 0.5, "variable_misuse": 0.25, "recall": 0.25}
ITEMS = 256
SCORES = ("accuracy", "probability")  # of the right answer being first; that it gets among the choices
NOTICED = 2.0  # standard errors above chance


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m experiments.capability", description=__doc__)
    parser.add_argument("table", nargs="?", default=KEPT, help="runs of the study (default: the kept ones)")
    runs = load_runs(parser.parse_args(arguments).table).rows
    runs = runs[runs["objective"] == "causal"]
    rows = [
        {"family": family, "task": task, "score": score, **_follow(part, task, score)}
        for family, part in runs.groupby("family")
        for task in CHANCE
        for score in SCORES
    ]
    found = pd.DataFrame(rows)
    print("Rank correlation over the runs of a family, and how many accuracies lie above chance:\n")
    print(
        table(
            [
                Column("family", list(found["family"]), left=True),
                Column("task", list(found["task"]), left=True),
                Column("score", list(found["score"]), left=True),
                *(
                    Column(name, [f"{v:+.2f}" for v in found[name]])
                    for name in ("with N", "with C", "with loss")
                ),
                Column("above chance", list(found["above chance"])),
            ]
        )
    )
    print("\nThe largest run, forecast from the others (measured; forecast by each way, error):\n")
    print(
        table(
            [
                Column("family", list(found["family"]), left=True),
                Column("task", list(found["task"]), left=True),
                Column("score", list(found["score"]), left=True),
                Column("measured", [f"{v:.3f}" for v in found["measured"]]),
                *(Column(way, list(found[way])) for way in WAYS),
            ]
        )
    )
    print("\nA star: inside the 95 % interval of one new run, binomial noise of the task included.")
    return 0


def _follow(part: pd.DataFrame, task: str, score: str) -> dict[str, object]:
    column = task if score == "accuracy" else f"{task}_{score}"
    values = part[column]
    largest = int(part["flops"].to_numpy(float).argmax())
    noise = float(np.sqrt(CHANCE[task] * (1 - CHANCE[task]) / ITEMS))
    above = part[task].to_numpy(float) > CHANCE[task] + NOTICED * noise
    ways = compare_ways(
        part["params"],
        part["tokens"],
        part["loss"],
        values,
        holdout=1 / len(part),
        chance=CHANCE[task],
        items=ITEMS if score == "accuracy" else None,
        groups=part["trunk_id"].to_numpy(dtype=str),
        resamples=400,
    )
    said = {
        str(row["how"]): "·"
        if np.isnan(row["bias"])
        else f"{row['bias']:+.3f}{'*' if row['covered'] else ' '}"
        for row in ways.to_dict(orient="records")
    }
    return {
        "with N": _rank(values, part["params"]),
        "with C": _rank(values, part["flops"]),
        "with loss": _rank(values, part["loss"]),
        "above chance": f"{int(above.sum())} of {len(part)}" if score == "accuracy" else "",
        "measured": float(values.to_numpy(float)[largest]),
        **said,
    }


def _rank(one: pd.Series[float], other: pd.Series[float]) -> float:
    return float(stats.spearmanr(one, other).statistic)


if __name__ == "__main__":
    sys.exit(expected_errors("capability", lambda: main(sys.argv[1:])))
