"""Chinchilla's three approaches: exact on exact data where they should be, doubtful where they should be."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import scipy
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.fitting.fit import Bootstrap, fit_runs
from analysis.fitting.fit_columns import fit_loss_surface
from analysis.fitting.recipe import Recipe
from analysis.fitting.runs import FitError, Runs
from analysis.fitting.vertex import parabola
from analysis.forecast.grids import exact_minima, noise_free_bias
from analysis.forecast.isoflop import approach_1, approach_2, compare_approaches
from analysis.forecast.lines import power_lines, scatter_about_line
from analysis.forecast.regret import compute_for, deadweight
from analysis.forecast.slices import _at_budgets, _Bundle, slice_runs
from analysis.forecast.vertices import fit_vertices
from analysis.laws.chinchilla import Chinchilla
from analysis.laws.coupled import Coupled
from analysis.laws.surface import Surface
from experiments.commands.fit import plain

SYMMETRIC = Chinchilla(E=1.69, A=400, B=400, alpha=0.31, beta=0.31)
TRUTH = Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)
ASYMMETRIC = Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.465, beta=0.155)
COUPLED = Coupled(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28, k=2)
DRIFTING = (1, 1.1, 1.3, 1.5, 1.7, 2)
Grid = tuple[np.ndarray, np.ndarray]


def isoflop(
    law: Surface, reach: float = 4.0, off: Sequence[float] = (1, 1, 1, 1, 1, 1), sizes: int = 9
) -> Grid:
    """params and tokens of six budgets: sizes from 1/reach to reach times `off` times the optimum."""
    budgets = np.geomspace(1e18, 1e21, 6)
    spread = np.geomspace(1 / reach, reach, sizes)
    N = np.concatenate([law.optimum(c).N * o * spread for c, o in zip(budgets, off, strict=True)])
    return N, np.repeat(budgets, sizes) / (6 * N)


def trunks() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    N, D = np.meshgrid(np.geomspace(1e7, 2e9, 9), np.geomspace(2e8, 5e10, 7) * 1.03, indexing="ij")
    return N.ravel(), D.ravel(), np.repeat(np.arange(9), 7)


def test_all_approaches_agree_on_a_symmetric_surface() -> None:
    N, D = isoflop(SYMMETRIC)
    fit = fit_loss_surface(N, D, SYMMETRIC(N, D), resamples=20)
    found = compare_approaches(fit, 1e23)
    assert [a.number for a in found.approaches] == [1, 2, 3]
    assert found.table["a"].to_numpy() == pytest.approx(0.5, abs=1e-6)
    assert found.table["N"].to_numpy() == pytest.approx(SYMMETRIC.optimum(1e23).N, rel=1e-5)
    assert found.table["regret"].to_numpy() == pytest.approx(0, abs=1e-8)
    assert not found.refusals
    assert "wastes" in str(found)
    assert all(len(line) <= 80 for line in str(found).split("\n") if "!" not in line)


@pytest.mark.parametrize(
    ("off", "code"),
    [
        ((3,) * 6, "off-centre"),
        ((1, 1.2, 1.4, 1.7, 2, 2.5), "drift"),
        ((1, 1, 1, 1, 1, 9), "edge-minimum"),
    ],
)
def test_doubts_about_where_grids_lie(off: tuple[float, ...], code: str) -> None:
    N, D = isoflop(SYMMETRIC, off=off)
    second = approach_2(slice_runs(N, D, SYMMETRIC(N, D)), resamples=0)
    assert code in [d.code for d in second.warnings]
    assert len(second.budgets) == 6 - (code == "edge-minimum")


@pytest.mark.parametrize(("reach", "code"), [(16, "wide-grid"), (1.5, "narrow-grid")])
def test_doubts_about_width(reach: float, code: str) -> None:
    N, D = isoflop(SYMMETRIC, reach)
    assert code in [d.code for d in approach_2(slice_runs(N, D, SYMMETRIC(N, D)), resamples=0).warnings]


def test_bias_on_exact_data_is_said_and_widens_the_interval() -> None:
    """The envelope can only choose sizes that were tried."""
    N, D = isoflop(TRUTH, reach=16, off=DRIFTING, sizes=5)
    slices = slice_runs(N, D, TRUTH(N, D))
    alone = approach_1(slices, resamples=200)
    judged = approach_1(slices, resamples=200, judge=TRUTH)
    assert "exact losses of the chinchilla law" in judged.warnings[-1].message
    assert np.ptp(judged.interval("a")) > np.ptp(alone.interval("a"))
    second = approach_2(slices, resamples=0, judge=TRUTH)
    assert [w.code for w in second.warnings] == ["wide-grid", "drift"]
    assert second.optimum(1e22)[0] == pytest.approx(TRUTH.optimum(1e22).N, rel=0.01)


@pytest.mark.parametrize("law", [TRUTH, ASYMMETRIC, COUPLED])
@pytest.mark.parametrize("reach", [2, 4, 8, 16])
@pytest.mark.parametrize("off", [(1,) * 6, (1.8,) * 6, DRIFTING])
def test_minima_of_exact_losses_are_found_within_one_percent(
    law: Surface, reach: float, off: tuple[float, ...]
) -> None:
    N, D = isoflop(law, reach, off, sizes=7)
    found = fit_vertices(slice_runs(N, D, law(N=N, D=D)))
    true = np.log([law.optimum(c).N for c in np.geomspace(1e18, 1e21, 6)])
    inside = found.inside
    assert inside.sum() >= 5
    assert found.log_n[inside] == pytest.approx(true[inside], abs=0.01)
    assert found.log_n + found.log_d == pytest.approx(np.log(np.geomspace(1e18, 1e21, 6) / 6))
    assert np.isinf(found.reach)


def test_minima_of_a_law_along_budgets() -> None:
    N, D = isoflop(TRUTH)
    log_n, log_d = exact_minima(slice_runs(N, D, TRUTH(N, D)), TRUTH)
    best = [TRUTH.optimum(c) for c in np.geomspace(1e18, 1e21, 6)]
    assert log_n == pytest.approx(np.log([b.N for b in best]), abs=1e-4)
    assert log_d == pytest.approx(np.log([b.D for b in best]), abs=1e-4)


def test_trunks_are_interpolated_and_optima_found() -> None:
    N, D, trunk = trunks()
    loss = TRUTH.sample(np.random.default_rng(0), relative_noise=0.001, N=N, D=D)
    slices = slice_runs(N, D, loss, groups=trunk)
    assert slices.interpolated
    second = approach_2(slices, resamples=200)
    assert second.a == pytest.approx(0.28 / 0.62, abs=0.03)
    assert "interpolated" in [d.code for d in second.warnings]
    low, high = second.interval("N", 1e22)
    assert low < second.optimum(1e22)[0] < high


def test_interpolation_is_exact_at_the_runs() -> None:
    N, D, trunk = trunks()
    same = np.unique(6 * N * D)
    slices = slice_runs(N, D, TRUTH(N, D), groups=trunk, budgets=[float(same[30]), float(same[31])])
    exact = TRUTH(slices.N, slices.D)
    assert slices.loss == pytest.approx(exact, rel=2e-3)
    at = np.isclose(6 * N * D, same[30])
    for n in N[at]:
        own = (n == slices.N) & (slices.budget == 0)
        assert slices.loss[own] == pytest.approx(exact[own], rel=1e-9)


def test_flops_of_the_caller_make_the_budgets() -> None:
    N, D = isoflop(TRUTH)
    flops = 6 * N * D * 1.7
    assert slice_runs(N, D, TRUTH(N, D), flops=flops).compute == pytest.approx(
        1.7 * np.geomspace(1e18, 1e21, 6)
    )


def test_budgets_that_agree_within_a_few_percent_are_recognised() -> None:
    """Four budgets of seven sizes, their steps rounded; then one stray run, which is counted."""
    rng = np.random.default_rng(0)
    budgets = np.geomspace(1e18, 1e20, 4)
    N = np.concatenate([TRUTH.optimum(c).N * np.geomspace(1 / 4, 4, 7) for c in budgets])
    D = np.repeat(budgets, 7) / (6 * N) * rng.uniform(0.94, 1.06, 28)
    found = slice_runs(N, D, TRUTH(N, D))
    assert not found.interpolated
    assert np.bincount(found.budget).tolist() == [7] * 4
    assert approach_2(found, resamples=0).a == pytest.approx(0.28 / 0.62, abs=0.03)
    N, D = np.append(N, 2e8), np.append(D, 2e9)
    found = slice_runs(N, D, TRUTH(N, D))
    assert (len(found.loss), found.left_out) == (28, 1)
    assert "28 of 29 runs share a budget" in approach_2(found, resamples=0).warnings[-1].message


def test_counted_flops_make_the_budgets_and_are_compared_in_6nd() -> None:
    """An output layer that small models feel: budgets share counted FLOP but no 6 N D."""
    budgets = np.geomspace(1e18, 1e20, 4)
    N = np.concatenate([TRUTH.optimum(c).N * np.geomspace(1 / 4, 4, 7) for c in budgets])
    flops = np.repeat(budgets, 7)
    D = flops / (6 * (N + 2e8))
    loss = TRUTH(N, D)
    with pytest.raises(FitError, match="give the column flops"):
        slice_runs(N, D, loss)
    runs = Runs.of({"N": N, "D": D}, loss, compute=flops)
    found = compare_approaches(fit_runs(runs, Recipe("chinchilla"), Bootstrap(resamples=20)))
    second = found.approaches[1]
    assert [a.number for a in found.approaches] == [1, 2, 3]
    assert second.a + second.b == pytest.approx(1)
    C = found.compute
    assert 6 * np.prod(second.optimum(C)) == pytest.approx(C)
    said = {w.code: w.message for w in second.warnings}["counted-flops"]
    ends = [f"{1 + 2e8 / n:.3g}" for n in (N.min(), N.max())]
    assert f"of equal counted FLOP, {ends[0]} × 6 N D at N = {N.min():.3g} and {ends[1]} × at" in said
    assert "larger than for its 6 N D" in said
    log_n, log_d = exact_minima(slice_runs(N, D, loss, flops=flops), TRUTH)
    assert np.log(second.sizes) == pytest.approx(log_n, abs=0.02)
    assert np.log(second.budgets / 6) == pytest.approx(log_n + log_d, abs=0.02)


def test_flops_that_are_none_are_refused() -> None:
    N, D = isoflop(TRUTH)
    flops = 6 * N * D
    flops[3] = 0
    with pytest.raises(FitError, match=r"1 of 54 runs have none, the first with params .*: 0\.0"):
        slice_runs(N, D, TRUTH(N, D), flops=flops)


def test_one_size_best_everywhere_is_unusable_for_the_envelope() -> None:
    budgets = np.geomspace(1e19, 1.5e19, 3)
    N = np.tile(TRUTH.optimum(1.2e19).N * np.geomspace(1 / 8, 8, 5), 3)
    D = np.repeat(budgets, 5) / (6 * N)
    slices = slice_runs(N, D, TRUTH(N, D))
    with pytest.raises(FitError, match=r"unusable here: .* is the best at all 3 budgets"):
        approach_1(slices, resamples=0)
    fit = fit_loss_surface(N, D, TRUTH(N, D), resamples=0)
    found = compare_approaches(fit)
    assert "approach 1: unusable here" in str(found)
    assert found.table["approach"].tolist() == [2, 3]


def test_losses_that_scatter_far_from_the_minimum_count_little() -> None:
    """Warm-up as it were: losses 5 % and more above the least are raised by up to a third, at random."""
    N, D = isoflop(SYMMETRIC, reach=16, sizes=15)
    loss = SYMMETRIC(N, D)
    least = np.repeat(loss.reshape(6, 15).min(axis=1), 15)
    loss = loss * (1 + np.maximum(loss / least - 1.05, 0) * np.random.default_rng(0).uniform(0, 3, len(loss)))
    loss *= np.exp(0.001 * np.random.default_rng(1).standard_normal(len(loss)))
    found = approach_2(slice_runs(N, D, loss), resamples=400)
    assert {"uneven-curve", "wide-grid"} <= {w.code for w in found.warnings}
    low, high = found.interval("a")
    assert low < 0.5 < high
    assert high - low < 0.06


def test_budgets_off_the_line_say_so_and_widen_the_interval() -> None:
    """One budget trained with another recipe, whose best size is twice as large."""
    N, D = isoflop(SYMMETRIC)
    loss = SYMMETRIC.sample(np.random.default_rng(0), relative_noise=0.001, N=N, D=D)
    moved = np.repeat([1, 1, 2, 1, 1, 1], 9)
    other = SYMMETRIC.sample(np.random.default_rng(0), relative_noise=0.001, N=N / moved, D=D * moved)
    one, two = (approach_2(slice_runs(N, D, y), resamples=300) for y in (loss, other))
    assert "scatter" in {w.code for w in two.warnings} - {w.code for w in one.warnings}
    assert np.ptp(two.interval("a")) > 3 * np.ptp(one.interval("a"))


def test_lines_weigh_and_scatter_is_estimated() -> None:
    x = np.arange(5.0)
    y = np.array([[0, 1, 2, 3, 9.0], [1, np.nan, 3, 4, 99]])
    weights = np.array([1, 1, 1, 1, 0.0])
    lines = power_lines(x, y, y, weights)
    assert lines == pytest.approx(np.array([[1, 0, 1, 0], [1, 1, 1, 1]]))
    rng = np.random.default_rng(0)
    found = [
        scatter_about_line(x, x + rng.normal(scale=0.5, size=5), np.full(5, 0.01))[0] for _ in range(400)
    ]
    assert np.mean(found) == pytest.approx(0.24, abs=0.03)
    assert scatter_about_line(x[:2], x[:2], np.ones(2)) == (0.0, 1.0)


def test_no_common_compute_is_refused() -> None:
    rng = np.random.default_rng(0)
    N, D = 10 ** rng.uniform(7, 9, 30), 10 ** rng.uniform(8, 11, 30)
    with pytest.raises(FitError, match=r"no curves of equal compute: fewer than 2 budgets have 4 sizes"):
        slice_runs(N, D, TRUTH(N, D))


def test_line_needs_two_budgets() -> None:
    N, D = isoflop(SYMMETRIC, off=(30,) * 6)
    slices = slice_runs(N, D, SYMMETRIC(N, D))
    for follow in (approach_1, approach_2):
        with pytest.raises(FitError, match="budgets have their best size inside those tried; a line needs 2"):
            follow(slices, resamples=0)
    fit = fit_loss_surface(N, D, SYMMETRIC(N, D), resamples=0)
    found = compare_approaches(fit)
    assert len(found.refusals) == 2
    assert "not followed: approach 1" in str(found)


def test_interval_refusals() -> None:
    N, D = isoflop(SYMMETRIC)
    second = approach_2(slice_runs(N, D, SYMMETRIC(N, D)), resamples=5)
    with pytest.raises(ValueError, match="quantity: a or b, or N or D with a compute C; got 'N', C=None"):
        second.interval("N")
    with pytest.raises(FitError, match="no interval: a of approach 2 is not finite on 0 of 0"):
        approach_2(slice_runs(N, D, SYMMETRIC(N, D)), resamples=0).interval("a")


def test_an_interval_past_what_a_float_holds_is_open() -> None:
    """Replicates of few trunks may be so steep that a size overflows: an end of its interval, not a gap."""
    N, D = isoflop(SYMMETRIC)
    second = approach_2(slice_runs(N, D, SYMMETRIC(N, D)), resamples=50)
    steep = replace(second, draws=second.draws + np.linspace(0, 60, 50)[:, None] * [1, 0, -1, 0])
    low, high = steep.interval("N", 1e30)
    assert 0 < low < high == np.inf
    assert steep.interval("D", 1e30)[0] == 0
    assert np.isfinite(steep.interval("N", second.reference)).all()
    fit = fit_loss_surface(N, D, SYMMETRIC(N, D), resamples=0)
    found = compare_approaches(fit)
    rows = plain(found.table.assign(N_hi=np.inf))
    assert [row["N_hi"] for row in rows] == [None] * 3
    assert [row["N_lo"] for row in rows] == [None] * 3
    assert [row["N"] for row in rows] == found.table["N"].tolist()


def test_parabola_is_exact_and_without_minimum_nan() -> None:
    x = np.array([1.0, 2.0, 4.0, 7.0])
    curves = np.array([(x - 3.2) ** 2 + 5, 2 * (x - 9) ** 2, -((x - 3.2) ** 2), 0 * x])
    place, value = parabola(x, curves)
    assert place == pytest.approx([3.2, 9, np.nan, np.nan], nan_ok=True)
    assert value == pytest.approx([5, 0, np.nan, np.nan], nan_ok=True, abs=1e-9)


@given(
    alpha=st.floats(0.1, 0.8),
    beta=st.floats(0.1, 0.8),
    k=st.floats(0.5, 4),
    share=st.floats(0.05, 20),
    C=st.floats(1e17, 1e25),
)
@settings(max_examples=60, deadline=None)
def test_regret_is_what_compute_buys_back(
    alpha: float, beta: float, k: float, share: float, C: float
) -> None:
    law = Coupled(E=1.7, A=400, B=400, alpha=alpha, beta=beta, k=k)
    best = law.optimum(C)
    wasted = deadweight(law, best.N * share, best.D / share)
    assert 0 <= wasted < 1
    reached = law.optimum(C * (1 - wasted)).loss if wasted < 1 else np.inf
    assert reached == pytest.approx(float(law(N=best.N * share, D=best.D / share)), rel=1e-8)
    assert deadweight(law, best.N, best.D) == pytest.approx(0, abs=1e-6)


def test_loss_out_of_reach() -> None:
    with pytest.raises(ValueError, match=r"loss 1.5 is out of reach of 1e\+20 FLOP"):
        compute_for(TRUTH, 1.5, 1e20)
    with pytest.raises(ValueError, match="is above that of any compute"):
        compute_for(TRUTH, 1e300, 1e20)


@pytest.mark.slow
def test_interval_of_a_covers_by_simulation() -> None:
    """40 studies, nominal 95 %: fewer than 33 covered has probability 7e-4."""
    covered = 0
    N, D = isoflop(SYMMETRIC, reach=4)
    for seed in range(40):
        loss = SYMMETRIC.sample(np.random.default_rng(seed), relative_noise=0.003, N=N, D=D)
        low, high = approach_2(slice_runs(N, D, loss), resamples=200, seed=seed).interval("a")
        covered += low <= 0.5 <= high
    assert covered >= 33


def test_wider_grids_are_more_biased() -> None:
    biases = [abs(noise_free_bias(TRUTH, reach=r)) for r in (2, 3, 4, 6, 8, 12, 16)]
    assert biases == sorted(biases)
    assert noise_free_bias(SYMMETRIC, reach=16) == pytest.approx(0, abs=1e-9)


def test_trunks_of_one_grid_of_tokens_are_interpolated_together() -> None:
    rng = np.random.default_rng(0)
    steps = np.log(np.geomspace(1, 100, 7))
    bundles = [
        _Bundle(
            n, np.log(6e9 * n) + steps, np.arange(2) + 2 * k, rng.normal(size=(7, 2)), rng.normal(size=(7, 2))
        )
        for k, n in enumerate((1e6, 3e6, 1e7))
    ]
    grid = np.linspace(bundles[0].log_c[0], bundles[-1].log_c[-1], 9)
    (together,) = _at_budgets(bundles, grid)
    apart = np.concatenate([found for each in bundles for found in _at_budgets([each], grid)], axis=1)
    np.testing.assert_allclose(together, apart, rtol=1e-12)
    alone = bundles[1]
    inside = (grid > alone.log_c[0]) & (grid < alone.log_c[-1])
    expected = np.exp(scipy.interpolate.PchipInterpolator(alone.log_c, alone.log_loss)(grid[inside]))
    of_first = together[3][(together[1] == 3e6) & (together[4] == 2)]
    np.testing.assert_allclose(of_first, expected[:, 0], rtol=1e-9)
