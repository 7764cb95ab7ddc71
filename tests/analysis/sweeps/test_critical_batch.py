"""Critical batches of made-up branches whose answer is known."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from analysis.sweeps.critical_batch import critical_batches, excesses, fit_growth, last_harmless

BATCHES = tuple(128 * 2**i for i in range(7))
BRANCH = 100_000


def branches(
    loss: Callable[[float, float], float],
    *,
    batches: tuple[int, ...] = BATCHES,
    origin: int = 10**6,
    params: int = 10_000,
    seeds: int = 4,
    noise: float = 0.0,
    rng: np.random.Generator | None = None,
) -> pd.DataFrame:
    """Branches of loss(batch, tokens) plus a level a seed and noise a branch."""
    rng = rng or np.random.default_rng(0)
    rows = []
    for seed in range(seeds):
        level = rng.normal(scale=0.05)
        for batch in batches:
            about = {
                "family": "decoder",
                "params": params,
                "seed": seed,
                "origin": origin,
                "batch_tokens": batch,
            }
            for part in (0.5, 0.625, 0.75, 0.875, 1):
                rows.append(
                    {**about, "tokens": part * BRANCH, "loss": loss(batch, part * BRANCH), "final": False}
                )
            last = loss(batch, BRANCH) + level + rng.normal(scale=noise)
            rows.append({**about, "tokens": BRANCH, "loss": last, "final": True})
    return pd.DataFrame(rows)


def kinked(critical: float) -> Callable[[float, float], float]:
    """Loss that rises by 0.02 nats a doubling of the batch, from half a doubling below `critical` on."""
    return lambda batch, _: 3 + 0.02 * max(0.0, math.log2(batch / critical) + 0.5)


@pytest.mark.parametrize("at", [1.5, 3.5, 5.5])
def test_the_crossing_is_found_between_two_batches(at: float) -> None:
    critical = 128 * 2**at
    (cell,) = critical_batches(branches(kinked(critical)))
    assert cell.batch == pytest.approx(critical, rel=1e-9)
    assert cell.interval == pytest.approx((critical, critical), rel=1e-9)
    assert cell.verdict == "inside"


def test_smaller_batches_that_do_worse_are_no_harm() -> None:
    """As where a rate is too large for a small batch: only what is lost against a smaller batch counts."""
    losses = np.array([[3.2, 3.1, 3.0, 3.02], [3.3, 3.2, 3.1, 3.12]])
    found = last_harmless(np.log([1.0, 2, 4, 8]), excesses(losses).mean(axis=0), 0.01)
    assert float(found) == pytest.approx(math.log(4) + 0.5 * math.log(2))


def test_twenty_per_cent_of_the_hyperbola() -> None:
    """E = E_min (1 + B / B_crit): 20 % more tokens than the smallest batch, which itself takes some more."""
    critical, fine = 8000.0, tuple(int(16 * 2 ** (i / 4)) for i in range(45))
    loss = branches(lambda b, t: 5 - 0.3 * math.log(t / (1 + b / critical)), batches=fine)
    (cell,) = critical_batches(loss, overhead=0.2)
    assert cell.tolerance == pytest.approx(0.3 * math.log(1.2), rel=1e-9)
    assert cell.batch == pytest.approx(0.2 * critical + 1.2 * fine[0], rel=0.01)


def test_edges_and_noise_are_told() -> None:
    (above,) = critical_batches(branches(kinked(10**6)))
    assert (above.verdict, above.batch, above.interval) == ("at least", math.inf, (math.inf, math.inf))
    (below,) = critical_batches(branches(kinked(130)))
    assert (below.verdict, below.interval[0]) == ("at most", 0.0)
    rng = np.random.default_rng(1)
    lost = pd.concat(branches(kinked(1500), noise=0.1, params=i, rng=rng) for i in range(30))
    verdicts = [cell.verdict for cell in critical_batches(lost, resamples=300)]
    assert verdicts.count("unidentified") >= 10
    assert verdicts.count("inside") <= 5


@pytest.mark.parametrize("drop", [0.0, 0.01])
def test_the_interval_covers(drop: float) -> None:
    """With 4 seeds, where smaller batches do as well, and where they do worse. Of 120 intervals of which 85 %
    cover, fewer than 89 would be seen once in 1,000; the estimate itself has no bias to speak of."""
    rng, critical = np.random.default_rng(5), 128 * 2**3.5

    def loss(batch: float, tokens: float) -> float:
        return kinked(critical)(batch, tokens) + drop * max(0.0, math.log2(1024 / batch))

    tables = [branches(loss, params=i, noise=0.004, rng=rng) for i in range(120)]
    cells = critical_batches(pd.concat(tables), resamples=300)
    assert sum(c.interval[0] <= critical <= c.interval[1] for c in cells) >= 89
    assert np.median([c.batch for c in cells]) == pytest.approx(critical, rel=0.1)
    assert np.median([c.interval[1] / max(c.interval[0], 1) for c in cells]) < 3


def test_growth_is_recovered_and_edges_are_left_out() -> None:
    cells = critical_batches(
        pd.concat(
            branches(kinked(critical), origin=origin, params=params)
            for params, factor in ((10_000, 1), (40_000, 2))
            for origin, critical in ((10**4, 300 * factor), (4 * 10**4, 600 * factor), (10**8, 10**6))
        )
    )
    growth = fit_growth(cells)
    assert growth.tokens_exponent == pytest.approx(0.5, abs=0.1)  # crossings are interpolated
    assert growth.params_exponent == pytest.approx(0.5, abs=0.1)
    assert (growth.cells, growth.edges) == (4, 2)
    alone = fit_growth([cell for cell in cells if cell.params == 10_000])
    assert math.isnan(alone.params_exponent)


def test_refusals() -> None:
    whole = branches(kinked(1000))
    with pytest.raises(ValueError, match="decoder N 10,000 from D 1,000,000: 2 batches and 4 seeds"):
        critical_batches(whole[whole["batch_tokens"] <= 256])
    missing = whole[~(whole["final"] & (whole["seed"] == 1) & (whole["batch_tokens"] == 256))]
    with pytest.raises(ValueError, match="1 of 28 branches have no loss"):
        critical_batches(missing)
    with pytest.raises(ValueError, match="gain nothing over the second half"):
        critical_batches(branches(lambda batch, tokens: 3 + tokens / 1e6), overhead=0.2)
    with pytest.raises(ValueError, match="give a tolerance"):
        critical_batches(whole[whole["final"]], overhead=0.2)
    with pytest.raises(ValueError, match="0 of 1 critical batches lie inside"):
        fit_growth(critical_batches(branches(kinked(10**6))))
