"""Scores of runs not yet trained: two stages against direct laws, with the noise of the task."""

import numpy as np
import pytest

from analysis.fitting.fit_columns import fit_loss_surface
from analysis.fitting.runs import FitError
from analysis.forecast.capability import WAYS, Direct, TwoStage, fit_capability, score_of
from analysis.forecast.links import Sigmoid
from analysis.forecast.ways import compare_ways
from analysis.laws.chinchilla import Chinchilla

SURFACE = Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)
TASK = Sigmoid(chance=0.25, top=0.95, steepness=2.0, middle=2.6)
N, D = (v.ravel() for v in np.meshgrid(np.geomspace(1e7, 1e9, 6), np.geomspace(2e8, 2e10, 5)))
LOSS = SURFACE(N, D)


def test_two_stages_are_exact_on_exact_runs() -> None:
    fit = fit_capability(N, D, LOSS, TASK(LOSS), chance=0.25, resamples=20)
    assert isinstance(fit, TwoStage)
    told = fit.forecast(5e9, 1e11)
    assert told.score.value == pytest.approx(float(TASK(SURFACE(5e9, 1e11))), abs=1e-4)
    assert told.score.low <= told.score.value + 1e-4
    assert "by sigmoid" in str(told)


def test_direct_laws_are_exact_on_their_own_data() -> None:
    C = 6 * N * D
    score = score_of(40 * C**-0.1, 0.25)
    fit = fit_capability(N, D, LOSS, score, how="direct", chance=0.25, resamples=20)
    assert isinstance(fit, Direct)
    assert fit.forecast(5e9, 1e11).score.value == pytest.approx(
        float(score_of(40 * 3e21**-0.1, 0.25)), rel=1e-6
    )
    assert "ratio" in [d.code for d in fit.warnings]
    both = score_of(90 * N**-0.3 + 120 * D**-0.25, 0.25)
    surface = fit_capability(N, D, LOSS, both, how="direct_surface", chance=0.25, resamples=20)
    expected = float(score_of(90 * 5e9**-0.3 + 120 * 1e11**-0.25, 0.25))
    assert surface.forecast(5e9, 1e11).score.value == pytest.approx(expected, rel=1e-4)


def test_noise_of_the_task_widens_a_run_and_not_the_law() -> None:
    rng = np.random.default_rng(0)
    wide = {}
    for items in (100, 10_000):
        score = rng.binomial(items, TASK(LOSS)) / items
        told = fit_capability(N, D, LOSS, score, chance=0.25, items=items, resamples=100).forecast(2e9, 4e10)
        wide[items] = told.run[1] - told.run[0]
        assert told.run[0] <= told.score.low
        assert told.run[1] >= told.score.high
    assert wide[100] > 3 * wide[10_000], "what is not known of the ceiling does not shrink with items"
    assert wide[100] > 2 * 1.96 * np.sqrt(0.65 * 0.35 / 100)


@pytest.mark.slow
def test_new_runs_are_covered() -> None:
    """25 studies, nominal 95 %: fewer than 19 covered has probability 2e-4."""
    covered = 0
    for seed in range(25):
        rng = np.random.default_rng(seed)
        loss = SURFACE.sample(rng, relative_noise=0.003, N=N, D=D)
        score = rng.binomial(1000, TASK(loss)) / 1000
        basis = fit_loss_surface(N, D, loss, resamples=100, seed=seed)
        fit = fit_capability(
            N, D, loss, score, chance=0.25, items=1000, basis=basis, resamples=100, seed=seed
        )
        low, high = fit.forecast(3e9, 6e10, seed=seed).run
        true = TASK(SURFACE.sample(rng, relative_noise=0.003, N=3e9, D=6e10))
        covered += low <= rng.binomial(1000, true) / 1000 <= high
    assert covered >= 19


def test_ways_are_compared_on_held_out_compute() -> None:
    table = compare_ways(N, D, LOSS, TASK(LOSS), chance=0.25, resamples=20)
    assert set(table["how"]) == set(WAYS)
    assert table["how"][0] == "sigmoid", "the truth forecasts best on its own data"
    assert table["error"].is_monotonic_increasing
    assert table["error"][0] < 1e-3
    flat = compare_ways(N, D, LOSS, np.full(len(N), 0.2), chance=0.25, resamples=5, ways=("direct",))
    assert "3 are needed" in flat["reason"][0]


def test_runs_at_chance_are_left_out_and_counted() -> None:
    score = np.where(np.arange(len(N)) < 2, 0.2, TASK(LOSS))
    fit = fit_capability(N, D, LOSS, score, how="direct", chance=0.25, resamples=5)
    assert fit.warnings[0].message.startswith("2 of 30 runs score at chance")


def test_basis_of_the_caller_is_used() -> None:
    basis = fit_loss_surface(N, D, LOSS, law="coupled", resamples=5)
    fit = fit_capability(N, D, LOSS, TASK(LOSS), basis=basis, resamples=5)
    assert isinstance(fit, TwoStage)
    assert fit.basis is basis
    bare = fit_loss_surface(N, D, LOSS, resamples=0)
    with pytest.raises(FitError, match="the fit was made with resamples=0"):
        fit_capability(N, D, LOSS, TASK(LOSS), basis=bare, resamples=5).forecast(1e9, 1e10)


def test_refusals() -> None:
    with pytest.raises(
        ValueError, match="how: one of sigmoid, exponential, direct, direct_surface; got 'magic'"
    ):
        fit_capability(N, D, LOSS, TASK(LOSS), how="magic")  # type: ignore[arg-type]
    with pytest.raises(FitError, match=r"0 of 30 runs score between chance \(0.5\) and 1"):
        fit_capability(N, D, LOSS, np.full(30, 0.4), how="direct", chance=0.5)
    with pytest.raises(ValueError, match=r"holdout: a fraction that holds out 1 to 29 runs; got 1.0"):
        compare_ways(N, D, LOSS, TASK(LOSS), holdout=1.0)
