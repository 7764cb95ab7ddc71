"""Czech et al. 2026 (arXiv:2603.22339): error of D*(1e24) by approach 2 on exact losses."""

import pytest

from analysis.forecast.parabola import noise_free_bias
from analysis.laws.laws import Chinchilla

CHINCHILLA = Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)
ASYMMETRIC = Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.465, beta=0.155)


@pytest.mark.parametrize(
    ("law", "reach", "percent"),
    [
        (CHINCHILLA, 2, -0.33),
        (CHINCHILLA, 4, -1.30),
        (CHINCHILLA, 8, -2.90),
        (CHINCHILLA, 16, -5.10),
        (ASYMMETRIC, 2, -1.67),
        (ASYMMETRIC, 4, -6.50),
        (ASYMMETRIC, 8, -13.91),
        (ASYMMETRIC, 16, -23.12),
    ],
)
def test_centred_grids(law: Chinchilla, reach: float, percent: float) -> None:
    assert 100 * noise_free_bias(law, reach=reach) == pytest.approx(percent, abs=0.0051)


@pytest.mark.parametrize(
    ("law", "offset", "drift", "percent"),
    [(CHINCHILLA, 3, 1, 3.38), (ASYMMETRIC, 3, 1, 6.96), (CHINCHILLA, 1, 3, 6.94), (ASYMMETRIC, 1, 3, 22.97)],
)
def test_grids_off_centre(law: Chinchilla, offset: float, drift: float, percent: float) -> None:
    assert 100 * noise_free_bias(law, reach=8, offset=offset, drift=drift) == pytest.approx(
        percent, abs=0.005
    )
