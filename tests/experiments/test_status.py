"""`scaling status`: its table of trunks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from experiments.commands.status import describe
from scaling.records.record import StudyRecords


def study(*rows: dict[str, Any]) -> StudyRecords:
    planned = {
        f"run-{i}": {"trunk_id": f"trunk-{i}", "family": "decoder", **row} for i, row in enumerate(rows)
    }
    return StudyRecords(Path("runs/mine"), "mine", (), planned, {}, {})


def header(records: StudyRecords) -> list[str]:
    return describe(records).splitlines()[2].split()


def test_trunks_of_one_size_are_told_apart_by_what_differs() -> None:
    alike: dict[str, Any] = {"params": 1000, "optimizer": "adamw", "learning_rate": 0.01, "seed": 0}
    told = study(alike, {**alike, "optimizer": "muon", "learning_rate": 0.02}, {**alike, "seed": 1})
    assert header(told)[:5] == ["trunk", "optimizer", "learning", "rate", "seed"]
    assert describe(told).splitlines()[4].split()[:4] == ["trunk-1", "muon", "0.02", "0"]


def test_what_follows_from_the_size_is_not_shown() -> None:
    small: dict[str, Any] = {"params": 1000, "optimizer": "adamw", "learning_rate": 0.01, "seed": 0}
    assert header(study(small, {**small, "params": 2000, "learning_rate": 0.005}))[:2] == ["trunk", "done"]
