"""`--wandb`: answers in W&B, offline, and on a server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from analysis.table import load_runs
from experiments.cli import main
from experiments.wandb_fit import cell, flat, mirror_fit, settings_of
from tests.experiments.test_compare import write_frontiers
from tests.records.offline_log import read_offline
from tests.records.standin_wandb import standin_wandb


@pytest.fixture
def frontiers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study folder's worth of two recipes: `t.csv` in the working folder."""
    write_frontiers(tmp_path / "t.csv")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_numbers_that_are_missing_stay_missing() -> None:
    assert [cell(v) for v in (np.float64(2.5), np.nan, np.inf, np.int64(3), None, True, "a", [1])] == [
        *(2.5, None, None, 3, None, True, "a", "[1]")
    ]
    assert flat({"a": {"b": 1.0, "c": [1]}, "d": float("nan"), "e": "x"}) == {"a/b": 1.0, "e": "x"}


def test_the_project_is_that_of_the_study(tmp_path: Path) -> None:
    assert settings_of(tmp_path) == {}
    (tmp_path / "multirun.yaml").write_text("project: laws\nentity: null\n")
    assert settings_of(tmp_path) == {"project": "laws"}
    (tmp_path / "multirun.yaml").write_text("project: [\n")
    assert settings_of(tmp_path) == {}


def test_trouble_with_wandb_changes_no_answer(
    frontiers: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    from scaling.records.tracking import Tracker

    def broken(*_: object) -> None:
        raise ConnectionResetError("gone")

    monkeypatch.setattr(Tracker, "init", broken)
    assert main(["compare", "t.csv", "--resamples", "40", "--wandb", "offline"]) == 0
    assert "muon over adamw" in capsys.readouterr().out
    assert "run compare-t is no longer mirrored (ConnectionResetError: gone). What is on disk" in caplog.text


@pytest.mark.slow
def test_answers_are_synced_and_are_no_runs_of_a_table(
    frontiers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Offline first; then `wandb sync` to a server, whose project has no training run."""
    from analysis.fitting.bootstrap.replicates import Bootstrap
    from analysis.forecast.findings import Question, fit_study

    assert main(["compare", "t.csv", "--resamples", "40", "--wandb", "offline"]) == 0
    table = load_runs("t.csv", where=["optimizer == 'adamw'"])
    findings = fit_study(table, Question(("frontier",), bootstrap=Bootstrap(resamples=20)))
    page = frontiers / "index.html"
    page.write_text("<p>A page.</p>")
    mirror_fit("offline", table, findings, {"index.html": page})
    offline = read_offline(frontiers)
    assert offline["compare-t"].summary["muon/largest/speedup"] == pytest.approx(1.3, rel=0.05)
    assert "report-t" in offline["fit-t"].artifacts
    with standin_wandb() as server:
        key = {"WANDB_API_KEY": "local-" + "k" * 40, "WANDB_BASE_URL": server.address}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        subprocess.run(
            "wandb sync wandb/offline-run-*",
            shell=True,
            check=True,
            capture_output=True,
            timeout=60,
            env={**os.environ, **key, "PATH": path, "HOME": str(frontiers)},
        )
        assert {name: run.job_type for name, run in server.runs.items()} == {
            "compare-t": "compare",
            "fit-t": "fit",
        }
        assert server.runs["fit-t"].summary["frontier/E"] == pytest.approx(1.6, rel=0.2)
        for name, value in key.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(ValueError, match="no finished training run"):
            load_runs("wandb://me/scaling")
