"""`scaling forecast` on a study folder: words, JSON, register, score, and questions that are none."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.forecast.links import Sigmoid
from analysis.table import load_runs
from experiments.cli import main
from tests.analysis.synthetic import make_record, true_loss, write_record, write_study

FAST = ["--resamples", "20", "--law", "chinchilla"]
pytestmark = pytest.mark.usefixtures("fitted_once")


@pytest.fixture
def study(tmp_path: Path) -> Path:
    write_study(tmp_path / "demo")
    return tmp_path / "demo"


def test_budget_in_words(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["forecast", str(study), "--compute", "1e14", "--served", "1e9", *FAST]) == 0
    out = capsys.readouterr().out
    for words in (
        "best N",
        "of one new run",
        "Chinchilla's three approaches",
        "Cheapest model of loss",
        "one-form",
    ):
        assert words in out
    _, _, forecasts = out.partition("\n\n")  # what was read is one line a note, to search in
    assert max(map(len, forecasts.split("\n"))) <= 80


def test_run_as_json(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["forecast", str(study), "--params", "1e6", "--tokens", "1e7", "--json", *FAST]) == 0
    told = json.loads(capsys.readouterr().out)
    forecast = told["parts"]["decoder"]["forecast"]
    assert forecast["loss"]["value"] == pytest.approx(true_loss(1e6, 1e7), rel=0.05)
    assert forecast["loss"]["low"] <= forecast["loss"]["value"] <= forecast["loss"]["high"]
    assert told["parts"]["decoder"]["approaches"] is None
    assert told["counts"]["used"] == 30


def test_approaches_as_json(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["forecast", str(study), "--compute", "1e14", "--json", *FAST]) == 0
    approaches = json.loads(capsys.readouterr().out)["parts"]["decoder"]["approaches"]
    assert approaches["rows"][-1]["name"] == "fitted surface"
    assert {w["code"] for w in approaches["warnings"]} >= {"interpolated"}


def test_registered_then_scored(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(tmp_path / "f.json")
    asked = ["forecast", str(study), "--params", "301056", "--tokens", "1e7", *FAST]
    assert main([*asked, "--register", file]) == 0
    assert "registered in" in capsys.readouterr().out
    write_record(study, make_record(112, 10_000_000, started="2099-01-01T00:00:00Z"))
    assert main(["forecast", str(study), "--score", file]) == 0
    out = capsys.readouterr().out
    assert "decoder-w112-d10000000" in out
    assert main(["forecast", str(study), "--score", file, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["early"] is False


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            [],
            "give one question: --params N with --tokens D, --compute FLOP, --at NAME=VALUE, or --score FILE",
        ),
        (["--params", "1e6"], "a forecast by a law of N, D needs tokens"),
        (
            ["--params", "1e6", "--tokens", "1e7", "--compute", "1e15"],
            "--compute finds the best params and tokens",
        ),
        (["--score", "a.json", "--register", "b.json"], "judges an old one; give one"),
        (["--compute", "1e14", "--arm", "lstm"], "--arm: 'lstm' is none of 'decoder'"),
    ],
)
def test_questions_that_are_none(
    study: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["forecast", str(study), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_register_wants_one_part(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_study(tmp_path / "two", families=("decoder", "lstm"))
    asked = ["forecast", str(tmp_path / "two"), "--params", "1e6", "--tokens", "1e7", *FAST]
    assert main([*asked, "--register", str(tmp_path / "f.json")]) == 2
    assert "choose one with --arm: 'decoder', 'lstm'" in capsys.readouterr().err
    assert main([*asked, "--arm", "lstm"]) == 0


def with_scores(study: Path, target: Path) -> list[str]:
    """The study as a CSV with a column of accuracies, its arguments, and one run without a score."""
    table = load_runs(study)
    accuracy = Sigmoid(chance=0.25, top=0.9, steepness=2.0, middle=2.7)(table["loss"])
    accuracy[3] = np.nan
    table.rows.assign(accuracy=accuracy).to_csv(target, index=False)
    return ["forecast", str(target), "--params", "1e6", "--tokens", "1e7", *FAST]


def test_task_in_words_and_json(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = [*with_scores(study, tmp_path / "runs.csv"), "--task", "accuracy", "--chance", "0.25"]
    assert main(asked) == 0
    out = capsys.readouterr().out
    assert "accuracy: score 0." in out
    assert "How each method forecast the runs of largest compute" in out
    assert "1 of 30 runs have no score" in out
    _, _, forecasts = out.partition("\n\n")  # what was read is one line a note, to search in
    assert max(map(len, forecasts.split("\n"))) <= 80
    assert main([*asked, "--json"]) == 0
    task = next(iter(json.loads(capsys.readouterr().out)["parts"].values()))["task"]
    assert task["score"]["low"] <= task["score"]["value"] <= task["score"]["high"]
    assert {way["how"] for way in task["ways"]} == {"sigmoid", "exponential", "direct", "direct_surface"}


def test_registered_task_is_scored(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    csv, file = tmp_path / "runs.csv", str(tmp_path / "f.json")
    asked = [*with_scores(study, csv), "--task", "accuracy", "--chance", "0.25", "--items", "500"]
    assert main([*asked, "--register", file]) == 0
    table = pd.read_csv(csv)
    new = {
        **table.iloc[-1].to_dict(),
        "run_id": "new",
        "params": 1_000_000,
        "tokens": 10_000_000,
        "accuracy": 0.7,
    }
    new |= {"loss": true_loss(1e6, 1e7), "flops": 6e13 * 1.1}
    pd.concat([table, pd.DataFrame([new])]).to_csv(csv, index=False)
    capsys.readouterr()
    assert main(["forecast", str(csv), "--score", file]) == 0
    assert "new: score 0.7000, forecast" in capsys.readouterr().out


def test_task_that_is_none(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["forecast", str(study), "--params", "1e6", "--tokens", "1e7", *FAST, "--task"]
    assert main([*asked, "mmlu"]) == 2
    assert "task: the table has no column 'mmlu'; it has run_id" in capsys.readouterr().err
    assert main([*asked, "schedule"]) == 2
    assert "task: column 'schedule' holds no number" in capsys.readouterr().err


@pytest.mark.parametrize(("n", "code"), [(4, 2), (7, 0)])
def test_a_task_of_few_runs_is_forecast_by_the_ways_that_can_be_judged(
    n: int, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A law that passes through all its runs has no draws, and is no way."""
    N = np.repeat(1e8 * 2.0 ** np.arange(4), 2)[:n]
    D = N * np.tile([20, 100], 4)[:n]
    loss = np.array([true_loss(*pair) for pair in zip(N, D, strict=True)]) * 1.003 ** ((-1.0) ** np.arange(n))
    table = pd.DataFrame({"params": N, "tokens": D, "loss": loss, "acc": 0.9 - 0.2 * loss})
    table.to_csv(tmp_path / "runs.csv", index=False)
    asked = ["forecast", f"{tmp_path}/runs.csv", "--task", "acc", "--params", "1e10", "--tokens", "2e11"]
    assert main([*asked, "--resamples", "20"]) == code
    said = capsys.readouterr()
    told = " ".join((said.err if code else said.out).split())
    assert "goes through all" in told
    assert "Add runs." in told


def test_a_part_that_cannot_be_fitted_spoils_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_study(tmp_path / "demo")
    for width in (16, 24, 36):
        write_record(tmp_path / "demo", make_record(width, 100_000, family="lstm"))
    asked = ["forecast", str(tmp_path / "demo"), "--params", "1e6", "--tokens", "1e7", *FAST]
    assert main(asked) == 0
    assert "lstm: no forecast: fewer runs than the law has parameters" in capsys.readouterr().out
    assert main([*asked, "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)["refusals"]) == ["lstm"]
    assert main([*asked, "--arm", "lstm"]) == 2
