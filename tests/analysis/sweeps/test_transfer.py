"""Best rates over widths of made-up sweeps whose drift is known."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from analysis.sweeps.transfer import measure_transfer

WIDTHS = (32, 64, 128, 256)
RATES = tuple(1e-3 * 2**i for i in range(7))


def sweep(
    drift: float, *, noise: float = 0.0, seeds: int = 2, rng: np.random.Generator | None = None
) -> pd.DataFrame:
    """Losses of parabolas in log rate, 0.05 nats up at a factor of 2, the best rate 0.008 at width 64."""
    rng = rng or np.random.default_rng(0)
    rows = []
    for width in WIDTHS:
        best = 8e-3 * (width / 64) ** drift
        for rate in RATES:
            loss = 3 + 0.05 * math.log2(rate / best) ** 2
            for seed in range(seeds):
                rows.append((width, rate, seed, loss + rng.normal(scale=noise)))
    return pd.DataFrame(rows, columns=["width", "learning_rate", "seed", "loss"])


@pytest.mark.parametrize("drift", [-0.8, 0.0, 0.3])
def test_the_drift_is_recovered(drift: float) -> None:
    found = measure_transfer(sweep(drift))
    assert found.drift == pytest.approx(drift, abs=1e-9)
    assert found.interval == pytest.approx((drift, drift), abs=1e-9)
    assert [o.rate for o in found.optima] == pytest.approx([8e-3 * (w / 64) ** drift for w in WIDTHS])
    assert not any(o.edge for o in found.optima)


def test_what_not_tuning_costs() -> None:
    """The best rate moves by three doublings from width 32 to 256: 0.05 * 3² nats."""
    assert measure_transfer(sweep(-1.0)).untuned == pytest.approx(0.45)
    assert measure_transfer(sweep(0.0)).untuned == pytest.approx(0, abs=1e-12)


def test_an_optimum_outside_the_grid_is_told() -> None:
    found = measure_transfer(sweep(-3.0))
    assert [o.edge for o in found.optima] == [True, False, True, True]
    assert found.optima[-1].rate == pytest.approx(RATES[0])
    assert "3 of 4 at the edge of the grid" in str(found)


def test_the_interval_of_the_drift_covers() -> None:
    """Of 100 intervals with two seeds per cell; if 95 % cover, fewer than 87 are seen once in 2,000."""
    rng = np.random.default_rng(3)
    found = [measure_transfer(sweep(-0.5, noise=0.03, rng=rng), resamples=300) for _ in range(100)]
    assert sum(low <= -0.5 <= high for low, high in (f.interval for f in found)) >= 87
    assert np.median([f.interval[1] - f.interval[0] for f in found]) < 0.6


def test_refusals() -> None:
    whole = sweep(0.0)
    with pytest.raises(ValueError, match="rates by width: 32: 7"):
        measure_transfer(whole[whole["width"] == 32])
    with pytest.raises(ValueError, match="32: 2, 64: 2"):
        measure_transfer(whole[whole["learning_rate"] < 3e-3])
    with pytest.raises(ValueError, match="no cell has two seeds"):
        measure_transfer(whole[whole["seed"] == 0])
