"""Forecasts of runs and budgets: right on exact data, honest on noisy ones, doubtful far away."""

import numpy as np
import pytest

from analysis.fitting.bootstrap.replicates import Bootstrap
from analysis.fitting.fit_columns import fit_loss_surface
from analysis.fitting.runs import FitError, Runs
from analysis.forecast.predict import compute_warnings, fit_basis, forecast_budget, forecast_run
from analysis.forecast.select import Ensemble, noise
from analysis.laws.chinchilla import Chinchilla
from analysis.laws.coupled import Coupled
from analysis.laws.law import Array

TRUTH = Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)
N, D = (v.ravel() for v in np.meshgrid(np.geomspace(1e7, 1e9, 6), np.geomspace(2e8, 2e10, 5)))


def runs(loss: Array, flops: Array | None = None) -> Runs:
    return Runs.of({"N": N, "D": D}, loss, compute=flops)


def test_exact_runs_give_the_exact_optimum() -> None:
    fit = fit_loss_surface(N, D, TRUTH(N, D), resamples=20)
    found = forecast_budget(fit, 1e22)
    best = TRUTH.optimum(1e22)
    assert found.inputs["N"].value == pytest.approx(best.N, rel=1e-5)
    assert found.inputs["D"].value == pytest.approx(best.D, rel=1e-5)
    assert found.loss.value == pytest.approx(best.loss, rel=1e-7)
    assert found.compute == pytest.approx(1e22)
    assert found.reach["compute"] == pytest.approx(1e22 / (6 * 1e9 * 2e10))
    assert [d.code for d in found.warnings] == ["exact"]


def test_ensemble_of_forms_carries_its_best_law_and_weights() -> None:
    loss = TRUTH.sample(np.random.default_rng(0), relative_noise=0.003, N=N, D=D)
    basis, doubts = fit_basis(runs(loss), (), Bootstrap(resamples=100))
    assert isinstance(basis, Ensemble)
    assert not doubts
    found = forecast_run(basis, {"N": 4e9, "D": 1e11})
    assert found.law == basis.best.law
    assert sum(found.weights.values()) == pytest.approx(1)
    assert found.heldout == basis.heldout
    assert found.run[0] < found.loss.low < found.loss.value < found.loss.high < found.run[1]
    assert found.inputs["N"].low == found.inputs["N"].high == 4e9
    assert found == forecast_run(basis, {"N": 4e9, "D": 1e11}), "one seed, one answer"


@pytest.mark.slow
def test_intervals_of_a_new_run_cover_it() -> None:
    """30 studies, nominal 95 %: fewer than 23 covered has probability 8e-5."""
    covered = 0
    at = {"N": 2e9, "D": 4e10}
    for seed in range(30):
        rng = np.random.default_rng(seed)
        fit = fit_loss_surface(N, D, TRUTH.sample(rng, relative_noise=0.004, N=N, D=D), resamples=200)
        low, high = forecast_run(fit, at, seed=seed).run
        covered += low <= float(TRUTH.sample(rng, relative_noise=0.004, **at)) <= high
    assert covered >= 23


def test_one_form_when_laws_cannot_be_ranked() -> None:
    rows = np.array([0, 4, 7, 12, 20, 29])
    basis, doubts = fit_basis(runs(TRUTH(N, D)).take(rows), (), Bootstrap(resamples=20))
    assert [fit.name for fit in basis.fits] == ["chinchilla"]
    assert doubts[0].code == "one-form"
    assert "assume that the chinchilla law is the true form: laws cannot be ranked" in doubts[0].message
    single, said = fit_basis(runs(TRUTH(N, D)), ("coupled",), Bootstrap(resamples=20))
    assert single.best.name == "coupled"
    assert "no other law was fitted" in said[0].message
    assert forecast_run(basis, {"N": 1e9, "D": 1e10}).heldout is None


def test_far_and_off_the_ratio_is_said() -> None:
    fit = fit_loss_surface(N, D, TRUTH(N, D), resamples=20)
    found = forecast_run(fit, {"N": 1e12, "D": 1e12})
    assert [d.code for d in found.warnings[:2]] == ["far", "ratio"] or "far" in str(found)
    assert found.reach["params"] == pytest.approx(1000)
    assert forecast_run(fit, {"N": 1e7, "D": 1e12}).reach["tokens_per_param"] == pytest.approx(1e5 / 2e3)
    assert forecast_run(fit, {"N": 1e8, "D": 1e9}).reach["params"] == 1


def test_words() -> None:
    loss = TRUTH.sample(np.random.default_rng(0), relative_noise=0.003, N=N, D=D)
    text = str(forecast_budget(fit_loss_surface(N, D, loss, resamples=20), 1e22))
    assert "best N" in text
    assert "95 % of one new run" in text
    assert all(len(line) <= 80 for line in text.split("\n"))


def test_counted_compute_far_from_6nd_is_said() -> None:
    assert compute_warnings(runs(TRUTH(N, D), 6 * N * D * 1.1)) == ()
    (doubt,) = compute_warnings(runs(TRUTH(N, D), 6 * N * D * np.linspace(1.4, 4, len(N))))
    assert doubt.message.startswith("the runs' counted FLOPs are 1.4 to 4 times 6 N D")


def test_refusals() -> None:
    fit = fit_loss_surface(N, D, TRUTH(N, D), resamples=0)
    with pytest.raises(ValueError, match="params: a positive number; got -1"):
        forecast_run(fit, {"N": -1, "D": 1e9})
    with pytest.raises(ValueError, match="tokens: a positive number; got nan"):
        forecast_run(fit, {"N": 1e9, "D": float("nan")})
    with pytest.raises(FitError, match="no interval: the fit was made with resamples=0"):
        forecast_run(fit, {"N": 1e9, "D": 1e9})
    with pytest.raises(ValueError, match="C: a compute budget is a positive number"):
        forecast_budget(fit, 0)


def test_a_law_that_fixes_the_exponent_is_not_printed_and_bounds_no_size() -> None:
    """Equal exponents give N* growing as C^.5 whatever the runs say; of these the exponent is .55."""
    truth = Chinchilla(E=1.7, A=400, B=2000, alpha=0.33, beta=0.36)
    loss = truth.sample(np.random.default_rng(2), relative_noise=0.004, N=N, D=D)
    basis, _ = fit_basis(runs(loss), ("chinchilla", "gadre"), Bootstrap(resamples=60))
    assert {fit.name for fit in basis.fits} == {"chinchilla", "gadre"}
    found = forecast_budget(basis, 1e22)
    assert found.law.name == "chinchilla"
    (own,) = (fit for fit in basis.fits if fit.name == "chinchilla")
    low, high = own.interval(lambda law: law.optimum(1e22).N)
    assert (found.inputs["N"].low, found.inputs["N"].high) == pytest.approx((low, high))
    alone, _ = fit_basis(runs(loss), ("gadre",), Bootstrap(resamples=20))
    assert forecast_budget(alone, 1e22).law.name == "gadre"


def test_runs_that_leave_nothing_over_have_no_interval() -> None:
    rows = [0, 4, 7, 20, 29]
    noisy = TRUTH.sample(np.random.default_rng(0), relative_noise=0.01, N=N[rows], D=D[rows])
    fit = fit_loss_surface(N[rows], D[rows], noisy, resamples=20)
    assert set(fit.intervals.values()) == {None}
    with pytest.raises(FitError, match="no interval: the chinchilla law, of 5 parameters, goes through"):
        forecast_run(fit, {"N": 1e9, "D": 1e10})
    assert [doubt.code for doubt in fit.warnings if doubt.code in ("few-runs", "outliers")] == ["few-runs"]


def test_an_optimum_out_of_all_proportion_is_refused() -> None:
    n = np.geomspace(1e7, 1e9, 10)
    loss = Chinchilla(E=1.6, A=900, B=900, alpha=0.3, beta=0.05).sample(
        np.random.default_rng(1), relative_noise=0.001, N=n, D=20 * n
    )
    fit = fit_loss_surface(n, 20 * n, loss, resamples=20)
    ratio = fit.law.optimum(1e21).D / fit.law.optimum(1e21).N
    assert not 20e-4 < ratio < 20e4, "else this is no example"
    with pytest.raises(FitError, match="the runs do not bound the optimum"):
        forecast_budget(fit, 1e21)


def test_noise_is_that_of_the_runs() -> None:
    truth = Coupled(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28, k=1.0)
    loss = truth.sample(np.random.default_rng(0), relative_noise=0.004, N=N, D=D)
    assert np.std(noise(fit_loss_surface(N, D, loss, resamples=0))) == pytest.approx(0.004, rel=0.35)
