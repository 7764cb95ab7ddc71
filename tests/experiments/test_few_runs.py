"""Questions that the runs of a table cannot answer, through the commands: a sentence, never a traceback."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.cli import main


def surface(path: Path, sizes: int, budgets: int, **columns: float) -> str:
    N, D = (v.ravel() for v in np.meshgrid(np.geomspace(1e7, 1e8, sizes), np.geomspace(2e8, 2e9, budgets)))
    noise = np.exp(0.003 * np.random.default_rng(0).standard_normal(len(N)))
    loss = (1.7 + 400 * N**-0.34 + 2000 * D**-0.37) * noise
    pd.DataFrame({"params": N, "tokens": D, "loss": loss, **columns}).to_csv(path, index=False)
    return str(path)


def curve(path: Path, n: int) -> str:
    x = np.geomspace(1e2, 1e4, n)
    noise = np.exp(0.003 * np.random.default_rng(1).standard_normal(n))
    pd.DataFrame({"x": x, "loss": (2 + 5 * x**-0.4) * noise}).to_csv(path, index=False)
    return str(path)


def said(capsys: pytest.CaptureFixture[str]) -> str:
    both = capsys.readouterr()
    return " ".join((both.out + both.err).split())


LAW = ["--law", "chinchilla", "--resamples", "20"]


@pytest.mark.parametrize(
    ("sizes", "words", "code", "answer"),
    [
        (1, [], 2, "params is 1e+07 in every run"),
        (5, ["--resamples", "0"], 2, "no advice: the fit was made with resamples=0"),
        (5, ["--spend", "1e10"], 0, "no run costs as little as 1e+10 FLOP"),
        (5, ["--tolerance", "nan"], 2, "tolerance: a positive share"),
    ],
)
def test_next(
    sizes: int, words: list[str], code: int, answer: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = surface(tmp_path / "t.csv", sizes, 5)
    assert main(["next", table, "--compute", "1e19", *LAW, *words]) == code
    assert answer in said(capsys)


def test_advice_of_a_law_that_passes_through_its_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pd.read_csv(surface(tmp_path / "t.csv", 3, 2)).head(5)
    table.to_csv(tmp_path / "five.csv", index=False)
    assert main(["next", f"{tmp_path}/five.csv", "--compute", "1e19", *LAW]) == 2
    assert "no advice: the chinchilla law, of 5 parameters, goes through all 5 runs" in said(capsys)
    assert main(["fit", f"{tmp_path}/five.csv", *LAW, "--profile", "alpha", "--holdout", "0"]) == 2
    assert "--profile: no profile: the chinchilla law" in said(capsys)


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["--params", "1e9", "--tokens", "2e10", "--at", "foo=7"], "foo: no input of these laws"),
        (["--compute", "1e20", "--at", "tokens_unique=1e5"], "tokens_unique: no input of these laws"),
    ],
)
def test_an_input_that_no_law_takes(
    words: list[str], answer: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["forecast", surface(tmp_path / "t.csv", 4, 4), *LAW, *words]) == 2
    assert answer in said(capsys)


@pytest.mark.parametrize(
    ("words", "code", "answer"),
    [
        (["--compute", "1e19"], 0, "best N"),
        (["--params", "1e8", "--tokens", "2e9", "--served", "1e10"], 2, "--served: needs a law of params"),
        (["--params", "1e8", "--tokens", "2e9", "--task", "score"], 2, "--task: a score is forecast from"),
    ],
)
def test_repeated_data(
    words: list[str], code: int, answer: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = surface(tmp_path / "t.csv", 4, 5, score=0.5)
    rows = pd.read_csv(table)
    rows["tokens_unique"] = np.where(np.arange(len(rows)) % 2, rows["tokens"], rows["tokens"] / 3)
    rows.to_csv(table, index=False)
    asked = ["--law", "repeated", "--resamples", "5", "--at", "tokens_unique=1e9"]
    assert main(["forecast", table, *asked, *words]) == code
    assert answer in said(capsys)


def test_a_curve_of_few_points_is_answered_by_a_law_that_they_can_judge(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--at", "x=20000", "--resamples", "20"]
    assert main(["forecast", curve(tmp_path / "six.csv", 6), *asked]) == 0
    assert "values by power" in said(capsys)
    assert main(["fit", curve(tmp_path / "three.csv", 3), "--law", "m4"]) == 1
    assert "--fix alpha" not in said(capsys)


def test_named_laws_of_a_curve_are_chosen_from_alike_by_fit_and_forecast(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, laws = curve(tmp_path / "curve.csv", 20), ["--law", "m3", "--law", "power", "--resamples", "20"]
    assert main(["fit", table, *laws]) == 0
    text = said(capsys)
    assert "power has the lowest BIC" in text
    assert text.index("power law of L(x)") < text.index("m3 law of L(x)")
    assert text.count(" 95 % [") == 6, "each law that was asked for has its intervals"
    assert main(["forecast", table, *laws, "--at", "x=20000"]) == 0
    assert "values by power" in said(capsys)


def test_a_curve_of_two_points_names_each_refused_law_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", curve(tmp_path / "two.csv", 2)]) == 0
    text = said(capsys)
    assert "is the only law that these runs determine" in text
    assert text.count("not fitted: m4") == 1


def test_compare_without_an_interval(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = pd.read_csv(surface(tmp_path / "t.csv", 4, 4))
    both = pd.concat([rows.assign(arm="a"), rows.assign(arm="b", loss=0.98 * rows["loss"])])
    both.to_csv(tmp_path / "two.csv", index=False)
    for words, answer in (
        (["--resamples", "0"], "resamples: at least 1"),
        (["--level", "1.5"], "level: a probability"),
    ):
        assert main(["compare", f"{tmp_path}/two.csv", "--by", "arm", *words]) == 2
        assert answer in said(capsys)


def test_a_score_that_few_runs_have(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = surface(tmp_path / "t.csv", 4, 4)
    rows = pd.read_csv(table)
    rows["acc"] = np.where(rows.index < 2, 0.5, np.nan)
    rows.to_csv(table, index=False)
    asked = ["--params", "1e9", "--tokens", "2e10", "--task", "acc"]
    assert main(["forecast", table, *LAW, *asked]) == 2
    assert "2 of 16 runs have a score 'acc'; 3 are needed" in said(capsys)
