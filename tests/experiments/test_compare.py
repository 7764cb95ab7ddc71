"""`scaling compare` in words, as JSON and as a figure."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.cli import main


def write_frontiers(path: Path) -> Path:
    """Write two frontiers of one law; the second needs 1/1.3 of the compute."""
    C = np.geomspace(1e17, 1e20, 5)
    arms = [
        pd.DataFrame({"optimizer": n, "flops": C, "loss": 1.6 + 92 * (C * s) ** -0.0933})
        for n, s in (("adamw", 1), ("muon", 1.3))
    ]
    wobble = 1 + 0.0003 * np.sin(np.arange(10))
    pd.concat(arms).assign(loss=lambda t: t["loss"] * wobble).to_csv(path, index=False)
    return path


@pytest.fixture
def muon(tmp_path: Path) -> Path:
    return write_frontiers(tmp_path / "t.csv")


def test_in_words_with_a_figure(muon: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = muon.with_suffix(".png")
    assert main(["compare", str(muon), "--at", "1e21", "1e22", "--figure", str(picture)]) == 0
    out = capsys.readouterr().out
    assert "muon over adamw: 1." in out
    assert "muon keeps its lead at 1e+21 FLOP" in out
    assert "if E is" in out
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_as_json(muon: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["compare", str(muon), "--by", "optimizer", "--baseline", "muon", "--floor", "1.6", "--json"])
        == 0
    )
    told = json.loads(capsys.readouterr().out)
    assert told["baseline"] == "muon"
    (arm,) = told["arms"]
    assert arm["largest"]["speedup"] == pytest.approx(1 / 1.3, rel=0.02)
    assert arm["targets"][0]["compute"] == pytest.approx(1e21)


def test_refusals_are_one_message(muon: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(muon), "--by", "nothing"]) == 2
    assert "no column 'nothing'" in capsys.readouterr().err
    assert main(["compare", str(muon), "--figure", "x.gif"]) == 2
    assert "--figure: a name that ends in .png" in capsys.readouterr().err
