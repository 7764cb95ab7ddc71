"""A law of a user's own: one file with one class, named on the command line, through every command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.laws import registry
from experiments.cli import main

LAW = '''
from dataclasses import dataclass

import analysis
from analysis.laws.formula import Formula, amount, exponent, positive


@analysis.register
@dataclass(frozen=True)
class Saturating(Formula):
    """A power of the mean of both terms."""

    E: float = amount()
    A: float = amount(of="N", exponent="alpha")
    B: float = amount(of="D", exponent="beta")
    alpha: float = exponent()
    beta: float = exponent()
    s: float = positive(0.2, 5.0)

    name = "saturating"
    inputs = ("N", "D")
    formula = "L = E + ((A N^-alpha)^s + (B D^-beta)^s)^(1/s)"

    @staticmethod
    def loss(p, N, D):
        return p.E + ((p.A * N**-p.alpha) ** p.s + (p.B * D**-p.beta) ** p.s) ** (1.0 / p.s)
'''
FAST = ["--resamples", "20"]


@pytest.fixture
def files(tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    """A table, and the arguments that bring the law in; afterwards the law is gone again."""
    before = dict(registry._LAWS)
    (tmp_path / "saturating.py").write_text(LAW)
    N, D = (v.ravel() for v in np.meshgrid(np.geomspace(1e7, 1e9, 6), np.geomspace(2e8, 2e10, 5)))
    terms = (400 * N**-0.34) ** 1.5 + (900 * D**-0.33) ** 1.5
    loss = (1.7 + terms ** (1 / 1.5)) * np.exp(0.003 * np.random.default_rng(0).standard_normal(len(N)))
    names = [f"r{i}" for i in range(len(N))]
    table = tmp_path / "t.csv"
    pd.DataFrame({"run_id": names, "params": N, "tokens": D, "loss": loss}).to_csv(table, index=False)
    yield str(table), ["--extension", str(tmp_path / "saturating.py")]
    registry._LAWS.clear()
    registry._LAWS.update(before)


@pytest.mark.usefixtures("fitted_once", "svg_alone")
def test_through_every_command(
    files: tuple[str, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, own = files
    law = [*own, "--law", "saturating", *FAST]
    assert main(["fit", table, *law, "--profile", "s", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (part,) = found["parts"].values()
    (fitted,) = part["laws"]
    assert fitted["parameters"]["alpha"]["value"] == pytest.approx(0.34, abs=0.06)
    assert found["profiles"][0]["parameter"] == "s"
    assert main(["fit", table, *law, "--fix", "s=1.5", "--holdout", "0"]) == 0
    assert "s is held at 1.5; the runs allow it" in " ".join(capsys.readouterr().out.split())
    assert main(["report", table, *law, "--out", str(tmp_path / "report")]) == 0
    assert "((A N^-alpha)^s + (B D^-beta)^s)^(1/s)" in (tmp_path / "report" / "index.html").read_text()
    capsys.readouterr()
    ask = ["--params", "4e9", "--tokens", "1e11"]
    file = str(tmp_path / "forecast.json")
    assert main(["forecast", table, *law, "--law", "chinchilla", *ask, "--json", "--register", file]) == 0
    (part,) = json.loads(capsys.readouterr().out)["parts"].values()
    assert set(part["forecast"]["weights"]) == {"saturating", "chinchilla"}
    new = pd.DataFrame([{"run_id": "new", "params": 4e9, "tokens": 1e11, "loss": 1.99}])
    pd.concat([pd.read_csv(table), new]).to_csv(table, index=False)
    capsys.readouterr()
    assert main(["forecast", table, *own, "--score", file, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["run_id"] == "new"


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("import nothing_of_that_name", 1, "ModuleNotFoundError"),
        ("x = 1\ny = (", 2, "SyntaxError"),
        ("\n\nraise RuntimeError('no')", 3, "RuntimeError: no"),
        ("import analysis\nanalysis.register(int)", 2, "a class derived from Law"),
    ],
)
def test_a_file_that_cannot_be_run_is_named_with_its_line(
    files: tuple[str, list[str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    text: str,
    line: int,
    says: str,
) -> None:
    (tmp_path / "broken.py").write_text(text)
    assert main(["fit", files[0], "--extension", str(tmp_path / "broken.py")]) == 2
    said = capsys.readouterr().err
    assert f"broken.py, line {line}: " in said
    assert says in said
