"""Units of whole columns, and repeated data that no check of units may touch."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest

from analysis.table import load_runs
from tests.analysis.synthetic import true_loss

SIZES = [1e7, 3e7, 1e8, 3e8, 1e9]
BUDGETS = [3e8, 1e9, 3e9, 1e10, 3e10]


def write(path: Path, header: str, rows: list[list[object]]) -> Path:
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


@pytest.mark.parametrize(
    ("by_params", "by_tokens", "warned"),
    [
        (1e6, 1e6, ["params", "tokens"]),
        (1e9, 1e9, ["params", "tokens"]),
        (1e6, 1.0, ["params"]),
        (1.0, 1e9, ["tokens"]),
        (1.0, 1e12, ["tokens"]),
        (1.0, 1.0, []),
    ],
)
def test_millions_and_billions_are_noticed(
    tmp_path: Path, by_params: float, by_tokens: float, warned: list[str]
) -> None:
    rows = [[N / by_params, D / by_tokens, true_loss(N, D)] for N in SIZES for D in BUDGETS]
    path = write(tmp_path / "t.csv", "model_size,train_tokens,val_loss", rows)
    table = load_runs(path)
    assert [warning.partition(":")[0] for warning in table.warnings] == warned
    for warning in table.warnings:
        typed = shlex.split(warning.split("for millions --columns ")[1].partition(", for billions")[0])
        assert len(load_runs(path, typed)) == 25, "the advice works when typed"


def test_the_smallest_models_of_this_harness_raise_no_alarm(tmp_path: Path) -> None:
    rows = [[N, D, true_loss(N, D)] for N in (6_220, 12_000, 30_000) for D in (10_240, 40_960, 163_840)]
    assert not load_runs(write(tmp_path / "t.csv", "params,tokens,loss", rows)).warnings


def overfitted(N: float, unique: float, tokens: float) -> float:
    """A loss that falls for four epochs and then rises, by half after many."""
    epochs = tokens / unique
    return float(true_loss(N, min(tokens, 4 * unique)) * (1 + 0.12 * max(0.0, np.log2(epochs / 4))))


@pytest.mark.parametrize("stated", ["unique_tokens", "epochs", "nothing"])
def test_a_loss_that_rises_under_repetition_is_no_slip_of_units(tmp_path: Path, stated: str) -> None:
    rows: list[list[object]] = []
    for N in SIZES:
        for unique in (1e8, 1e9) if stated != "nothing" else (1e8,):
            for epochs in (1, 2, 4, 8, 16, 32, 64):
                said = {"unique_tokens": unique, "epochs": epochs}.get(stated, "")
                rows.append([N, unique * epochs, said, overfitted(N, unique, unique * epochs)])
    header = f"params,tokens,{stated},loss"
    table = load_runs(write(tmp_path / "t.csv", header, rows))
    assert len(table) == len(rows)
    assert not table.warnings


def test_one_slip_of_units_is_still_found_beside_repeated_data(tmp_path: Path) -> None:
    rows: list[list[object]] = [
        [N, D * epochs, D, true_loss(N, D)] for N in SIZES for D in BUDGETS for epochs in (1, 8)
    ]
    rows[4][3] = float(str(rows[4][3])) / np.log(2)  # one epoch
    table = load_runs(write(tmp_path / "t.csv", "params,tokens,unique_tokens,loss", rows))
    assert [str(reason.reason)[-30:] for reason in table.reasons()] == [
        "it looks to be in bits, not nats"[-30:]
    ]
