"""Fits of surfaces and curves whose truth is known."""

import json

import numpy as np
import pytest

from analysis.fitting.bootstrap.replicates import Bootstrap
from analysis.fitting.fit import FitError, fit_runs
from analysis.fitting.fit_columns import fit_loss_surface, fit_power_law
from analysis.fitting.recipe import Recipe
from analysis.fitting.runs import Runs
from analysis.laws.chinchilla import Chinchilla
from analysis.laws.coupled import Coupled
from analysis.laws.power import PowerLaw

TRUTH = Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)


def isoflop_grid() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Seven sizes (trunks), four token budgets each."""
    N, D = np.meshgrid(np.geomspace(5e7, 5e9, 7), np.geomspace(1e9, 1e11, 4), indexing="ij")
    return N.ravel(), D.ravel(), np.repeat(np.arange(7), 4)


def test_noise_free_surface_is_recovered() -> None:
    N, D, _ = isoflop_grid()
    fit = fit_loss_surface(N, D, TRUTH(N, D), resamples=0)
    for name, value in TRUTH.parameters.items():
        assert fit.law.parameters[name] == pytest.approx(value, rel=1e-6)


def test_noise_free_coupled_surface_is_recovered() -> None:
    truth = Coupled(E=1.7, A=300.0, B=900.0, alpha=0.33, beta=0.31, k=1.8)
    N, D, _ = isoflop_grid()
    fit = fit_loss_surface(N, D, truth(N, D), law="coupled", resamples=0)
    for name, value in truth.parameters.items():
        assert fit.law.parameters[name] == pytest.approx(value, rel=1e-4)


def test_power_law_with_and_without_offset() -> None:
    x = np.geomspace(1e3, 1e7, 10)
    fit = fit_power_law(x, PowerLaw(0.9, 25.0, 0.31)(x), resamples=0)
    assert fit.law.parameters == pytest.approx({"E": 0.9, "A": 25.0, "alpha": 0.31}, rel=1e-6)
    fit = fit_power_law(x, PowerLaw(0.0, 25.0, 0.31)(x), offset=False, resamples=0)
    assert fit.law.parameters == pytest.approx({"A": 25.0, "alpha": 0.31}, rel=1e-6)


def test_interval_of_any_function_and_print() -> None:
    N, D, trunks = isoflop_grid()
    loss = TRUTH.sample(np.random.default_rng(0), relative_noise=0.003, N=N, D=D)
    fit = fit_loss_surface(N, D, loss, groups=trunks, resamples=100)
    low, high = fit.interval(lambda law: law(N=1e9, D=2e10))
    assert low < float(fit.law(N=1e9, D=2e10)) < high
    wide_low, wide_high = fit.interval(lambda law: law(N=1e9, D=2e10), level=0.99)
    assert wide_low <= low
    assert high <= wide_high
    low, high = fit.interval(lambda law: law.optimum(C=1e23).N)
    assert low < fit.law.optimum(C=1e23).N < high
    text = str(fit)
    assert text.startswith("chinchilla law of L(N, D) on 28 runs (7 trunks), rms 0.")
    assert "95 % [" in text
    assert json.loads(json.dumps(fit.to_dict(), allow_nan=False))["trunks"] == 7


def test_the_order_of_rows_changes_nothing() -> None:
    N, D, trunks = isoflop_grid()
    loss = TRUTH.sample(np.random.default_rng(1), relative_noise=0.003, N=N, D=D)
    shuffle = np.random.default_rng(2).permutation(28)
    one = fit_loss_surface(N, D, loss, groups=trunks, resamples=20)
    two = fit_loss_surface(N[shuffle], D[shuffle], loss[shuffle], groups=trunks[shuffle], resamples=20)
    assert one.law == two.law
    np.testing.assert_array_equal(one.theta_draws, two.theta_draws)
    np.testing.assert_array_equal(one.residuals[shuffle], two.residuals)


def test_refusals_name_the_reason() -> None:
    N, D, _ = isoflop_grid()
    loss = TRUTH(N, D)
    with pytest.raises(FitError, match=r"fewer runs than the law has parameters: 4 runs, 5 parameters"):
        fit_loss_surface(N[:4], D[:4], loss[:4])
    with pytest.raises(FitError, match=r"no runs: the table is empty"):
        fit_loss_surface([], [], [])
    with pytest.raises(FitError, match=r"tokens has 27 rows, loss has 28"):
        fit_loss_surface(N, D[1:], loss)
    with pytest.raises(
        FitError, match=r"loss must be positive and finite; 1 of 28 rows are not, .* row 3: nan"
    ):
        fit_loss_surface(N, D, np.where(np.arange(28) == 3, np.nan, loss))
    with pytest.raises(FitError, match=r"params is 1e\+09 in every run"):
        fit_loss_surface(np.full(28, 1e9), D, loss)
    with pytest.raises(FitError, match=r"loss is 2 in every run"):
        fit_loss_surface(N, D, np.full(28, 2.0))
    with pytest.raises(ValueError, match=r"law: one of chinchilla, .*; got 'nope'"):
        fit_loss_surface(N, D, loss, law="nope")
    with pytest.raises(FitError, match=r"resamples=0; fit again"):
        fit_loss_surface(N, D, loss, resamples=0).interval(lambda law: law.E)


def test_a_valley_between_floor_and_data_term_is_followed_to_its_end() -> None:
    """E + B and B beta are all that these runs fix; the lowest objective lies at E = 0."""
    N, D = (v.ravel() for v in np.meshgrid(np.geomspace(1e5, 1e8, 6), np.geomspace(1e6, 1e9, 5)))
    truth = Chinchilla(1.0, 900.0, 20.0, 0.6, 0.6)
    loss = truth.sample(np.random.default_rng(15), relative_noise=0.003, N=N, D=D)
    fit = fit_loss_surface(N, D, loss, resamples=0)
    assert fit.objective == pytest.approx(5.330680317165906e-05, rel=1e-12)
    assert fit.certificate.ok
    assert fit.certificate.bounds == ("log_E",)
    assert fit.certificate.iterations < 60


def test_a_term_without_an_exponent_is_part_of_the_floor() -> None:
    """Where loss does not fall with tokens, floor and data term are one; the same one in every unit."""
    N, D = (v.ravel() for v in np.meshgrid(np.geomspace(1e5, 1e8, 6), np.geomspace(1e6, 1e9, 5)))
    truth = Chinchilla(3.0, 20.0, 20.0, 0.2, 0.6)
    loss = truth.sample(np.random.default_rng(47), relative_noise=0.003, N=N, D=D)
    one = fit_loss_surface(N, D, loss, resamples=0)
    two = fit_loss_surface(N / 1e6, D / 1e9, loss / np.log(2), resamples=0)
    assert one.law.parameters["B"] == two.law.parameters["B"] == 0.0
    assert one.certificate.bounds == two.certificate.bounds
    assert {"log_B", "beta"} <= set(one.certificate.bounds)
    assert one.certificate.ok
    assert two.certificate.ok


@pytest.mark.parametrize("units", [(1.0, 1.0, 1.0), (1e-6, 1e-9, 1.4427), (300.0, 0.02, 50.0)])
def test_exact_losses_without_a_floor_are_certified_in_every_unit(
    units: tuple[float, float, float],
) -> None:
    N, D, _ = isoflop_grid()
    truth = Chinchilla(0.0, 514.4, 371.7, 0.445, 0.279)
    fit = fit_loss_surface(N * units[0], D * units[1], truth(N, D) * units[2], resamples=0)
    assert fit.certificate.ok
    assert fit.certificate.bounds == ("log_E",)
    assert fit.law.parameters["alpha"] == pytest.approx(0.445, rel=1e-6)


def test_losses_without_noise_are_said_to_be_computed() -> None:
    N, D = (v.ravel() for v in np.meshgrid(np.geomspace(1e6, 1e9, 4), np.geomspace(1e9, 1e11, 4)))
    fit = fit_loss_surface(N, D, 1.7 + 400 * N**-0.34 + 400 * D**-0.3, resamples=10)
    (doubt,) = (doubt for doubt in fit.warnings if doubt.code == "exact")
    assert "losses look computed, not measured" in doubt.message


def test_shares_that_add_up_to_one_need_one_that_is_held() -> None:
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(4), 40)
    loss = (2 + 0.8 * np.exp(shares @ [-1.0, 0.5, -0.3, 0.2])) * np.exp(0.001 * rng.standard_normal(40))
    runs = Runs.of({f"r{i}": shares[:, i - 1] for i in range(1, 5)}, loss)
    with pytest.raises(FitError, match=r"r1 \+ r2 \+ r3 \+ r4 is 1 in every run.* --fix t4=0"):
        fit_runs(runs, Recipe("mixture"), Bootstrap(resamples=0))
    held = fit_runs(runs, Recipe("mixture", fixed={"t4": 0.0}), Bootstrap(resamples=0)).law.parameters
    assert [held[name] for name in ("t1", "t2", "t3")] == pytest.approx([-1.2, 0.3, -0.5], abs=0.1)
