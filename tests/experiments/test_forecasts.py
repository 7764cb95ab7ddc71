"""`scaling forecasts`: a folder of registered answers, scored, and what was tampered with."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.fitting.interval import interval_score
from analysis.forecast.calibration import Entry, calibrate
from experiments.cli import main


@pytest.fixture
def frontier(tmp_path: Path) -> Path:
    """A (C, loss) table of two arms; the folder for forecasts is beside it."""
    write(tmp_path / "t.csv", np.geomspace(1e17, 1e20, 7))
    (tmp_path / "said").mkdir()
    return tmp_path


def write(path: Path, C: np.ndarray) -> None:
    rng = np.random.default_rng(4)
    arms = [
        pd.DataFrame({"optimizer": name, "flops": C, "loss": 1.6 + 92 * (C * s) ** -0.0933})
        for name, s in (("adamw", 1.0), ("muon", 1.3))
    ]
    whole = pd.concat(arms, ignore_index=True)
    whole.assign(loss=whole["loss"] * np.exp(0.0005 * rng.standard_normal(len(whole)))).to_csv(
        path, index=False
    )


def test_what_was_said_of_compute_and_of_arms_is_scored_when_it_comes(
    frontier: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, said = str(frontier / "t.csv"), frontier / "said"
    asked = ["forecast", table, "--compute", "1e21", "--arm", "optimizer adamw", "--resamples", "60"]
    assert main([*asked, "--register", str(said / "a.json")]) == 0
    assert main(["compare", table, "--at", "1e21", "--register", str(said / "b.json")]) == 0
    second = json.loads((said / "b.json").read_text())
    assert second["previous"] == json.loads((said / "a.json").read_text())["sha256"]
    capsys.readouterr()
    assert main(["forecasts", str(said)]) == 0
    out = capsys.readouterr().out
    assert "none scored yet, 2 pending" in out
    assert "muon over adamw at 1e+21" in out
    write(frontier / "t.csv", np.append(np.geomspace(1e17, 1e20, 7), 1e21))
    assert main(["forecasts", str(said), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["together"]["scored"] >= 1
    arms = told["forecasts"][-1]
    assert arms["came"] == pytest.approx(1.3, rel=0.05)
    assert arms["inside"] is True


def test_changed_and_missing_files_are_noticed(frontier: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, said = str(frontier / "t.csv"), frontier / "said"
    for name in ("a", "b", "c"):
        assert main(["compare", table, "--floor", "1.6", "--register", str(said / f"{name}.json")]) == 0
    (said / "b.json").unlink()
    text = (said / "c.json").read_text()
    (said / "c.json").write_text(text.replace('"floor": 1.6', '"floor": 1.5'))
    capsys.readouterr()
    assert main(["forecasts", str(said)]) == 1
    out = capsys.readouterr().out
    assert "c.json: was changed after it was registered" in out
    assert "c.json: follows a forecast that no longer exists" in out
    assert main(["forecasts", str(frontier)]) == 2
    assert "holds no registered forecast" in capsys.readouterr().err


def test_the_interval_score_is_least_for_the_true_quantiles() -> None:
    y = np.random.default_rng(0).standard_normal(4000)

    def mean(half: float) -> float:
        return float(np.mean([interval_score(-half, half, v, 0.95) for v in y]))

    right = float(stats.norm.ppf(0.975))
    assert mean(right) < min(mean(0.7 * right), mean(1.4 * right))
    assert interval_score(1.0, 3.0, 2.0, 0.95) == 2.0
    assert interval_score(1.0, 3.0, 3.1, 0.95) == pytest.approx(2.0 + 40 * 0.1)


def test_forecasts_made_after_the_start_do_not_count() -> None:
    fair = Entry("a", "2026", "loss", 2.0, 1.9, 2.1, 0.95, came=2.05)
    late = Entry("b", "2026", "loss", 2.0, 1.9, 2.1, 0.95, came=5.0, early=True)
    found = calibrate([fair, late, Entry("c", "2026", "loss", 2.0, 1.9, 2.1, 0.95)])
    assert (found.scored, found.pending, found.inside) == (1, 1, 1)
    assert found.expected == pytest.approx(0.95)
    assert "1 scored, 1 pending" in str(found)
