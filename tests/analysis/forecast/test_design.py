"""Designs judged before they are trained."""

import numpy as np
import pytest

from analysis.forecast.design import PRIOR, check_design, linear_condition
from analysis.laws.chinchilla import Chinchilla

NEAR = np.geomspace(1e7, 1e9, 12)


def test_condition_on_a_ray_grows_as_the_inverse_square_of_the_gap() -> None:
    gaps = np.array([0.04, 0.02, 0.01, 0.005])
    conditions = [
        linear_condition(
            NEAR, 20 * NEAR, Chinchilla(E=1.7, A=400, B=400, alpha=0.3 + g / 2, beta=0.3 - g / 2)
        )
        for g in gaps
    ]
    slope = np.polyfit(np.log(gaps), np.log(conditions), 1)[0]
    assert slope == pytest.approx(-2, abs=0.02)


def test_a_ray_is_seen_and_a_grid_is_not_one() -> None:
    ray = check_design(NEAR, 20 * NEAR, simulations=20)
    assert ray.warnings[0].code == "ray"
    assert "cannot be told apart" in ray.warnings[0].message
    N, D = (v.ravel() for v in np.meshgrid(np.geomspace(1e7, 1e9, 4), np.geomspace(2e8, 2e10, 3)))
    grid = check_design(N, D, simulations=20)
    assert grid.condition < ray.condition / 100
    assert "ray" not in [d.code for d in grid.warnings]
    assert grid.N.high / grid.N.low < ray.N.high / ray.N.low


@pytest.mark.slow
def test_more_noise_is_a_wider_interval_and_none_is_none() -> None:
    N, D = (v.ravel() for v in np.meshgrid(np.geomspace(1e7, 1e9, 5), np.geomspace(2e8, 2e10, 4)))
    wide = [check_design(N, D, noise=s, simulations=40).a for s in (0.0, 0.002, 0.01)]
    assert wide[0].low == pytest.approx(wide[0].high, abs=1e-5)
    assert wide[0].value == pytest.approx(PRIOR.beta / (PRIOR.alpha + PRIOR.beta))
    assert wide[0].low < wide[1].high - wide[1].low + wide[0].low < wide[2].high - wide[2].low + wide[0].low
    trunks = np.repeat(np.arange(4), 5)
    shared = check_design(N, D, noise=0.002, trunk_noise=0.01, groups=trunks, simulations=40).a
    assert shared.high - shared.low > wide[1].high - wide[1].low


def test_isoflop_grids_are_judged() -> None:
    budgets = np.geomspace(1e18, 1e21, 4)

    def grids(off: float, reach: float) -> tuple[np.ndarray, np.ndarray]:
        N = np.concatenate([PRIOR.optimum(c).N * off * np.geomspace(1 / reach, reach, 7) for c in budgets])
        return N, np.repeat(budgets, 7) / (6 * N)

    assert check_design(*grids(1, 4), simulations=20).warnings == ()
    assert "off-centre" in [d.code for d in check_design(*grids(2.5, 4), simulations=20).warnings]
    narrow = check_design(*grids(1, 1.3), simulations=20)
    assert "narrow-grid" in [d.code for d in narrow.warnings]


def test_words_and_doubts_about_the_answer() -> None:
    vague = check_design(NEAR[:6], 20 * NEAR[:6], noise=0.02, simulations=40)
    assert {"vague", "no-optimum"} & {d.code for d in vague.warnings}
    assert "of such studies would find" in str(vague)


def test_negative_noise() -> None:
    with pytest.raises(ValueError, match=r"noise: a relative spread, 0 or more; got -0.1 and 0.0 of trunks"):
        check_design(NEAR, 20 * NEAR, noise=-0.1)
