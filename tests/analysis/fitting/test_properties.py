"""What may not change an answer, and what every optimum is."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from analysis.fitting.fit import Fit
from analysis.fitting.fit_columns import fit_loss_surface
from analysis.forecast.serving import serving_optimum
from analysis.laws.chinchilla import Chinchilla
from analysis.laws.coupled import Coupled

SETTINGS = settings(max_examples=15, deadline=None)


@st.composite
def truths(draw: st.DrawFn) -> Chinchilla:
    """Laws whose terms the runs can see: where one lies below the noise, its parameters are anything."""
    law = Chinchilla(
        E=draw(st.floats(0.3, 3.0)),
        A=draw(st.floats(20.0, 900.0)),
        B=draw(st.floats(20.0, 900.0)),
        alpha=draw(st.floats(0.2, 0.6)),
        beta=draw(st.floats(0.2, 0.6)),
    )
    assume(min(law.A * 1e5**-law.alpha, law.B * 1e6**-law.beta) > 10 * 0.003 * law.E)
    return law


def runs(truth: Chinchilla, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    N, D = (v.ravel() for v in np.meshgrid(np.geomspace(1e5, 1e8, 6), np.geomspace(1e6, 1e9, 5)))
    return N, D, truth.sample(np.random.default_rng(seed), relative_noise=0.003, N=N, D=D)


def _amounts(fit: Fit) -> np.ndarray:
    """Draws (R, 5) with E, A and B as they are: a floor may be zero, which has no logarithm."""
    return np.concatenate([np.exp(fit.theta_draws[:, :3]), fit.theta_draws[:, 3:]], axis=1)


def same(one: Fit, two: Fit, rel: float = 1e-5) -> None:
    for name, value in one.law.parameters.items():
        assert two.law.parameters[name] == pytest.approx(value, rel=rel, abs=1e-9)


@SETTINGS
@given(truths(), st.integers(0, 99), st.floats(1e-6, 1e6))
def test_the_scale_of_weights_changes_nothing(truth: Chinchilla, seed: int, scale: float) -> None:
    """The sum of losses or their mean: the same fit, and an objective in proportion."""
    N, D, loss = runs(truth, seed)
    one = fit_loss_surface(N, D, loss, resamples=0)
    two = fit_loss_surface(N, D, loss, weights=np.full(len(N), scale), resamples=0)
    same(one, two)
    assert two.objective == pytest.approx(scale * one.objective, rel=1e-9)


@SETTINGS
@given(truths(), st.integers(0, 99), st.floats(1e-9, 1e3), st.floats(1e-9, 1e3), st.floats(1e-2, 1e2))
def test_units_change_nothing(truth: Chinchilla, seed: int, n: float, d: float, unit: float) -> None:
    """Millions of parameters, billions of tokens, bits for nats: the same exponents."""
    N, D, loss = runs(truth, seed)
    one = fit_loss_surface(N, D, loss, resamples=5)
    two = fit_loss_surface(n * N, d * D, unit * loss, resamples=5)
    law = two.law.parameters
    assert two.objective == pytest.approx(one.objective, rel=1e-9)
    assert law["alpha"] == pytest.approx(one.law.parameters["alpha"], rel=1e-6, abs=1e-9)
    assert law["E"] == pytest.approx(unit * one.law.parameters["E"], rel=1e-6, abs=1e-9)
    assert law["A"] == pytest.approx(one.law.parameters["A"] * unit * n ** law["alpha"], rel=1e-4)
    np.testing.assert_allclose(_amounts(one), _amounts(two), rtol=1e-3, atol=1e-5)


@SETTINGS
@given(truths(), st.integers(0, 99))
def test_the_order_of_rows_changes_no_bit(truth: Chinchilla, seed: int) -> None:
    N, D, loss = runs(truth, seed)
    order = np.random.default_rng(seed).permutation(len(N))
    one = fit_loss_surface(N, D, loss, resamples=5)
    two = fit_loss_surface(N[order], D[order], loss[order], resamples=5)
    assert one.law == two.law
    np.testing.assert_array_equal(one.theta_draws, two.theta_draws)
    np.testing.assert_array_equal(one.residuals[order], two.residuals)


@SETTINGS
@given(truths(), st.integers(0, 99))
def test_every_run_twice_with_half_the_weight_changes_nothing(truth: Chinchilla, seed: int) -> None:
    N, D, loss = runs(truth, seed)
    trunks = np.arange(len(N)) // 5
    one = fit_loss_surface(N, D, loss, groups=trunks, resamples=5)
    twice = [np.tile(v, 2) for v in (N, D, loss, trunks)]
    two = fit_loss_surface(*twice[:3], groups=twice[3], weights=np.full(2 * len(N), 0.5), resamples=5)
    same(one, two)
    np.testing.assert_allclose(one.theta_draws, two.theta_draws, rtol=1e-3, atol=1e-5)


@SETTINGS
@given(truths(), st.floats(1e17, 1e25), st.floats(0.5, 4.0), st.floats(-3, 3))
def test_the_optimum_has_the_least_loss_of_its_budget(
    truth: Chinchilla, C: float, k: float, away: float
) -> None:
    law = Coupled(**truth.parameters, k=k)
    best = law.optimum(C)
    assert pytest.approx(C, rel=1e-9) == 6 * best.N * best.D
    N = best.N * np.exp(away)
    assert best.loss <= float(law(N=N, D=C / (6 * N))) * (1 + 1e-12)


@settings(max_examples=5, deadline=None)
@given(truths())
def test_serving_nothing_is_the_training_optimum(truth: Chinchilla) -> None:
    best = truth.optimum(1e21)
    served = serving_optimum(truth, loss=best.loss, served=0.0)
    assert pytest.approx(best.N, rel=1e-3) == served.N
    assert served.training_flops == pytest.approx(1e21, rel=1e-6)
    busy = serving_optimum(truth, loss=best.loss, served=1e12)
    assert busy.N < served.N
    assert float(truth(N=busy.N, D=busy.D)) == pytest.approx(best.loss, rel=1e-9)
