"""Published laws and fits, to the digits that were printed."""

import numpy as np
import pytest

from analysis.fitting.bootstrap.replicates import Bootstrap
from analysis.fitting.fit import fit_runs
from analysis.fitting.fit_columns import fit_loss_surface
from analysis.fitting.recipe import Recipe
from analysis.fitting.runs import Runs
from analysis.laws.bnsl import BrokenPowerLaw
from analysis.laws.chinchilla import Chinchilla
from analysis.laws.kaplan import Kaplan
from experiments.public_data import DEFAULT, GADRE, gadre_models, public_data

DATA = public_data() or DEFAULT


def test_kaplan_eq_1_5_limits() -> None:
    """Kaplan et al. 2020 (arXiv:2001.08361) eq. 1.5: (Nc/N)^alpha and (Dc/D)^beta at the limits."""
    law = Kaplan(Nc=6.4e13, Dc=1.8e13, alpha=0.076, beta=0.103)
    assert float(law(N=1e9, D=1e30)) == pytest.approx((6.4e13 / 1e9) ** 0.076, rel=1e-9)
    assert float(law(N=1e40, D=1e10)) == pytest.approx((1.8e13 / 1e10) ** 0.103, rel=1e-9)
    direct = ((6.4e13 / 1e9) ** (0.076 / 0.103) + 1.8e13 / 2e10) ** 0.103
    assert float(law(N=1e9, D=2e10)) == pytest.approx(direct, rel=1e-12)


def test_hoffmann_optimum() -> None:
    """Hoffmann et al. 2022 (arXiv:2203.15556) with the precise constants of its LaTeX source: a = .4565."""
    law = Chinchilla(
        E=float(np.exp(0.5267228)),
        A=float(np.exp(6.0073404)),
        B=float(np.exp(6.0179186)),
        alpha=0.33917084,
        beta=0.2849083,
    )
    small, large = law.optimum(1e20), law.optimum(1e24)
    assert np.log(large.N / small.N) / np.log(1e4) == pytest.approx(
        0.2849083 / (0.33917084 + 0.2849083), rel=1e-9
    )


def test_bnsl_noiseless_example() -> None:
    """Caballero et al. 2022 (arXiv:2210.14891): their noiseless curve, seen up to 560 of a break at 613."""
    truth = BrokenPowerLaw(E=0.413885, A=2.277272, c0=0.0550773, c1=5.662904, d=612.5837, f=0.0591930)
    x = np.unique(np.geomspace(10, 560, 60).round())
    fit = fit_runs(Runs.of({"x": x}, truth(x=x)), Recipe("bnsl"), Bootstrap(resamples=0))
    assert fit.law.parameters == pytest.approx(truth.parameters, rel=1e-6)


@pytest.mark.skipif(not (DATA / GADRE).is_file(), reason="public data absent: set SCALING_PUBLIC_DATA")
def test_gadre_over_training() -> None:
    """Gadre et al. 2024 (arXiv:2403.08540), table 1: five small RedPajama runs forecast two large ones."""
    table = gadre_models(DATA)
    optimal = (table["tok_mult"] == 20) & (table["N"] < 1e9)
    overtrained = (table["tok_mult"] == 320) & (table["N"] < 2e7)
    few = table[optimal | overtrained]
    assert len(few) == 5
    fit = fit_loss_surface(
        few["N"], few["D"], few["loss_c4_val"], law="gadre", robust="squared", space="raw", resamples=0
    )
    assert fit.law.parameters["E"] == pytest.approx(1.8366, abs=1e-4)
    assert 2 * fit.law.parameters["eta"] == pytest.approx(0.2729, abs=1e-4)
    for size, multiple, published in ((1.4e9, 640, 0.7103), (6.9e9, 20, 0.7320)):
        near = (table["N"] / size - 1).abs() < 0.1
        run = table[near & (table["tok_mult"] == multiple)].iloc[0]
        error = float(fit.law(N=run["N"], D=run["D"])) / run["loss_c4_val"] - 1
        assert 100 * abs(error) == pytest.approx(published, abs=5e-4)
