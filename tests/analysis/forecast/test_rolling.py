"""Rolling forecasts: which law is printed, how far its form misses, and intervals that allow for it."""

import numpy as np
import pytest

from analysis.fitting.bootstrap.replicates import Bootstrap
from analysis.fitting.interval import interval_score
from analysis.fitting.recipe import Recipe
from analysis.fitting.runs import FitError, Runs
from analysis.forecast.heldout import Forecast, drift_within, forecast_heldout
from analysis.forecast.predict import fit_basis, forecast_run
from analysis.forecast.rolling import Drift, drift_of, error_of, roll
from analysis.forecast.select import printed_law, rank_curves
from analysis.laws.bnsl import BrokenPowerLaw
from analysis.laws.chinchilla import Chinchilla
from analysis.laws.coupled import Coupled

TRUTH = Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)
SHARP = Coupled(**TRUTH.parameters, k=3.0)
BUDGETS = np.repeat(np.geomspace(1e18, 1e21, 6), 7)
N = np.concatenate([TRUTH.optimum(C).N * np.geomspace(1 / 6, 6, 7) for C in np.unique(BUDGETS)])
D = BUDGETS / (6 * N)
FAR = {"N": TRUTH.optimum(1e22).N, "D": 1e22 / 6 / TRUTH.optimum(1e22).N}


def study(law: Chinchilla | Coupled, noise: float, seed: int) -> Runs:
    rng = np.random.default_rng(seed)
    return Runs.of({"N": N, "D": D}, law.sample(rng, relative_noise=noise, N=N, D=D))


def test_the_widest_law_is_printed_unless_a_narrower_one_clearly_forecasts_better() -> None:
    assert printed_law({"chinchilla": 0.010, "coupled": 0.011}) == "coupled"
    assert printed_law({"chinchilla": 0.010, "coupled": 0.012}) == "chinchilla"
    assert printed_law({"gadre": 0.010, "chinchilla": 0.009, "coupled": 0.012}) == "chinchilla"
    assert printed_law({"kaplan": 0.001, "coupled": 0.010}) == "coupled", (
        "a law without a floor is not printed"
    )
    assert printed_law({"kaplan": 0.001}) == "kaplan", "unless there is no other"


def test_a_wrong_form_drifts_and_a_right_one_hardly() -> None:
    cuts = roll(study(SHARP, 0.0005, 0), [Recipe("chinchilla"), Recipe("coupled")])
    assert [cut.fitted for cut in cuts] == sorted({cut.fitted for cut in cuts}, reverse=True)
    wrong, right = (drift_of(cuts, law) for law in ("chinchilla", "coupled"))
    assert wrong.rate > 5 * right.rate
    assert error_of(cuts, "chinchilla") > 5 * error_of(cuts, "coupled")


def test_drift_grows_with_ln_reach_as_far_as_forecasts_reached_and_slower_beyond() -> None:
    drift = Drift(0.01, tested=np.log(10))
    assert drift.at([0.5, 1, np.e, 10]) == pytest.approx([0, 0, 0.01, 0.01 * np.log(10)])
    assert drift.at(1e4) == pytest.approx(2 * drift.at(10.0)), (
        "as a random walk: four times as far in ln reach"
    )
    assert Drift().at(1e9) == 0


def test_the_drift_of_a_pinned_law_is_its_own() -> None:
    runs = study(SHARP, 0.0005, 0)
    free, pinned = Recipe("coupled"), Recipe("coupled", fixed={"k": 1.0})
    assert drift_within(runs, pinned).rate > 5 * drift_within(runs, free).rate


def test_intervals_hold_where_no_law_that_is_fitted_is_true() -> None:
    """Chinchilla alone on a coupled truth, 8 studies: its bootstrap never holds, with its drift most do."""
    plain = held = 0
    truth = float(SHARP(**FAR))
    for seed in range(8):
        basis, _ = fit_basis(study(SHARP, 0.001, seed), ("chinchilla",), Bootstrap(resamples=60, seed=seed))
        found = forecast_run(basis, FAR).loss
        low, high = basis.best.interval(lambda law: float(law(**FAR)))
        plain += low <= truth <= high
        held += found.low <= truth <= found.high
    assert plain == 0
    assert held >= 7


def test_a_failed_forecast_has_a_warning() -> None:
    found = forecast_heldout(study(SHARP, 0.001, 1), Recipe("chinchilla"), Bootstrap(resamples=60), 14)
    assert found.holds == (found.warnings == ())
    table = found.table.assign(lo=0.0, hi=0.1)
    failed = Forecast(found.fit, table, found.reach)
    assert not failed.holds
    (warning,) = failed.warnings
    assert warning.code == "forecast-missed"
    assert warning.message.startswith("0 of 14 held-out runs lie inside their 95 % intervals")


def test_interval_score_is_width_and_misses() -> None:
    assert interval_score([1, 1, 1], [2, 2, 2], [1.5, 0.9, 2.2], 0.95).tolist() == pytest.approx([1, 5, 9])


def test_the_law_of_a_curve_is_chosen_by_bic_among_the_certified() -> None:
    x = np.geomspace(10, 1e6, 30)
    truth = BrokenPowerLaw(0.5, 6.0, 0.08, 0.5, 2e3, 0.3)
    runs = Runs.of({"x": x}, truth.sample(np.random.default_rng(0), relative_noise=0.001, x=x))
    table = rank_curves(runs, ("power", "power_without_offset", "m3"))
    assert table["certified"].tolist() == sorted(table["certified"], reverse=True)
    certified = table[table["certified"]]
    assert certified["bic"].is_monotonic_increasing
    with pytest.raises(FitError, match="for no law of this curve was a minimum certified"):
        rank_curves(runs.take(np.arange(2)), ("power", "m3"))
