"""Chinchilla's three approaches: exact on exact data where they should be, doubtful where they should be."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.fitting.fit import fit_loss_surface
from analysis.fitting.runs import FitError
from analysis.forecast.isoflop import approach_1, approach_2, approach_3, compare_approaches
from analysis.forecast.parabola import noise_free_bias, vertices
from analysis.forecast.regret import compute_for, deadweight
from analysis.forecast.slices import slice_runs
from analysis.laws.chinchilla import Chinchilla
from analysis.laws.coupled import Coupled
from experiments.fit import plain

SYMMETRIC = Chinchilla(E=1.69, A=400, B=400, alpha=0.31, beta=0.31)
TRUTH = Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)
Grid = tuple[np.ndarray, np.ndarray]


def isoflop(law: Chinchilla, reach: float = 4.0, off: Sequence[float] = (1, 1, 1, 1, 1, 1)) -> Grid:
    """params and tokens of six budgets: nine sizes from 1/reach to reach times `off` times the optimum."""
    budgets = np.geomspace(1e18, 1e21, 6)
    spread = np.geomspace(1 / reach, reach, 9)
    N = np.concatenate([law.optimum(c).N * o * spread for c, o in zip(budgets, off, strict=True)])
    return N, np.repeat(budgets, 9) / (6 * N)


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


def test_bias_on_exact_data_is_said() -> None:
    N, D = isoflop(TRUTH, reach=16)
    fit = fit_loss_surface(N, D, TRUTH(N, D), resamples=0)
    biased = approach_2(slice_runs(N, D, TRUTH(N, D)), resamples=0, judge=fit.law)
    assert "exact losses of the chinchilla law" in biased.warnings[-1].message
    assert approach_3(fit).a == pytest.approx(0.28 / 0.62, abs=1e-6)


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
    with pytest.raises(FitError, match="approach 2: no interval of a; 0 of 0 bootstrap replicates"):
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
    weights = np.random.default_rng(0).exponential(size=(3, 4))
    assert vertices(x, (x - 3.2) ** 2, weights) == pytest.approx(3.2)
    assert np.isnan(vertices(x, -((x - 3.2) ** 2), weights)).all()


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
