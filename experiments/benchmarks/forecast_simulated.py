"""Coverage and width of forecasts of simulated truths, some of no form that is fitted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analysis.fitting.bootstrap.replicates import Bootstrap
from analysis.fitting.runs import Runs
from analysis.forecast.predict import fit_basis, forecast_run
from analysis.laws.chinchilla import Chinchilla
from analysis.laws.coupled import Coupled
from analysis.laws.farseer import Farseer
from analysis.laws.law import Array
from experiments.benchmarks.row import Row

PLAIN = Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)
KINK = 2e10  # tokens beyond which the data exponent falls by a quarter
FARSEER = Farseer(  # the least error on the 404 runs of Li et al. 2025, on which its rms is .18 %
    s=-0.7642776992475568,
    q=0.050886349895590426,
    S=1.3876200815922974,
    B=160.40419217404897,
    b=-0.1675590005807035,
    Q=-0.33722824711550636,
    A=-16.926218521859806,
    a=0.007878480270845362,
    P=18.710260278855934,
)
NOISE = 0.005
RESAMPLES = 200


@dataclass(frozen=True)
class Truth:
    """What runs are drawn from: its loss, its sizes best for a budget, and the least budget [FLOP]."""

    name: str
    loss: Callable[..., Any]
    best: Callable[[float], float]
    smallest: float
    form: str = ""  # the law that it is, where it is one that is fitted


def kinked(N: Array | float, D: Array | float) -> Array:
    """Chinchilla's loss with a data term that falls by a smaller power beyond KINK tokens."""
    D = np.asarray(D, dtype=float)
    late = np.maximum(D / KINK, 1.0) ** (0.25 * PLAIN.beta)
    return np.asarray(
        PLAIN.E + PLAIN.A * np.asarray(N, float) ** -PLAIN.alpha + PLAIN.B * D**-PLAIN.beta * late
    )


def truths() -> Iterator[Truth]:
    """Two forms that are right, and three truths."""
    for name, k, form in (("k = 2", 2.0, "coupled"), ("k = 1.4", 1.4, "")):
        law = Coupled(**PLAIN.parameters, k=k)
        yield Truth(name, law, lambda C, law=law: law.optimum(C).N, 1e18, form)  # type: ignore[misc]
    yield Truth("k = 1", PLAIN, lambda C: PLAIN.optimum(C).N, 1e18, "chinchilla")
    yield Truth("Farseer-like", FARSEER, lambda C: FARSEER.optimum(C).N, 1e19)
    yield Truth("kink", kinked, lambda C: PLAIN.optimum(C).N, 1e18)


def simulate(truth: Truth, rng: np.random.Generator, budgets: int = 5, sizes: int = 8) -> Runs:
    """IsoFLOP runs over three decades of compute."""
    spent = np.repeat(truth.smallest * np.geomspace(1, 1e3, budgets), sizes)
    N = np.concatenate([truth.best(C) * np.geomspace(1 / 8, 8, sizes) for C in np.unique(spent)])
    D = spent / (6 * N)
    return Runs.of({"N": N, "D": D}, truth.loss(N=N, D=D) * np.exp(NOISE * rng.standard_normal(len(N))))


def judge(truth: Truth, simulations: int) -> tuple[int, float]:
    """How often the interval of the law holds the loss at 10 times the compute; its width over the form's."""
    C = 1e4 * truth.smallest
    at = {"N": truth.best(C), "D": C / (6 * truth.best(C))}
    rng = np.random.default_rng(3)
    hits, widths = 0, []
    for seed in range(simulations):
        basis, _ = fit_basis(simulate(truth, rng), (), Bootstrap(resamples=RESAMPLES, seed=seed))
        found = forecast_run(basis, at, seed=seed).loss
        hits += found.low <= float(truth.loss(**at)) <= found.high
        for fit in basis.fits:
            if fit.name == truth.form:
                low, high = fit.interval(lambda law: float(law(**at)))
                widths.append((found.high - found.low) / (high - low))
    return hits, float(np.exp(np.mean(np.log(widths)))) if widths else np.nan


def simulated_rows(folder: Path, simulations: int) -> Iterator[Row]:
    """Nominal 95 % at ten times the compute; the width where a form is right."""
    for truth in truths():
        hits, width = judge(truth, simulations)
        share = hits / simulations
        what = f"simulated, {truth.name}: inside at 10x compute"
        yield Row(what, ">= .93", f"{hits} of {simulations}", share, share >= 0.93)
        if truth.form:
            yield Row(
                f"  width over that of {truth.form} alone", "<= 1.3", f"{width:.2f}", width, width <= 1.3
            )
