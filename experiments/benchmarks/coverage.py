"""Nominal against simulated coverage of intervals: `python -m experiments.benchmarks.fitting --coverage`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from analysis.fitting.bootstrap.replicates import Bootstrap
from analysis.fitting.fit_columns import fit_loss_surface
from analysis.fitting.runs import Runs
from analysis.forecast.select import fit_ensemble
from analysis.laws.chinchilla import Chinchilla
from analysis.laws.coupled import Coupled
from experiments.benchmarks.row import Row

TRUTH = Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)


def coverage_rows(simulations: int) -> Iterator[Row]:
    """Nominal 95 % when the law is right, for four quantities; counts shown."""
    far = {"N": 2e10, "D": 1e12}
    quantities: list[Callable[[Chinchilla], float]] = [
        lambda law: law.E,
        lambda law: law.alpha,
        lambda law: law.growth,
        lambda law: float(law(**far)),
    ]
    for delta in (1e-3, 1.0):
        for sizes, budgets in ((7, 4), (10, 6), (12, 10), (20, 12)):
            N, D = (
                v.ravel()
                for v in np.meshgrid(np.geomspace(5e7, 1e10, sizes), np.geomspace(1e9, 2e11, budgets))
            )
            rng = np.random.default_rng(5)
            hits = np.zeros(len(quantities), dtype=int)
            for seed in range(simulations):
                loss = TRUTH.sample(rng, relative_noise=0.005, N=N, D=D)
                fit = fit_loss_surface(N, D, loss, delta=delta, resamples=500, seed=seed)
                for i, f in enumerate(quantities):
                    low, high = fit.interval(f)
                    hits[i] += low <= f(TRUTH) <= high
            mean = float(hits.mean() / simulations)
            what = f"coverage of 95 %, n = {sizes * budgets}, delta = {delta:g}: E, alpha, a, L"
            counts = f"{'/'.join(map(str, hits))} of {simulations}"
            yield Row(what, ".93-.97", counts, mean, 0.93 <= mean <= 0.97 if simulations >= 200 else None)


def ensemble_rows(simulations: int) -> Iterator[Row]:
    """Loss at 10 times the compute, 40 IsoFLOP runs, truth k = 1.4: a single form against the ensemble."""
    truth = Coupled(**TRUTH.parameters, k=1.4)
    around = np.geomspace(1 / 8, 8, 8)
    budgets = np.geomspace(1e18, 1e21, 5)
    N = np.concatenate([truth.optimum(C).N * around for C in budgets])
    D = np.repeat(budgets, len(around)) / (6 * N)
    best = truth.optimum(1e22)
    rng = np.random.default_rng(3)
    hits = {"single": 0, "ensemble": 0}
    for seed in range(simulations):
        loss = truth.sample(rng, relative_noise=0.005, N=N, D=D)
        ensemble = fit_ensemble(Runs.of({"N": N, "D": D}, loss), (), Bootstrap(resamples=300, seed=seed))
        single = next(fit for fit in ensemble.fits if fit.name == "chinchilla")
        for name, interval in (("single", single.interval), ("ensemble", ensemble.interval)):
            low, high = interval(lambda law: float(law(N=best.N, D=best.D)))
            hits[name] += low <= best.loss <= high
    counted = {name: f"{count} of {simulations}" for name, count in hits.items()}
    yield Row("coverage at 10x compute, k = 1.4: Chinchilla alone", "0.00", counted["single"])
    share = hits["ensemble"] / simulations
    yield Row("  ensemble of forms", ".90 at least", counted["ensemble"], share, share >= 0.9)
