"""The 240 points of Besiroglu et al. 2024 (arXiv:2404.10102), read off Hoffmann et al. 2022, figure 4."""

import pytest

from analysis.fitting.fit_columns import fit_loss_surface
from experiments.public_data import CHINCHILLA, DEFAULT, chinchilla_points, public_data

DATA = public_data() or DEFAULT
pytestmark = pytest.mark.skipif(
    not (DATA / CHINCHILLA).is_file(), reason="public data absent: set SCALING_PUBLIC_DATA"
)


def test_exact_huber_minimum() -> None:
    fit = fit_loss_surface(*chinchilla_points(DATA), resamples=0)
    assert fit.objective == pytest.approx(0.0010182740178006, rel=1e-12)
    expected = {"E": 1.817218, "A": 477.8259, "B": 2143.4174, "alpha": 0.347310, "beta": 0.367172}
    assert fit.law.parameters == pytest.approx(expected, rel=2e-6)
    assert fit.certificate.ok
    assert fit.certificate.agree == fit.certificate.starts


@pytest.mark.parametrize(
    ("dropped", "robust", "delta", "objective", "alpha", "beta"),
    [
        (0, "huber", 1e-3, 0.00182601052306933, 0.349313, 0.453049),
        (5, "huber", 1.0, 0.00573094349584932, 0.360253, 0.405883),
        (5, "huber", 1e-2, 0.00469622488261602, 0.354416, 0.381538),
        (5, "l1", 1e-3, 1.1294947, 0.34781, 0.36585),
    ],
)
def test_other_losses(
    dropped: int, robust: str, delta: float, objective: float, alpha: float, beta: float
) -> None:
    fit = fit_loss_surface(*chinchilla_points(DATA, dropped), robust=robust, delta=delta, resamples=0)  # type: ignore[arg-type]
    assert fit.objective == pytest.approx(objective, rel=1e-7 if robust == "l1" else 1e-12)
    assert fit.law.parameters["alpha"] == pytest.approx(alpha, abs=3e-5)
    assert fit.law.parameters["beta"] == pytest.approx(beta, abs=1e-4)
