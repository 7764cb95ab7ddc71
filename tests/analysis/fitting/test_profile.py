"""Intervals of every kind, and the verdict that a parameter is unidentified."""

import numpy as np
import pytest

from analysis.fitting.bootstrap.replicates import BOOTSTRAP_KINDS, replicates
from analysis.fitting.fit import Fit, FitError
from analysis.fitting.fit_columns import fit_loss_surface
from analysis.fitting.profile import profile
from analysis.laws.chinchilla import Chinchilla

TRUTH = Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)
N, D = (v.ravel() for v in np.meshgrid(np.geomspace(5e7, 5e9, 8), np.geomspace(1e9, 1e11, 5), indexing="ij"))
TRUNKS = np.repeat(np.arange(8), 5)
FAR = {"N": 2e10, "D": 1e12}


def noisy(seed: int = 0, **how: object) -> Fit:
    loss = TRUTH.sample(np.random.default_rng(seed), relative_noise=0.003, N=N, D=D)
    return fit_loss_surface(N, D, loss, **{"resamples": 200, **how})  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", BOOTSTRAP_KINDS)
@pytest.mark.parametrize("groups", [None, TRUNKS])
def test_every_bootstrap_brackets_the_truth(kind: str, groups: np.ndarray | None) -> None:
    fit = noisy(groups=groups, bootstrap=kind, robust="squared")
    low, high = fit.interval(lambda law: law(**FAR), level=0.999)
    assert low < float(TRUTH(**FAR)) < high
    assert (high - low) / low < 0.2


@pytest.mark.parametrize("kind", ["bayes", "pairs", "wild"])
def test_trunks_are_drawn_whole(kind: str) -> None:
    fit = noisy(groups=TRUNKS)
    drawn = replicates(kind, fit.runs, fit.data.log_loss, np.zeros(40), 5, 50, 0)  # type: ignore[arg-type]
    change = drawn.counts if kind != "wild" else drawn.log_loss / fit.data.log_loss
    for trunk in range(8):
        of = change[:, fit.runs.groups == trunk]
        np.testing.assert_allclose(of, np.broadcast_to(of[:, :1], of.shape))


def test_pairs_are_redrawn_until_they_can_determine_the_law() -> None:
    fit = noisy(groups=TRUNKS // 2, bootstrap="pairs")
    drawn = replicates("pairs", fit.runs, fit.data.log_loss, np.zeros(40), 5, 400, 0)
    assert drawn.redrawn > 0
    for counts in drawn.counts:
        assert len(np.unique(fit.runs.inputs["N"][counts > 0])) >= 3
    assert "redrawn" in {doubt.code for doubt in fit.warnings}


def test_unknown_bootstrap() -> None:
    with pytest.raises(ValueError, match="bootstrap: one of bayes, pairs, residual, wild; got 'jackknife'"):
        noisy(bootstrap="jackknife")


def test_squares_agree_with_theory() -> None:
    """For squares, scipy's standard error times t, the profile and the bootstrap estimate the same thing."""
    from scipy import optimize, stats

    fit = noisy(robust="squared", resamples=1000)
    n, d = np.log(fit.runs.inputs["N"] / 1e9), np.log(fit.runs.inputs["D"] / 1e10)

    def residual(v: np.ndarray) -> np.ndarray:
        predicted = np.logaddexp(v[0], np.logaddexp(v[1] - v[3] * n, v[2] - v[4] * d))
        return np.asarray(predicted - np.log(fit.runs.loss))

    law = fit.law.parameters
    start = [np.log(law["E"]), np.log(law["A"] / 1e9 ** law["alpha"]), np.log(law["B"] / 1e10 ** law["beta"])]
    solved = optimize.least_squares(residual, [*start, law["alpha"], law["beta"]], xtol=1e-15)
    covariance = np.linalg.inv(solved.jac.T @ solved.jac) * 2 * solved.cost / 35
    width = 2 * stats.t.ppf(0.975, 35) * np.sqrt(covariance[3, 3])
    for low, high in (profile(fit, "alpha").interval, fit.interval(lambda law: law.alpha)):
        assert abs((high - low) / width - 1) < 0.35
        assert abs((low + high) / 2 - law["alpha"]) < 0.3 * width


def test_one_ray_of_tokens_per_parameter_is_unidentified() -> None:
    params = np.geomspace(1e6, 1e8, 12)
    loss = TRUTH.sample(np.random.default_rng(0), relative_noise=0.002, N=params, D=20 * params)
    fit = fit_loss_surface(params, 20 * params, loss, resamples=100)
    assert "collinear" in {doubt.code for doubt in fit.warnings}
    verdicts = [profile(fit, name) for name in ("alpha", "beta")]
    assert not all(verdict.identified for verdict in verdicts)
    assert any("is not identified: the runs exclude" in str(verdict) for verdict in verdicts)


def test_profile_is_least_at_the_estimate_and_says_its_interval() -> None:
    fit = noisy(resamples=0)
    found = profile(fit, "E")
    assert found.identified
    assert found.statistic.min() == pytest.approx(0.0, abs=1e-6)
    assert found.values[found.statistic.argmin()] == pytest.approx(fit.law.parameters["E"], rel=1e-6)
    assert found.interval[0] < fit.law.parameters["E"] < found.interval[1]
    assert str(found).startswith("E = 1.721, 95 % interval by its profile [")
    with pytest.raises(ValueError, match="'gamma' is not a parameter of the chinchilla law"):
        profile(fit, "gamma")


@pytest.mark.parametrize("name", ["A", "B"])
def test_a_coefficient_whose_coordinate_moves_with_its_exponent_has_a_profile(name: str) -> None:
    fit = noisy(resamples=200)
    found = profile(fit, name)
    low, high = found.interval
    assert found.identified
    assert found.estimate == pytest.approx(fit.law.parameters[name])
    assert low < found.estimate < high
    drawn = fit.intervals[name]
    assert drawn is not None
    assert np.log([low, high]) == pytest.approx(np.log(drawn), abs=0.5)


def test_no_interval_of_what_does_not_exist() -> None:
    fit = noisy(resamples=20)
    with pytest.raises(FitError, match="not finite on 20 of 20 bootstrap draws"):
        fit.interval(lambda law: float("nan"))
    with pytest.raises(ValueError, match="level: a probability between 0 and 1"):
        fit.interval(lambda law: law.E, level=95)


@pytest.mark.slow
@pytest.mark.parametrize(("sizes", "budgets"), [(7, 4), (10, 6), (20, 12)])
@pytest.mark.parametrize("delta", [1e-3, 1.0])
def test_coverage(sizes: int, budgets: int, delta: float) -> None:
    """Nominal 95 % covers 90 to 99.5 % of 200 simulations; exact, 1 test in 500 would fail by chance."""
    params, tokens = (
        v.ravel() for v in np.meshgrid(np.geomspace(5e7, 1e10, sizes), np.geomspace(1e9, 2e11, budgets))
    )
    rng, truth, hits = np.random.default_rng(5), float(TRUTH(**FAR)), 0
    for seed in range(200):
        loss = TRUTH.sample(rng, relative_noise=0.005, N=params, D=tokens)
        fit = fit_loss_surface(params, tokens, loss, delta=delta, resamples=300, seed=seed)
        low, high = fit.interval(lambda law: law(**FAR))
        hits += low <= truth <= high
    assert 180 <= hits <= 199
