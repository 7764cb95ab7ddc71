"""`scaling watch` on files: words, JSON, exit status, and following to the end."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.forecast.inflight import prefix, watch
from experiments.benchmarks.watch import FAULTS, POINTS, kernel_losses
from experiments.cli import main
from tests.analysis.forecast.test_inflight import Curve, curve, finished


def frame(curves: list[Curve]) -> pd.DataFrame:
    return pd.concat(
        pd.DataFrame({"run_id": c.name, "params": c.end / 20, "tokens": c.tokens, "loss": c.loss})
        for c in curves
    )


@pytest.fixture
def table(tmp_path: Path) -> Path:
    frame(finished(np.random.default_rng(0))).to_csv(tmp_path / "done.csv", index=False)
    return tmp_path / "done.csv"


def in_flight(folder: Path, rows: int, fault: float = 1.0) -> Path:
    whole = frame([curve(2e8, np.random.default_rng(5))]).iloc[:rows, 2:]
    whole.loc[whole.index[8:], "loss"] *= fault
    whole.to_csv(folder / "run.csv", index=False)
    return folder / "run.csv"


def test_a_clean_run_and_one_with_a_fault(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--against", str(table), "--tokens", "4e9"]
    assert main(["watch", str(in_flight(table.parent, 12)), *asked]) == 0
    out = capsys.readouterr().out
    assert "50 % done; final loss" in out
    assert "no alarm" in out
    assert main(["watch", str(in_flight(table.parent, 12, 1.05)), *asked, "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["alarms"][0]["kind"] == "spike"
    assert told["false_alarm"] == 0.01


def test_it_follows_to_the_end(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = in_flight(table.parent, 24)
    assert (
        main(["watch", str(run), "--against", str(table), "--tokens", "4e9", "--follow", "--every", "0"]) == 0
    )
    assert "100 % done" in capsys.readouterr().out


def test_refusals(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = in_flight(table.parent, 12)
    assert main(["watch", str(run), "--against", str(table)]) == 2
    assert "does not say where its run ends; add --tokens D" in capsys.readouterr().err
    frame(finished(np.random.default_rng(0))).groupby("run_id").tail(1).to_csv(table, index=False)
    assert main(["watch", str(run), "--against", str(table), "--tokens", "4e9"]) == 2
    assert "has one row per run" in capsys.readouterr().err


def test_a_larger_run_bends_otherwise_and_only_a_fault_raises_an_alarm() -> None:
    """SGD on regression, whose curves change shape with size: by a mean shape, clean runs raised alarms."""
    rng = np.random.default_rng(0)
    x = np.arange(1, POINTS + 1) / POINTS

    def seen(size: int, fault: str = "no fault") -> Curve:
        losses = kernel_losses(size, FAULTS[fault])
        noise = np.exp(0.001 * rng.standard_normal(POINTS))
        return Curve(str(size), x * size, losses * noise, float(size), float(losses[-1]))

    done = [seen(size) for size in (32, 48, 64, 96, 128, 192)]
    assert not watch(prefix(seen(320), 0.75), done).alarms
    assert watch(prefix(seen(320, "rate twice as high"), 0.75), done).alarms
