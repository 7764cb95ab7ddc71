"""A floor that the runs do not reach must not blow up what is said of runs near them."""

from __future__ import annotations

import numpy as np

from analysis.laws.fit import fit_loss_surface
from analysis.laws.heldout import predict_runs
from analysis.laws.laws import Coupled
from analysis.laws.resample import widen


def test_a_floor_at_zero_is_stretched_on_its_own_scale() -> None:
    draws = np.array([[np.log(1.2), 0.5], [-20.0, 0.3]])
    wide = widen(draws, np.array([-20.0, 0.4]), 5, 22, 0.0, np.array([True, False]))
    stretch = np.sqrt(5 / 4)
    np.testing.assert_allclose(np.exp(wide[0, 0]), stretch * 1.2, rtol=1e-8)
    np.testing.assert_allclose(wide[:, 1], 0.4 + stretch * np.array([0.1, -0.1]))


def test_an_amount_never_turns_negative() -> None:
    wide = widen(np.array([[np.log(0.1)]]), np.array([np.log(2.0)]), 2, 22, 0.0, np.array([True]))
    assert np.isfinite(wide).all()
    assert np.exp(wide[0, 0]) < 1e-100


def test_prediction_intervals_stay_sane_where_the_floor_is_unidentified() -> None:
    """Small models whose loss is far above any floor: E is fitted as 0 and some replicates find 1."""
    truth = Coupled(E=0.0, A=5.14, B=30.3, alpha=0.115, beta=0.216, k=3.5)
    N, D = (v.ravel() for v in np.meshgrid(np.geomspace(6e3, 8e4, 5), np.geomspace(3e5, 3e6, 5)))
    noise = np.random.default_rng(0).normal(0, 0.008, N.size)
    trunks = np.unique(N, return_inverse=True)[1]
    fit = fit_loss_surface(N, D, truth(N=N, D=D) * np.exp(noise), law="coupled", groups=trunks, resamples=300)
    told = predict_runs(fit, {"N": [1.5e5], "D": [3.2e6]})
    assert told["hi"].item() < 1.25 * told["predicted"].item()
    assert told["lo"].item() > 0.75 * told["predicted"].item()
