"""`scaling forecast` on a study folder: words, JSON, register, score, and questions that are none."""

import json
from pathlib import Path

import pytest

from experiments.cli import main
from tests.analysis.synthetic import make_record, true_loss, write_record, write_study

FAST = ["--resamples", "30", "--law", "chinchilla"]


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
    assert max(map(len, out.split("\n"))) <= 80


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
        ([], "give one question: --params N with --tokens D, or --compute FLOP, or --score FILE"),
        (["--params", "1e6"], "give one question"),
        (["--params", "1e6", "--tokens", "1e7", "--compute", "1e15"], "give one question"),
        (["--score", "a.json", "--register", "b.json"], "judges an old one; give one"),
        (["--compute", "1e14", "--column", "a=b", "--columns", "c.yaml"], "either --column or --columns"),
        (["--compute", "1e14", "--part", "lstm"], "--part: 'lstm' is none of 'decoder'"),
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
    assert "choose one with --part: 'decoder', 'lstm'" in capsys.readouterr().err
    assert main([*asked, "--part", "lstm"]) == 0
