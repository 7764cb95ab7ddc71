"""Exponents released by Porian et al. 2024 (arXiv:2406.19146), on their tables of runs."""

from __future__ import annotations

import pandas as pd
import pytest

from analysis.forecast.isoflop import approach_2
from analysis.forecast.slices import slice_runs
from experiments.public_data import DEFAULT, public_data

DATA = public_data() or DEFAULT


@pytest.mark.parametrize(
    ("name", "released"),
    [("base-long-kaplan-standard-val", 0.7065), ("tuned-short-const-standard-val", 0.497)],
)
def test_the_growth_of_the_best_size_is_that_released(name: str, released: float) -> None:
    """Theirs are by Akima interpolation of each budget and a weighted line."""
    path = DATA / "porian" / f"{name}.csv"
    if not path.exists():
        pytest.skip(f"no {path.name} in the public data")
    table = pd.read_csv(path)
    found = approach_2(slice_runs(table["Size"], table["Seen"], table["Test loss"], flops=table["FLOP"]))
    assert found.a == pytest.approx(released, abs=0.01)
    low, high = found.interval("a")
    assert low < released < high
    assert {"drift", "uneven-curve"} <= {w.code for w in found.warnings}
