"""Degenerate data: every case is refused or warned about by name, and none warns of numerics."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from analysis.fitting.fit import FitError
from analysis.fitting.fit_columns import fit_loss_surface, fit_power_law
from analysis.laws.chinchilla import Chinchilla
from analysis.laws.power import PowerLaw

TRUTH = Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)
N, D = (v.ravel() for v in np.meshgrid(np.geomspace(5e7, 5e9, 7), np.geomspace(1e9, 1e11, 4)))
LOSS = TRUTH.sample(np.random.default_rng(0), relative_noise=0.002, N=N, D=D)
n = len(N)
first = np.arange(n) < 3
wrong = np.arange(n) % 10 == 4


def fit(params: Any = N, tokens: Any = D, loss: Any = LOSS, **how: Any) -> Any:
    return fit_loss_surface(params, tokens, loss, **{"resamples": 60, **how})


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "empty": (lambda: fit([], [], []), "no runs: the table is empty"),
    "3 runs": (lambda: fit(N[:3], D[:3], LOSS[:3]), "fewer runs than the law has parameters: 3 runs, 5"),
    "5 copies of 2 runs": (
        lambda: fit(np.tile(N[:2], 5), np.tile(D[:2], 5), np.tile(LOSS[:2], 5), groups=["a"] * 10),
        "fewer runs than the law has parameters: 2 runs, 5",
    ),
    "identical params": (lambda: fit(np.full(n, 1e8)), r"params is 1e\+08 in every run"),
    "identical tokens": (lambda: fit(tokens=np.full(n, 1e9)), r"tokens is 1e\+09 in every run"),
    "constant loss": (lambda: fit(loss=np.full(n, 3.0)), "loss is 3 in every run"),
    "missing loss": (lambda: fit(loss=np.where(first, np.nan, LOSS)), "3 of 28 rows are not"),
    "infinite loss": (lambda: fit(loss=np.where(first, np.inf, LOSS)), "3 of 28 rows are not"),
    "zero loss": (lambda: fit(loss=np.where(first, 0.0, LOSS)), "loss must be positive and finite"),
    "negative params": (lambda: fit(-N), "params must be positive and finite; 28 of 28"),
    "zero tokens": (lambda: fit(tokens=np.where(first, 0, D)), "tokens must be positive and finite"),
    "text": (lambda: fit(loss=["fast"] * n), "loss is not a column of numbers"),
    "a matrix": (lambda: fit(loss=LOSS.reshape(7, 4)), "loss must be one number per run"),
    "unequal lengths": (lambda: fit(loss=LOSS[1:]), "params has 28 rows, loss has 27"),
    "weights all 0": (
        lambda: fit(weights=np.zeros(n)),
        "weights must be finite, not negative, and not all 0",
    ),
    "short weights": (lambda: fit(weights=np.ones(3)), "weights has 3 rows"),
    "missing trunk": (lambda: fit(groups=[None, *range(n - 1)]), "some runs have no trunk"),
    "short groups": (lambda: fit(groups=[1, 2]), r"groups has shape \(2,\)"),
    "loss below a fixed floor": (lambda: fit(fixed={"E": 2.5}), r"E is fixed at 2.5, but \d+ of 28 runs"),
}

WARNED: dict[str, tuple[Callable[[], Any], str]] = {
    "loss rises with params": (lambda: fit(loss=LOSS * (N / N.min()) ** 0.2), "rising"),
    "loss rises with tokens": (lambda: fit(loss=LOSS * (D / D.min()) ** 0.2), "rising"),
    "params in millions in a tenth of the rows": (lambda: fit(np.where(wrong, N / 1e6, N)), "units"),
    "tokens in billions in a tenth of the rows": (
        lambda: fit(tokens=np.where(wrong, D / 1e9, D)),
        "units",
    ),
    "loss in bits in a tenth of the rows": (
        lambda: fit(loss=np.where(wrong, LOSS / np.log(2), LOSS)),
        "outliers",
    ),
    "one failed run": (lambda: fit(loss=np.where(np.arange(n) == 9, 10.0, LOSS)), "outliers"),
    "one ray of tokens per parameter": (
        lambda: fit(N[:7], 20 * N[:7], TRUTH(N[:7], 20 * N[:7]) * (1 + 0.001 * (-1) ** np.arange(7))),
        "collinear",
    ),
    "two sizes": (lambda: fit(np.where(np.arange(n) % 2, 1e8, 1e9)), "few-sizes"),
    "narrow range": (lambda: fit(1e8 * (1 + np.arange(n) / n)), "narrow"),
    "six runs": (lambda: fit(N[::5], D[::5], LOSS[::5]), "few-runs"),
    "one trunk": (lambda: fit(groups=["one"] * n), "few-trunks"),
    "no floor in sight": (
        lambda: fit(loss=TRUTH(N, D) - 1.69 + 0.1 * (N / 1e8) ** -0.34),
        "bound",
    ),
    "loss at the floor": (
        lambda: fit(loss=1.69 * np.exp(0.002 * np.random.default_rng(1).standard_normal(n))),
        "unidentified",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    attempt, reason = REFUSED[case]
    with pytest.raises(FitError, match=reason):
        attempt()


@pytest.mark.parametrize("case", WARNED)
def test_warned(case: str) -> None:
    attempt, code = WARNED[case]
    doubts = attempt().warnings
    assert code in {doubt.code for doubt in doubts}, doubts


def test_an_outlier_is_named_by_what_it_is_in_any_order_of_the_rows() -> None:
    """A row's number would be that of a selection, which the user cannot see."""
    loss = np.where(np.arange(n) == 9, 10.0, LOSS)
    turned = np.random.default_rng(0).permutation(n)
    said = [
        [d.message for d in found.warnings if d.code == "outliers"]
        for found in (fit(loss=loss), fit(N[turned], D[turned], loss[turned]))
    ]
    assert said[0] == said[1]
    assert f"N {N[9]:,.6g}, D {D[9]:,.6g}, loss 10" in said[0][0]


@dataclass
class Scale:
    """A world whose sizes are far from the usual ones."""

    params: tuple[float, float]
    tokens: tuple[float, float]
    law: Chinchilla
    noise: float = 0.002
    codes: set[str] = field(default_factory=set)


WORLDS = {
    "tiny models": Scale((1e3, 1e6), (1e4, 1e7), Chinchilla(2.1, 15.0, 30.0, 0.35, 0.32)),
    "huge models": Scale((1e9, 1e12), (1e10, 1e14), Chinchilla(1.5, 400.0, 2000.0, 0.33, 0.36)),
    "steep": Scale((5e2, 2e4), (1e4, 5e5), Chinchilla(0.565, 60.0, 400.0, 1.24, 0.6)),
    "shallow": Scale((1e4, 1e9), (1e5, 1e10), Chinchilla(0.5, 3.0, 4.0, 0.08, 0.1)),
    "close to the floor": Scale((1e6, 1e9), (1e8, 1e11), Chinchilla(3.0, 200.0, 300.0, 0.5, 0.45), 0.0005),
    "loss below 1e-3": Scale((1e3, 1e6), (1e4, 1e7), Chinchilla(2.1e-4, 15e-4, 30e-4, 0.35, 0.32)),
}


@pytest.mark.parametrize("world", WORLDS)
def test_any_scale_is_recovered(world: str) -> None:
    at = WORLDS[world]
    params, tokens = (
        v.ravel() for v in np.meshgrid(np.geomspace(*at.params, 6), np.geomspace(*at.tokens, 6))
    )
    loss = at.law.sample(np.random.default_rng(2), relative_noise=at.noise, N=params, D=tokens)
    fitted = fit_loss_surface(params, tokens, loss, resamples=100)
    assert fitted.certificate.ok
    assert not {d.code for d in fitted.warnings} - {"outliers", "unidentified"}
    truth = float(at.law(N=10 * at.params[1], D=10 * at.tokens[1]))
    low, high = fitted.interval(lambda law: law(N=10 * at.params[1], D=10 * at.tokens[1]), level=0.999)
    assert low <= truth <= high
    assert fitted.rms < 1.5 * at.noise


def test_clean_runs_raise_no_doubt() -> None:
    assert fit().warnings == ()


def test_curve_that_never_falls() -> None:
    x = np.geomspace(1e3, 1e6, 8)
    loss = PowerLaw(0.5, 0.01, 0.3)(x)[::-1]
    assert "rising" in {d.code for d in fit_power_law(x, loss, resamples=0).warnings}
