"""The recipe study's kept demos: what its page says of the ramp holds in its table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from experiments.recipe.__main__ import VARIANTS, falls, main


def powers(study: str) -> np.ndarray:
    """(sizes, steps between budgets): the power of D by which the mean loss of seeds falls."""
    rows = pd.read_csv(VARIANTS).query("study == @study")
    budgets = [float(f"{tokens:.2g}") for tokens in rows["tokens"]]
    cells = rows.pivot_table(index="params", columns=np.array(budgets), values="loss")
    found: np.ndarray = -np.diff(np.log(cells.to_numpy()), axis=1) / np.diff(np.log(cells.columns.to_numpy()))
    return found


def test_a_doubling_of_the_batch_bends_the_loss_and_a_ramp_does_not() -> None:
    doubling, ramp = powers("demo"), powers("ramp")
    assert (doubling[:, 3] > doubling[:, 2]).all()  # from 0.96M to 1.6M tokens, at every size
    assert (np.diff(ramp[2:], axis=1) < 0).all()  # at the three largest sizes it only falls


def test_the_seeds_differ_as_the_page_says() -> None:
    rows = pd.read_csv(VARIANTS)
    for study in ("demo", "ramp"):
        cells = rows[rows["study"] == study].groupby(["params", rows["tokens"].round(-4)])["loss"]
        spread = np.sqrt(((cells.std() / cells.mean()) ** 2).mean())
        assert spread == pytest.approx(0.006, abs=0.0005)


def test_the_tables_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--variants"]) == 0
    printed = capsys.readouterr().out
    assert printed.strip() == "\n\n".join(falls(pd.read_csv(VARIANTS))).strip()
    assert [part.splitlines()[0] for part in printed.split("\n\n")] == [
        "loss",
        "sd / loss of seeds",
        "power of D",
    ]
