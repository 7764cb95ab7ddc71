"""How draws are spread: a floor out of reach must not blow up what is said of runs near them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from analysis.fitting import fit as fit_module
from analysis.fitting.bootstrap import draws
from analysis.fitting.bootstrap.bandwidth import smooth_loss
from analysis.fitting.bootstrap.draws import faithful, small_sample, stretch
from analysis.fitting.bootstrap.variance import Scatter
from analysis.fitting.fit_columns import fit_loss_surface
from analysis.fitting.losses import Robust
from analysis.fitting.recipe import Recipe
from analysis.fitting.runs import Runs
from analysis.forecast.heldout import predict_runs
from analysis.laws.coupled import Coupled

RUNS = Runs.of({"x": np.geomspace(1, 2, 22)}, np.linspace(3, 2, 22), np.arange(22) % 5)
FORM = Recipe("power").form(Recipe("power").data(RUNS))


def test_a_floor_at_zero_is_stretched_on_its_own_scale() -> None:
    draws = np.array([[np.log(1.2), -1.0, 0.5], [-20.0, -1.2, 0.3]])
    factor = small_sample(RUNS.n_groups, Scatter.of_runs(22, 3), quadratic=0.0)
    assert factor == pytest.approx(np.sqrt(5 / 4) * stats.t(4).ppf(0.975) / stats.norm.ppf(0.975))
    centre = np.array([-20.0, -1.1, 0.4])
    wide = stretch(draws, centre, centre, factor, FORM)
    np.testing.assert_allclose(np.exp(wide[0, 0]), factor * 1.2, rtol=1e-8)
    np.testing.assert_allclose(wide[:, 2], 0.4 + factor * np.array([0.1, -0.1]))


def test_an_amount_never_turns_negative() -> None:
    centre = np.array([np.log(2.0), 0.0, 0.5])
    wide = stretch(np.array([[np.log(0.1), 0.0, 0.5]]), centre, centre, 1.2, FORM)
    assert wide[0, 0] == FORM.lower[0]


def test_draws_of_a_smoother_loss_scatter_about_the_estimate() -> None:
    about, centre = np.array([0.1, 0.0, 0.5]), np.array([0.0, 0.1, 0.4])
    wide = stretch(np.array([[0.1, 0.2, 0.6]]), about, centre, 1.5, FORM)
    np.testing.assert_allclose(wide, [[0.0, 0.4, 0.55]], atol=1e-15)


def test_the_loss_of_replicates_is_as_wide_as_the_bandwidth_of_a_density() -> None:
    """Theory of both limits: an L1 fit of many runs scatters sqrt(pi/2) times as far as least squares."""
    z = stats.norm.ppf((np.arange(100_000) + 0.5) / 100_000)
    smooth, factor = smooth_loss(Robust("l1"), 0.01 * z, 5)
    assert smooth.kind == "huber"
    share = 0.9716 * 100_000 ** (-1 / 3)  # Hall & Sheather: z^(2/3) (1.5 phi(0)²)^(1/3) n^(-1/3)
    assert smooth.delta / 0.01 == pytest.approx(stats.norm.ppf(0.5 + share), rel=1e-3)
    assert 1.0 < factor < 1.02
    few, sharper = smooth_loss(Robust("huber", 1e-3), 0.01 * z[::5000], 5)
    assert few.delta > smooth.delta
    assert 1.1 < sharper < np.sqrt(np.pi / 2)
    for unchanged in (Robust("squared"), Robust("asymmetric"), Robust("huber", 0.1)):
        assert smooth_loss(unchanged, 0.01 * z, 5) == (unchanged, 1.0)
    assert smooth_loss(Robust(), np.zeros(9), 5) == (Robust(), 1.0)


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


def test_stretched_draws_keep_to_the_log_losses_they_stand_for() -> None:
    """From a smoother estimate without a floor to one with a floor: moved in coordinates they lie far off."""
    runs = Runs.of({"x": np.geomspace(1, 1000, 30)}, np.linspace(3, 2, 30))
    form = Recipe("power").form(Recipe("power").data(runs))
    about, centre = np.array([-20.0, 0.0, 0.08]), np.array([np.log(0.6), -0.9, 0.25])
    draws = np.array([[np.log(0.7), -1.2, 0.35], [-20.0, 0.01, 0.09], [np.log(0.2), -0.2, 0.1]])
    factor, weights = 1.4, np.ones((1, 30))
    moved = stretch(draws, about, centre, factor, form)
    wanted = form.value(centre[None]) + factor * (form.value(draws) - form.value(about[None]))
    found = faithful(moved, draws, about, centre, factor, form, weights)

    def missed(theta: np.ndarray) -> np.ndarray:
        return np.asarray(np.sqrt(np.mean((form.value(theta) - wanted) ** 2, axis=1)))

    assert missed(moved).max() > 0.3
    assert missed(found).max() < 0.02
    near = stretch(centre + 0.01 * (draws - about), centre, centre, factor, form)
    np.testing.assert_array_equal(
        faithful(near, centre + 0.01 * (draws - about), centre, centre, factor, form, weights), near
    )


@pytest.mark.parametrize("law", ["chinchilla", "coupled"])
def test_of_many_runs_one_step_gives_the_draws_of_the_whole_way(
    law: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ends of the intervals of 1,500 runs on 300 trunks agree to a twentieth of their width."""
    rng = np.random.default_rng(0)
    N, D = (v.ravel() for v in np.meshgrid(np.geomspace(1e6, 1e9, 30), np.geomspace(1e8, 1e11, 5)))
    N, D = np.tile(N, 10), np.tile(D, 10)
    trunks = np.unique(np.stack([N, np.repeat(np.arange(10), 150)]), axis=1, return_inverse=True)[1]
    truth = Coupled(1.69, 406.4, 410.7, 0.34, 0.28, 1.4)
    loss = truth.sample(rng, relative_noise=0.004, N=N, D=D) * np.exp(0.002 * rng.normal(size=300))[trunks]
    ends = {}
    for many in (0, 10**12):
        monkeypatch.setattr(draws, "MANY", many)
        fit = fit_loss_surface(N, D, loss, law=law, groups=trunks, resamples=200)
        ends[many] = np.array([fit.intervals[name] for name in fit.law.parameters], dtype=float)
    width = np.diff(ends[10**12], axis=1)
    assert (np.abs(ends[0] - ends[10**12]) < 0.05 * width).all()


def test_of_few_runs_one_step_is_refused() -> None:
    """Thirty runs of 5 % noise leave the law so free that its replicates must be followed to their minima."""
    N, D = (v.ravel() for v in np.meshgrid(np.geomspace(1e6, 1e9, 6), np.geomspace(1e8, 1e11, 5)))
    truth = Coupled(1.69, 406.4, 410.7, 0.34, 0.28, 1.4)
    loss = truth.sample(np.random.default_rng(1), relative_noise=0.05, N=N, D=D)
    fit = fit_loss_surface(N, D, loss, law="coupled", resamples=0)
    weights = np.random.default_rng(2).exponential(size=(100, 30))[:, fit.runs.groups]
    assert draws.one_step(fit.recipe, fit.runs, fit.data, fit.theta, weights) is None


@pytest.mark.parametrize("law", ["chinchilla", "coupled", "gadre"])
def test_of_many_runs_starts_are_followed_on_some_first(law: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The minimum of 1,200 runs is the same, whether starts came from all of them or from some."""
    rng = np.random.default_rng(3)
    N, D = np.exp(rng.uniform(np.log(1e6), np.log(1e9), 1200)), np.exp(rng.uniform(18, 25, 1200))
    loss = Coupled(1.69, 406.4, 410.7, 0.34, 0.28, 1.4).sample(rng, relative_noise=0.01, N=N, D=D)
    whole = fit_loss_surface(N, D, loss, law=law, resamples=0)
    monkeypatch.setattr(fit_module, "MANY", 1000)
    some = fit_loss_surface(N, D, loss, law=law, resamples=0)
    assert some.objective == pytest.approx(whole.objective, rel=1e-9)
    assert some.law.parameters == pytest.approx(whole.law.parameters, rel=1e-5)
    assert some.certificate.ok
    assert some.certificate.agree >= 2
