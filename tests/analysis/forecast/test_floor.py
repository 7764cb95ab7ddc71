"""Whether E is identified, and the run that would identify it: what is promised comes true."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from analysis import fit, load_runs
from analysis.fitting.fit import Fit
from analysis.fitting.fit_columns import fit_loss_surface
from analysis.forecast.floor import IDENTIFIED, open_floor
from analysis.laws.chinchilla import Chinchilla
from analysis.report.content import unknown

TRUTH = Chinchilla(1.69, 406.4, 410.7, 0.34, 0.28)
N, D = (v.ravel() for v in np.meshgrid(np.geomspace(4e7, 1e9, 6), np.geomspace(1e9, 2e10, 5)))
KEPT = Path(__file__).resolve().parents[3] / "experiments"


def study(seed: int, noise: float, n: np.ndarray = N, d: np.ndarray = D) -> Fit:
    loss = TRUTH.sample(np.random.default_rng(seed), relative_noise=noise, N=n, D=d)
    return fit_loss_surface(n, d, loss, resamples=200)


def test_the_named_run_narrows_the_interval_as_promised() -> None:
    """Over seeds whose E is open: the run is trained in the true world, and all are fitted again."""
    ratios = []
    for seed in range(6):
        before = open_floor(study(seed, 0.006))
        if before is None or before.run is None:
            continue
        assert before.run.width <= before.wanted < before.high - before.low
        after = study(seed, 0.006, np.append(N, before.run.N), np.append(D, before.run.D))
        low, high = after.interval(lambda law: law.E)
        ratios.append((high - low) / before.run.width)
    assert len(ratios) >= 3
    assert np.median(ratios) < 1.3  # measured 0.93 to 1.27 for single seeds
    assert max(ratios) < 1.6


def test_an_identified_floor_is_not_open() -> None:
    found = study(0, 0.0005)
    low, high = found.interval(lambda law: law.E)
    assert high - low < IDENTIFIED * found.runs.loss.min()
    assert open_floor(found) is None


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("demo/runs.csv", r"No single run at up to 1,024 times the largest compute would settle it\."),
        (
            "ladder_large/runs.csv",
            r"A run of .* parameters on .* tokens, 4 times the largest compute, should",
        ),
    ],
)
def test_the_report_says_which_run_would_settle_it_or_that_none_would(table: str, words: str) -> None:
    sentences = " ".join(unknown(fit(load_runs(KEPT / table))))
    assert re.search(words, sentences), sentences
