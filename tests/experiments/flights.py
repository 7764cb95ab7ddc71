"""What tests of `scaling autopilot` fly: a study of a command that trains nothing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("law_train.py")


def command(home: Path, *more: str) -> list[str]:
    """The arguments of a flight below `home`: 9 runs, and money for about as much again."""
    script = f"{sys.executable} -S -E {SCRIPT} {{params}} {{tokens}} {{seed}} {{folder}}"
    return [
        *("autopilot", "name=law", f"runs={home}/runs", f"cache={home}/cache", "tracking=off", "workers=1"),
        *("trainer=command", f"trainer.command={script}", "trainer.fields.loss=loss"),
        *("training.learning_rate=1e-3", "model.params=1e7,3e7,8e7", "budget.tokens=[2e8,6e8,1.8e9]"),
        *("compute=1e21", "spend=3e18", "--rounds", "2", "--tolerance", "1e-4"),
        *("--law", "chinchilla", "--resamples", "20", *more),
    ]


def trained(home: Path) -> list[int]:
    """How often the command has ended in each folder of a run."""
    return [len(file.read_text().splitlines()) for file in (home / "runs/law").rglob("ended")]


def outcome(home: Path) -> dict[str, Any]:
    """What must not depend on kills: the runs of every round with their prices, and the losses of all runs.

    Not the last digits of a forecast: sums of arrays depend on where they lie in memory.
    """
    from scaling.records.record import read_study

    rounds = {
        file.name: [
            (run["run_id"], run["cost"], f"{run['loss']:.6g}")
            for run in json.loads(file.read_text())["round"]["runs"]
        ]
        for file in sorted((home / "runs/law/forecasts").glob("*.json"))
    }
    return {"rounds": rounds, "losses": {r.run_id: r.loss for r in read_study(home / "runs/law").records}}
