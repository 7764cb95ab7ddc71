"""The law that docs/laws.md shows is fitted as it stands there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.laws import registry
from experiments.cli import main

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def clean_registry() -> Iterator[None]:
    before = dict(registry._LAWS)
    yield
    registry._LAWS.clear()
    registry._LAWS.update(before)


@pytest.mark.usefixtures("clean_registry")
def test_the_law_of_the_page_is_fitted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (snippet,) = re.findall(r"```python\n# my_law\.py\n(.*?)```", (DOCS / "laws.md").read_text(), re.S)
    (tmp_path / "my_law.py").write_text(snippet)
    N, D = (v.ravel() for v in np.meshgrid(np.geomspace(1e7, 1e9, 5), np.geomspace(2e8, 2e10, 5)))
    loss = (1.7 + 400 * N**-0.34 + 900 * D**-0.33) * np.exp(0.002 * np.sin(np.arange(25)))
    pd.DataFrame({"params": N, "tokens": D, "loss": loss}).to_csv(tmp_path / "t.csv", index=False)
    asked = ["fit", str(tmp_path / "t.csv"), "--extension", str(tmp_path / "my_law.py")]
    assert main([*asked, "--law", "mine", "--law", "chinchilla", "--resamples", "0"]) == 0
    out = capsys.readouterr().out
    ours, theirs = (re.search(rf"{name} law of .*?\n  E +(\S+)", out) for name in ("mine", "chinchilla"))
    assert ours is not None
    assert theirs is not None
    assert float(ours[1]) == pytest.approx(float(theirs[1]), rel=1e-3)
