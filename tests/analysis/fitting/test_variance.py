"""New runs of new trunks scatter more widely than residuals: by theory, by simulation, not by copies."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from analysis.fitting.bootstrap.variance import Scatter, scatter
from analysis.fitting.fit_columns import fit_loss_surface
from analysis.fitting.recipe import Recipe
from analysis.fitting.runs import Runs
from analysis.forecast.heldout import noise, predict_runs
from analysis.laws.chinchilla import Chinchilla

TRUNKS, EACH = 6, 5
TRUTH = Chinchilla(E=1.0, A=20.0, B=60.0, alpha=0.3, beta=0.3)
N, D = (
    x.ravel()
    for x in np.meshgrid(np.geomspace(6e3, 1.5e5, TRUNKS), np.geomspace(3e5, 3e6, EACH), indexing="ij")
)
TRUNK = np.repeat(np.arange(TRUNKS), EACH)
EXACT = np.asarray(TRUTH(N=N, D=D))
RUNS = Runs.of({"N": N, "D": D}, EXACT, TRUNK)
FORM = Recipe("chinchilla").form(Recipe("chinchilla").data(RUNS))
THETA = fit_loss_surface(N, D, EXACT, groups=TRUNK, resamples=0).theta
n, p = len(N), len(THETA)


def projected(noise: np.ndarray) -> np.ndarray:
    """What least squares leaves of noise (n,) in the order of RUNS, to first order."""
    step = 1e-5 * np.eye(p)
    J = (FORM.value(THETA + step) - FORM.value(THETA - step)) / 2e-5
    return np.asarray(noise - J.T @ np.linalg.lstsq(J.T, noise, rcond=None)[0])


def test_runs_that_share_nothing_lose_their_parameters() -> None:
    alone = Runs.of({"N": N, "D": D}, EXACT)
    found = scatter(FORM, THETA, alone, np.random.default_rng(0).normal(size=n))
    assert found == Scatter.of_runs(n, p) == Scatter(np.sqrt(n / (n - p)), n - p)
    assert found.quantile() == pytest.approx(stats.t(n - p).ppf(0.975) / stats.norm.ppf(0.975))
    assert found.quantile(3) == pytest.approx(stats.t(3).ppf(0.975) / stats.norm.ppf(0.975))


@pytest.mark.parametrize(("trunk", "run"), [(0.01, 0.003), (0.003, 0.003), (0.0, 0.005)])
def test_the_variance_of_new_runs_comes_back(trunk: float, run: float) -> None:
    """On average over 400 draws; where trunks differ, known by fewer degrees of freedom than trunks."""
    rng = np.random.default_rng(1)
    found = []
    for _ in range(400):
        noise = trunk * rng.normal(size=TRUNKS)[RUNS.groups] + run * rng.normal(size=n)
        left = projected(noise)
        spread = scatter(FORM, THETA, RUNS, left)
        centred = left - np.median(left)
        found.append((spread.widening**2 * float(np.mean(centred**2)), spread.freedom))
    variance, freedom = np.mean(found, axis=0)
    assert variance == pytest.approx(trunk**2 + run**2, rel=0.1)
    assert freedom < TRUNKS if trunk > run else freedom > TRUNKS


def test_copies_of_runs_tell_nothing_new() -> None:
    loss = EXACT * np.exp(np.random.default_rng(2).normal(0, 0.01, TRUNKS)[TRUNK])
    fits = [
        fit_loss_surface(*(np.tile(x, k) for x in (N, D, loss)), groups=np.tile(TRUNK, k), resamples=0)
        for k in (1, 2)
    ]
    once, twice = (np.std(noise(fit)) for fit in fits)
    assert twice == pytest.approx(once, rel=1e-3)


def test_the_order_of_the_table_does_not_matter() -> None:
    loss = EXACT * np.exp(np.random.default_rng(2).normal(0, 0.01, TRUNKS)[TRUNK])
    shuffled = np.random.default_rng(3).permutation(n)
    fits = [
        fit_loss_surface(N[i], D[i], loss[i], groups=TRUNK[i], resamples=0) for i in (slice(None), shuffled)
    ]
    assert np.std(noise(fits[1])) == pytest.approx(float(np.std(noise(fits[0]))), rel=1e-6)


def test_a_law_that_meets_every_run_is_left_alone() -> None:
    assert scatter(FORM, THETA, RUNS, np.zeros(n)) == Scatter.of_runs(n, p)


@pytest.mark.slow
@pytest.mark.parametrize(("trunk", "run"), [(0.01, 0.003), (0.001, 0.005)])
def test_few_trunks_cover(trunk: float, run: float) -> None:
    """A nominal 95 %, 200 times: a new size, a longer run, a run between, E, alpha and the law itself.

    Without allowance for trunks it was 80 to 93 % of all but the second. Fewer than 171 (85.5 %) of 200 at
    90 % come about once in 50 by chance, for which the seed is fixed.
    """
    rng = np.random.default_rng(0)
    asked = {"N": [4e5, 1.5e5, N.reshape(TRUNKS, EACH)[3, 0]], "D": [6e6, 1e7, 1e6]}
    exact = np.asarray(TRUTH(**{k: np.array(v) for k, v in asked.items()}))
    hits = np.zeros(6)
    for seed in range(200):
        shared = rng.normal(0, trunk, TRUNKS + 2)
        loss = EXACT * np.exp(shared[TRUNK] + rng.normal(0, run, n))
        new = exact * np.exp(shared[[TRUNKS, TRUNKS - 1, TRUNKS + 1]] + rng.normal(0, run, 3))
        fit = fit_loss_surface(N, D, loss, groups=TRUNK, resamples=300, seed=seed)
        told = predict_runs(fit, asked)
        hits[:3] += (told["lo"] <= new) & (new <= told["hi"])
        for i, f in enumerate((lambda law: law.E, lambda law: law.alpha, lambda law: law(N=4e5, D=6e6))):
            low, high = fit.interval(f)
            hits[3 + i] += low <= float(f(TRUTH)) <= high
    assert (hits >= 171).all(), hits
