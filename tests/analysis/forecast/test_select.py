"""Forecasts of held-out larger compute, rankings by them, and the ensemble."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.fitting.bootstrap.replicates import Bootstrap
from analysis.fitting.fit import FitError, fit_runs
from analysis.fitting.fit_columns import fit_loss_surface
from analysis.fitting.recipe import Recipe
from analysis.fitting.runs import Runs
from analysis.fitting.sensitivity import TRUNKS as LEFT_OUT
from analysis.fitting.sensitivity import influential, sensitivity
from analysis.forecast.names import name_warnings
from analysis.forecast.select import fit_ensemble, forecast_heldout, noise, predict_runs, rank_laws
from analysis.laws.chinchilla import Chinchilla
from analysis.laws.coupled import Coupled
from analysis.laws.law import Array
from analysis.table import load_runs

TRUTH = Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)
SHARP = Coupled(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28, k=2.0)
N, D = (v.ravel() for v in np.meshgrid(np.geomspace(5e7, 5e9, 7), np.geomspace(1e9, 1e11, 6), indexing="ij"))
TRUNKS = np.repeat(np.arange(7), 6)
LOSS = TRUTH.sample(np.random.default_rng(0), relative_noise=0.002, N=N, D=D)
PLAIN = Recipe("chinchilla")


def runs(loss: Array, flops: Array | None = None) -> Runs:
    return Runs.of({"N": N, "D": D}, loss, compute=flops)


def test_largest_compute_is_held_out_and_forecast() -> None:
    forecast = forecast_heldout(runs(LOSS), PLAIN, Bootstrap(resamples=100), holdout=6)
    table = forecast.table
    columns = ["params", "tokens", "flops", "loss", "predicted", "lo", "hi", "error"]
    columns += ["interval_score", "row"]
    assert list(table.columns) == columns
    assert len(table) >= 6
    assert table["flops"].min() > 6 * (forecast.fit.runs.inputs["N"] * forecast.fit.runs.inputs["D"]).max()
    np.testing.assert_array_equal(table["loss"], LOSS[table["row"]])
    assert forecast.error < 0.01
    assert forecast.covered >= len(table) - 2
    assert forecast.reach > 1
    assert "inside the 95 % interval" in str(forecast)


def test_counted_flops_decide_what_is_held_out() -> None:
    flops = np.arange(len(N), 0, -1.0)
    forecast = forecast_heldout(runs(LOSS, flops), PLAIN, Bootstrap(resamples=20), holdout=3)
    assert sorted(forecast.table["row"]) == [0, 1, 2]


@pytest.mark.parametrize("holdout", [0, 42, 1.5, 0.0])
def test_impossible_holdout(holdout: float) -> None:
    with pytest.raises(ValueError, match=r"holdout: a fraction between 0 and 1, or a count"):
        forecast_heldout(runs(LOSS), PLAIN, holdout=holdout)


def test_one_budget_cannot_be_split() -> None:
    with pytest.raises(FitError, match="every run has the same compute"):
        forecast_heldout(Runs.of({"N": N[:7], "D": 1e18 / N[:7]}, LOSS[:7]), PLAIN, holdout=2)


def test_a_new_run_is_less_certain_than_the_law() -> None:
    fit = fit_loss_surface(N, D, LOSS, resamples=200)
    table = predict_runs(fit, {"N": [1e9, 2e10], "D": [2e10, 1e12]})
    assert (table["lo"] < table["ci_lo"]).all()
    assert (table["ci_hi"] < table["hi"]).all()
    assert table["reach"].tolist() == pytest.approx([1e9 * 2e10 / 5e20, 2e10 * 1e12 / 5e20])
    with pytest.raises(FitError, match="no prediction interval"):
        predict_runs(fit.again(resamples=0), {"N": [1e9], "D": [2e10]})


def test_ranking_is_by_forecast_and_the_true_form_wins() -> None:
    loss = SHARP.sample(np.random.default_rng(1), relative_noise=0.001, N=N, D=D)
    trunked = Runs.of({"N": N, "D": D}, loss, TRUNKS)
    ranking = rank_laws(trunked)
    assert ranking["law"][0] == "coupled"
    assert ranking["heldout"].is_monotonic_increasing
    assert ranking["weight"].sum() == pytest.approx(1.0)
    assert (ranking["reach"] > 1).all()
    made = {"coupled": fit_loss_surface(N, D, loss, law="coupled", groups=TRUNKS, resamples=0)}
    pd.testing.assert_frame_equal(rank_laws(trunked, fits=made), ranking)
    with pytest.raises(FitError, match="no cut leaves enough runs"):
        rank_laws(runs(loss).take(np.arange(0, 42, 8)))


@pytest.mark.slow
def test_the_ensemble_holds_what_one_form_misses() -> None:
    loss = SHARP.sample(np.random.default_rng(2), relative_noise=0.003, N=N, D=D)
    far = {"N": 2e10, "D": 4e11}
    ensemble = fit_ensemble(runs(loss), (), Bootstrap(resamples=200))
    truth = float(SHARP(**far))
    low, high = ensemble.interval(lambda law: law(**far))
    assert low <= truth <= high
    alone = next(fit for fit in ensemble.fits if fit.name == "chinchilla")
    low, high = alone.interval(lambda law: law(**far))
    assert not low <= truth <= high
    assert ensemble.best.name == "coupled"
    assert ensemble.predict(lambda law: law(**far)) == pytest.approx(truth, rel=0.01)
    assert str(ensemble).startswith("ensemble of coupled ")
    with pytest.raises(FitError, match="not finite on 600 of 600 bootstrap draws, 100 % of their weight"):
        ensemble.interval(lambda law: float("nan"))
    with pytest.raises(ValueError, match=r"level: a probability between 0 and 1, e\.g\. 0\.95; got 95"):
        ensemble.interval(lambda law: law.alpha, level=95)
    with pytest.raises(FitError, match="the fit was made with resamples=0"):
        fit_ensemble(runs(loss), (), Bootstrap(resamples=0)).interval(lambda law: law.alpha)


def test_no_interval_of_what_most_draws_lack() -> None:
    """As for one law: a tenth of the draws may lack a quantity, by weight; more, and it is not bounded."""
    ensemble = fit_ensemble(runs(LOSS), (), Bootstrap(resamples=40))
    middle = {fit.name: np.median([law.alpha for law in fit.draws]) for fit in ensemble.fits}

    def half(law: object) -> float:
        above = law.alpha > middle[law.name]  # type: ignore[attr-defined]
        return float("nan") if above else 1.0

    with pytest.raises(FitError, match="not finite on 60 of 120 bootstrap draws, 50 % of their weight"):
        ensemble.interval(half)
    lowest = {fit.name: min(law.alpha for law in fit.draws) for fit in ensemble.fits}
    few = ensemble.interval(lambda law: law.alpha if law.alpha > lowest[law.name] else float("nan"))
    assert few[0] < ensemble.best.law.parameters["alpha"] < few[1]


def test_noise_of_a_new_run_is_centred_and_wider_than_residuals() -> None:
    fit = fit_loss_surface(N, D, LOSS, resamples=0)
    assert np.median(noise(fit)) == 0.0
    student = stats.t(37).ppf(0.975) / stats.norm.ppf(0.975)
    assert np.std(noise(fit)) == pytest.approx(np.std(fit.residuals) * np.sqrt(42 / 37) * student)


def test_sensitivity_has_a_row_for_every_choice() -> None:
    loss = LOSS.copy()
    loss[11] *= 1.2
    fit = fit_loss_surface(N, D, loss, groups=TRUNKS, resamples=0)
    table = sensitivity(
        fit,
        {"far": lambda law: law(N=2e10, D=1e12)},
        conventions={"params_total": N + 2e7},
        flops={"counted": 6.5 * N * D},
    )
    assert set(table["kind"]) == {"fit", "loss", "delta", "outliers", "trunk", "N", "FLOP", "burn-in"}
    assert table["far"][0] == pytest.approx(float(fit.law(N=2e10, D=1e12)))
    assert (table["kind"] == "trunk").sum() == 7
    assert (table["reason"] == "").all()
    without = table[table["what"] == "without the 1 largest"].iloc[0]
    assert without["runs"] == 41
    assert without["rms"] < 0.5 * table["rms"][0]
    with pytest.raises(ValueError, match="params_total: one value per run of the fit, 42 in all"):
        sensitivity(fit, conventions={"params_total": [1.0]})
    with pytest.raises(ValueError, match="params_total: every value must be positive"):
        sensitivity(fit, conventions={"params_total": np.zeros(42)})


def test_sensitivity_says_what_cannot_be_fitted() -> None:
    fit = fit_loss_surface(N[::7], D[::7], LOSS[::7], resamples=0)
    table = sensitivity(fit)
    few = table[table["what"] == "without the 2 largest"].iloc[0]
    assert "fewer runs than the law has parameters" in few["reason"]
    assert np.isnan(few["alpha"])


@pytest.mark.parametrize("law", ["chinchilla", pytest.param("coupled", marks=pytest.mark.slow)])
def test_of_many_trunks_those_that_hold_the_law_are_left_out(law: str) -> None:
    """All 40 left out in turn: the four that move the law most are among the twelve that one step names."""
    rng = np.random.default_rng(3)
    sizes, budgets = np.geomspace(1e7, 1e9, 40), np.geomspace(1e9, 1e11, 5)
    n, d = (v.ravel() for v in np.meshgrid(sizes, budgets, indexing="ij"))
    trunk = np.repeat(np.arange(40), 5)
    noise = rng.normal(scale=0.004, size=40)[trunk] + rng.normal(scale=0.003, size=200)
    fit = fit_loss_surface(n, d, TRUTH(N=n, D=d) * np.exp(noise), law=law, groups=trunk, resamples=0)
    moved = []
    for t in range(40):
        other = fit.again(fit.runs.take(fit.runs.groups != t), resamples=0).law
        moved.append(np.std(np.log(other(N=n, D=d)) - np.log(fit.law(N=n, D=d))))
    assert set(np.argsort(moved)[-4:]) <= set(influential(fit, 12))
    assert influential(fit, 40) == list(range(40))
    table = sensitivity(fit)
    named = [f"without trunk {t}" for t in influential(fit, LEFT_OUT)]
    assert table.loc[table["kind"] == "trunk", "what"].tolist() == named
    assert len(named) == LEFT_OUT == 20


def test_recipes_that_only_names_tell_are_noticed() -> None:
    N, D = (v.ravel() for v in np.meshgrid(np.geomspace(1e6, 1e9, 6), np.geomspace(1e9, 1e11, 4)))
    rng = np.random.default_rng(0)
    for factor in (1.0, 0.985):
        halves = []
        for recipe, times in (("adamw", 1.0), ("muon", factor)):
            loss = (
                times * (1.7 + 400 * N**-0.34 + 400 * D**-0.3) * np.exp(0.003 * rng.standard_normal(len(N)))
            )
            names = [f"{recipe}-{n / 1e6:.0f}M-{i}" for i, n in enumerate(N)]
            halves.append(pd.DataFrame({"name": names, "params": N, "tokens": D, "loss": loss}))
        table = load_runs(pd.concat(halves))
        fit = fit_runs(Runs.of_table(table, ("N", "D")), Recipe("chinchilla"), Bootstrap(resamples=0))
        said = [warning.message for warning in name_warnings(fit, table)]
        assert len(said) == (factor < 1)
        assert not said or "losses differ by the letters of 'name' (adamw +" in said[0]
