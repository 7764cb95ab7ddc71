"""`scaling autopilot`: rounds are registered, trained and scored, and a stop leaves them as they were."""

from __future__ import annotations

import io
import json
import shutil
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from analysis.forecast import advise
from analysis.forecast.register import registered_files
from analysis.report.decisions import forecast_section, rounds_section
from analysis.table import load_runs
from experiments.cli import main
from tests.experiments.flights import command, outcome, trained

_homes: list[Path] = []


@pytest.fixture(autouse=True)
def few_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three a round at most."""
    monkeypatch.setattr(advise, "MOST", 3)


@pytest.fixture
def flown(few_runs: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a flight that nothing has touched, its words in `out`.

    Made by the first test that asks: what makes tests of this folder quick holds inside a test only.
    """
    if not _homes:
        home = tmp_path_factory.mktemp("flown")
        said = io.StringIO()
        with redirect_stdout(said):
            assert main(command(home)) == 0
        (home / "out").write_text(" ".join(said.getvalue().split()))
        _homes.append(home)
    return _homes[0]


def test_rounds_are_registered_before_they_are_trained_and_scored_after(
    flown: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = flown / "runs/law"
    rounds = [each["round"] for each in registered_files(folder / "forecasts").values()]
    chosen = [run for each in rounds for run in each["runs"]]
    assert [each["number"] for each in rounds] == list(range(1, len(rounds) + 1))
    assert len({run["run_id"] for run in chosen}) == len(chosen)
    assert min(run["N"] for run in chosen) >= 1e7 / 4, "what is left always pays for something smaller"
    spent = 6 * 1.2e8 * 2.6e9 + sum(run["cost"] for run in chosen)
    assert spent <= 3e18 * (1 + 1e-5), "but for tokens that are whole batches"
    assert main(["forecasts", str(folder / "forecasts"), "--json"]) == 0
    scored = json.loads(capsys.readouterr().out)
    assert scored["together"]["scored"] == len(chosen)
    assert scored["tampered"] == []
    table = load_runs(folder)
    section, so_far = rounds_section(table), forecast_section(table)
    assert section is not None
    assert so_far is not None
    assert len(section.tables[0].rows) == len(so_far.tables[0].rows) == len(chosen)
    assert trained(flown) == [1] * (9 + len(chosen))
    out = (flown / "out").read_text()
    assert f"law: {len(rounds)} rounds for a run of 1e+21 FLOP" in out
    assert "of 3e+18 FLOP (6 N D)" in out
    assert f"next: scaling report {folder}" in out


def test_a_flight_that_was_killed_makes_the_same_choices(flown: Path, tmp_path: Path) -> None:
    """The last round was not yet in writing, and half of the one before was trained."""
    whole = outcome(flown)
    (_, half), (last, none) = list(whole["rounds"].items())[-2:]
    home = tmp_path / "killed"
    shutil.copytree(flown, home)
    (home / "runs/law/forecasts" / last).unlink()
    for run_id, *_ in [*half[len(half) // 2 :], *none]:
        (folder,) = (home / "runs/law").glob(f"*/{run_id}")
        shutil.rmtree(folder.parent)
    assert main(command(home)) == 0
    assert outcome(home) == whole
    assert trained(home) == trained(flown)


def test_what_cannot_be_flown_is_refused(
    flown: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for home, more, message in (
        (tmp_path, ["spend=1e18"], "spend: the study's own runs take 1.87e+18 FLOP (6 N D); got 1e+18."),
        (tmp_path, ["compute="], "compute: not given"),
        (tmp_path, ["model.params=1e7", "budget.tokens=[2e8]"], "nothing was trained: 1 run of study law"),
        (flown, ["model.family=a,b"], "also varies model.family"),
        (flown, ["compute=2e21"], "were chosen for 1e+21 FLOP; got 2e+21"),
        (flown, ["trainer.fields.bits_per_byte=loss"], "these settings make"),
    ):
        assert main(command(home, *more)) == 2, message
        assert message in " ".join(capsys.readouterr().err.split())
