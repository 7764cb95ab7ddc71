"""Gadre et al. 2024 (arXiv:2403.08540): errors of their forecasts for 1.4B and 6.9B models, reproduced."""

import os
from pathlib import Path

import pandas as pd
import pytest

from analysis.forecast.links import Exponential, fit_link
from analysis.laws.fit import fit_loss_surface

DEFAULT = Path(__file__).resolve().parents[2].parent / "shared" / "data"
FILE = Path(os.environ.get("SCALING_PUBLIC_DATA", DEFAULT)) / "gadre_overtraining" / "gadre_104_models.csv"
pytestmark = pytest.mark.skipif(not FILE.is_file(), reason="public data absent: set SCALING_PUBLIC_DATA")


def test_loss_and_error_of_the_largest_models() -> None:
    table = pd.read_csv(FILE)
    table = table[table["dataset_name"] == "rpj"]
    size = table["model_name"]
    small = table[~size.str.startswith("open_lm") & (table["cc_mult"] == 1)]
    longest = table[(size == "d=96_l=8_h=4") & (table["cc_mult"] == 16)]
    five = pd.concat([small, longest])
    six = pd.concat([five, table[(size == "open_lm_1b") & (table["cc_mult"] == 1)]])
    assert (len(five), len(six)) == (5, 6)
    surface = fit_loss_surface(
        five["N"], five["D"], five["loss_c4_val"], tied=True, robust="squared", space="raw", resamples=0
    ).law
    link = fit_link(six["loss_c4_val"], 1 - six["err_avg_subset"], kind="exponential", resamples=0).link
    assert isinstance(link, Exponential)
    assert [link.k, link.gamma, link.eps] == pytest.approx([2.206, 0.715, 0.857], abs=6e-4)
    for model, multiple, loss_error, task_error in (
        ("open_lm_1b", 32, 0.7103, 3.6365),
        ("open_lm_7b", 1, 0.7320, 0.0464),
    ):
        run = table[(size == model) & (table["cc_mult"] == multiple)].iloc[0]
        loss = float(surface(N=run["N"], D=run["D"]))
        assert 100 * abs(loss / run["loss_c4_val"] - 1) == pytest.approx(loss_error, abs=6e-5)
        error = 1 - float(link(loss))
        assert 100 * abs(error / run["err_avg_subset"] - 1) == pytest.approx(task_error, abs=6e-5)
