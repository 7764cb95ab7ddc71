from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analysis.sweeps.paired import compare_paired


def study(shift: float, seeds: int = 3, noise: float = 0.01) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = []
    for params in (1000, 2000, 4000):
        for seed in range(seeds):
            for tokens in (10_000, 20_000):
                for schedule in ("trunk", "cosine"):
                    rows.append(
                        {
                            "family": "decoder",
                            "params": params,
                            "tokens": tokens * (1.005 if schedule == "trunk" else 1),
                            "seed": seed,
                            "schedule": schedule,
                            "flops": 6.0 * params * tokens,
                            "loss": 3 + noise * rng.standard_normal() + shift * (schedule == "trunk"),
                        }
                    )
    return pd.DataFrame(rows)


def test_a_shift_is_found() -> None:
    found = compare_paired(study(0.05), "schedule", "trunk", "cosine")
    assert found.cells == 18
    assert found.interval[0] < 0.05 < found.interval[1]
    assert not found.within_noise
    assert found.seed_spread == pytest.approx(0.01, rel=0.6)
    assert found.flops == 1


def test_no_shift_is_within_noise() -> None:
    found = compare_paired(study(0.0), "schedule", "trunk", "cosine")
    assert found.within_noise
    assert "over 18 cells" in str(found)


def test_one_seed_has_no_noise_to_compare_with() -> None:
    found = compare_paired(study(0.0, seeds=1), "schedule", "trunk", "cosine")
    assert np.isnan(found.seed_spread)
    assert not found.within_noise


def test_nothing_in_common_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no cell was run both with schedule = 'wsd' and .*'cosine'"):
        compare_paired(study(0.0), "schedule", "wsd", "cosine")
