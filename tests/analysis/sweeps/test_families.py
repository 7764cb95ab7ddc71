from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analysis.fitting.runs import FitError
from analysis.laws.coupled import Coupled
from analysis.sweeps import families
from analysis.sweeps.families import EqualityTest, compare_families
from analysis.sweeps.joint import ArmRuns, JointSurface

DECODER = Coupled(E=0.9, A=20.0, B=400.0, alpha=0.33, beta=0.42, k=1.5)
SIZES = (5e3, 1.2e4, 3e4, 7e4, 1.6e5)
BUDGETS = (2e5, 5e5, 1.2e6, 3e6)


def study(laws: dict[str, Coupled], noise: float = 0.003, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows = [
        {
            "family": family,
            "objective": "causal",
            "data_fingerprint": "one",
            "trunk_id": f"{family}-{N:g}",
            "params": N,
            "tokens": D,
            "flops": 6 * N * D,
            "loss": float(law(N=N, D=D)) * np.exp(noise * rng.standard_normal()),
        }
        for family, law in laws.items()
        for N in SIZES
        for D in BUDGETS
    ]
    return pd.DataFrame(rows)


def slower(by: float) -> Coupled:
    """A family that needs `by` times the tokens, and so the compute, for any loss of the decoder's."""
    return Coupled(0.9, 20.0, 400.0 * by**0.42, 0.33, 0.42, 1.5)


def test_a_family_that_needs_three_times_the_tokens_is_found_out() -> None:
    """N, D → N, D / 3 moves each optimum to three times the compute at the same loss, for any law.

    D enters alone, so the best N at a loss is the same and the ratio of computes is exactly 3.
    """
    found = compare_families(study({"decoder": DECODER, "lstm": slower(3.0)}), resamples=20)
    assert found.laws["decoder"].E == found.laws["lstm"].E == pytest.approx(0.9, abs=0.15)
    assert found.equal_exponents.p > 0.05
    assert found.shared_floor.p > 0.05
    (curve,) = found.multipliers
    middle = slice(5, 20)  # at the ends a frontier runs into the smallest and the largest size trained
    assert curve.value[middle] == pytest.approx(3.0, rel=0.15)
    assert np.nanmin(curve.low[middle]) < 3.0 < np.nanmax(curve.high[middle])


@pytest.mark.parametrize("shared", [(), ("E",), ("E", "alpha", "beta")])
def test_derivatives_are_those_of_the_loss(shared: tuple[str, ...]) -> None:
    runs = ArmRuns.of(study({"decoder": DECODER, "lstm": slower(3.0)}), "family", "decoder")
    shape = JointSurface(runs, shared, coupled=True)
    theta = shape._starts(runs.loss)[1] + 0.1 * np.random.default_rng(0).standard_normal(shape.size)
    numeric = np.stack(
        [(shape._log_loss(theta + h) - shape._log_loss(theta - h)) / 2e-6 for h in 1e-6 * np.eye(shape.size)],
        axis=1,
    )
    np.testing.assert_allclose(shape._slopes(theta), numeric, rtol=1e-6, atol=1e-8)


def test_without_noise_the_ratio_is_exact() -> None:
    found = compare_families(study({"decoder": DECODER, "lstm": slower(3.0)}, noise=0.0), resamples=0)
    assert found.rms < 1e-6
    for law in found.laws.values():
        assert (law.E, law.alpha, law.beta, law.k) == pytest.approx((0.9, 0.33, 0.42, 1.5), rel=1e-3)
    (curve,) = found.multipliers
    assert curve.value[8:17] == pytest.approx(3.0, rel=0.03)  # the frontier is a grid of 200 sizes


def test_other_exponents_are_noticed() -> None:
    other = Coupled(E=0.9, A=9.0, B=400.0, alpha=0.24, beta=0.42, k=1.5)
    found = compare_families(study({"decoder": DECODER, "lstm": other}), resamples=20)
    assert found.equal_exponents.p < 0.05
    assert "equal exponents: rejected" in str(found.equal_exponents)


def test_losses_of_other_things_are_not_compared() -> None:
    table = study({"decoder": DECODER, "masked": slower(2.0)})
    table.loc[table["family"] == "masked", "objective"] = "masked"
    with pytest.raises(ValueError, match=r"on one objective only; the table has causal, masked"):
        compare_families(table)
    with pytest.raises(ValueError, match=r"'lstm' and at least one other are needed; the table has decoder"):
        compare_families(study({"decoder": DECODER}), reference="lstm")
    few = study({"decoder": DECODER, "lstm": slower(2.0)})
    with pytest.raises(FitError, match=r"family 'lstm': 2 distinct params; at least 3"):
        compare_families(few[(few["family"] == "decoder") | (few["params"] < 2e4)])


@pytest.mark.slow
@pytest.mark.parametrize(("trunk", "run"), [(0.01, 0.003), (0.001, 0.005)])
def test_intervals_of_the_multiplier_cover(trunk: float, run: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """A nominal 95 % of five trunks per family, at five losses of forty studies.

    Draws of trunks alone, not spread for their number, held 65 and 74 %. The losses of one study go together:
    at 90 % fewer than 31 of 40 studies hold the middle one once in 60, for which the seeds are fixed.
    """
    monkeypatch.setattr(families, "equality_test", lambda *_: EqualityTest("not asked", 0.0, 1.0, 0))
    exact = study({"decoder": DECODER, "lstm": slower(2.0)}, noise=0.0)
    codes = pd.factorize(exact["trunk_id"])[0]
    truth = compare_families(exact, resamples=0).multipliers[0]
    hits = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        noise = rng.normal(0, trunk, codes.max() + 1)[codes] + rng.normal(0, run, len(exact))
        found = compare_families(exact.assign(loss=exact["loss"] * np.exp(noise)), resamples=100, seed=seed)
        (multiplier,) = found.multipliers
        at = len(multiplier.loss) // 2
        value = np.interp(multiplier.loss[at], truth.loss[::-1], truth.value[::-1])
        hits += multiplier.low[at] <= value <= multiplier.high[at]
    assert hits >= 31
