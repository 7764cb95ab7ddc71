"""Lack of fit: the law that made the runs is kept, one that did not is refused."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.fitting.fit_columns import fit_loss_surface
from analysis.fitting.lack_of_fit import lack_of_fit

N = np.repeat(np.geomspace(1e5, 1e8, 6), 6)
D = np.tile(np.geomspace(1e7, 1e10, 6), 6)
TRUNKS = np.repeat(np.arange(6), 6)


def runs(k: float, seed: int) -> np.ndarray:
    """1 % of noise in each run, and 1 % shared by the runs of a trunk."""
    rng = np.random.default_rng(seed)
    loss = 1.7 + ((400 * N**-0.34) ** k + (400 * D**-0.28) ** k) ** (1 / k)
    return loss * np.exp(0.01 * rng.normal(size=36) + 0.01 * rng.normal(size=6)[TRUNKS])


def test_the_true_law_is_refused_about_as_rarely_as_promised() -> None:
    """At 80 %, of 12 tests 2.4 refuse on average; more than 7 have a probability of 6e-4."""
    refused = 0
    for seed in range(12):
        fit = fit_loss_surface(N, D, runs(1, seed), groups=TRUNKS, resamples=0)
        refused += lack_of_fit(fit, resamples=39, seed=seed).rejected(0.8)
    assert refused <= 7


def test_another_law_is_refused() -> None:
    fit = fit_loss_surface(N, D, runs(3, 0), groups=TRUNKS, resamples=0)
    found = lack_of_fit(fit, resamples=199)
    assert found.rejected()
    assert "chinchilla rejected against coupled" in str(found)
    assert found.rms > found.rms_against


def test_refusals() -> None:
    fit = fit_loss_surface(N, D, runs(1, 0), law="coupled", resamples=0)
    with pytest.raises(ValueError, match="no law is registered that contains 'coupled'"):
        lack_of_fit(fit)
    with pytest.raises(ValueError, match="a law wider than 'coupled'; 'coupled' has no further parameter"):
        lack_of_fit(fit, "coupled")
    with pytest.raises(ValueError, match="resamples: at least 1"):
        lack_of_fit(fit, resamples=0)
