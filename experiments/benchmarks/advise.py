"""`python -m experiments.benchmarks.advise`: waste at a target, by four ways of choosing runs.

Truths are simulated laws. Each study begins with one small grid; then advice, a larger grid, random runs, or
the cheapest runs are trained for the same FLOPs. All are judged by the same fit: the share of the target's
compute that training its best size wastes under the truth.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator

import numpy as np

from analysis.fitting.bootstrap.replicates import Bootstrap
from analysis.fitting.runs import FitError, Runs
from analysis.forecast.advise import advise_runs
from analysis.forecast.predict import best_of, fit_basis
from analysis.forecast.regret import deadweight
from analysis.laws.chinchilla import Chinchilla
from analysis.laws.coupled import Coupled
from analysis.laws.law import FLOPS_PER_PARAM_TOKEN, Array, Law
from experiments.benchmarks.row import Row, cpu

TRUTHS: dict[str, Law] = {
    "Chinchilla": Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28),
    "k = 3": Coupled(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28, k=3.0),
}
NOISE = 0.004
SIZES, BUDGETS = np.geomspace(1e7, 8e7, 4), np.geomspace(2e8, 1.6e9, 4)
TARGET = 1e21
SPEND = 1.2  # of what the first grid took
Pairs = Array  # (n, 2): N and D


def first() -> Pairs:
    """The grid that every way begins with."""
    return np.array([(n, d) for n in SIZES for d in BUDGETS])


def flops(pairs: Pairs) -> Array:
    """6 N D of each."""
    return np.asarray(FLOPS_PER_PARAM_TOKEN * pairs.prod(axis=1))


def affordable(pairs: Pairs, spend: float) -> Pairs:
    """The first pairs that the spend pays for, those too dear passed over."""
    kept = []
    for pair, cost in zip(pairs, flops(pairs), strict=True):
        if cost <= spend:
            kept.append(pair)
            spend -= cost
    return np.array(kept).reshape(-1, 2)


def grid(pairs: Pairs, loss: Array, spend: float, rng: np.random.Generator) -> Pairs:
    """The next rows and columns of the same grid, dearest first: what a person adds."""
    ratio_n, ratio_d = SIZES[1] / SIZES[0], BUDGETS[1] / BUDGETS[0]
    more = [(n, BUDGETS[-1] * ratio_d) for n in (*SIZES, SIZES[-1] * ratio_n)]
    more += [(SIZES[-1] * ratio_n, d) for d in BUDGETS]
    found = np.array(more)
    return affordable(found[np.argsort(-flops(found))], spend)


def random(pairs: Pairs, loss: Array, spend: float, rng: np.random.Generator) -> Pairs:
    """Runs anywhere up to twice the sizes and budgets there are, log-uniform."""
    found = np.stack([v.min() * (2 * v.max() / v.min()) ** rng.random(60) for v in (SIZES, BUDGETS)], axis=1)
    return affordable(found, spend)


def cheapest(pairs: Pairs, loss: Array, spend: float, rng: np.random.Generator) -> Pairs:
    """The cheapest runs that are new, then seeds of those there are."""
    every = np.array(
        [
            (n, d)
            for n in np.geomspace(SIZES[0], 2 * SIZES[-1], 9)
            for d in np.geomspace(BUDGETS[0], 2 * BUDGETS[-1], 9)
        ]
    )
    return affordable(every[np.argsort(flops(every), kind="stable")], spend)


def advised(pairs: Pairs, loss: Array, spend: float, rng: np.random.Generator) -> Pairs:
    """In two rounds: half of the spend is chosen, trained, and the rest is chosen again by the caller."""
    runs = Runs.of({"N": pairs[:, 0], "D": pairs[:, 1]}, loss)
    found = advise_runs(runs, TARGET, spend, tolerance=0.0, resamples=120, seed=int(rng.integers(1 << 31)))
    return np.array([(run.N, run.D) for run in found.runs]).reshape(-1, 2)


WAYS: dict[str, Callable[[Pairs, Array, float, np.random.Generator], Pairs]] = {
    "advice": advised,
    "grid": grid,
    "random": random,
    "cheapest first": cheapest,
}


def waste(truth: Law, pairs: Pairs, loss: Array) -> float:
    """Of the size that a fit of these runs says is best at the target; all of it where it says none."""
    try:
        basis, _ = fit_basis(Runs.of({"N": pairs[:, 0], "D": pairs[:, 1]}, loss), (), Bootstrap(resamples=0))
        best = best_of(basis).law.optimum(TARGET)
        return deadweight(truth, best.N, best.D)
    except (FitError, ValueError):
        return 1.0


def study(truth: Law, way: str, seed: int, spend: float) -> float:
    """Waste after one way has spent its FLOPs; the same first losses for every way."""
    rng = np.random.default_rng(seed)
    pairs = first()
    loss = truth.sample(rng, relative_noise=NOISE, N=pairs[:, 0], D=pairs[:, 1])
    total = spend * float(flops(pairs).sum())
    for part in (0.5, 1.0):  # two rounds, so that a way that looks at losses can
        spent = float(flops(pairs).sum() - flops(first()).sum())
        more = WAYS[way](pairs, loss, part * total - spent, rng)
        new = truth.sample(rng, relative_noise=NOISE, N=more[:, 0], D=more[:, 1])
        pairs, loss = np.concatenate([pairs, more]), np.concatenate([loss, new])
    return waste(truth, pairs, loss)


def rows(repeats: int) -> Iterator[Row]:
    """Mean waste of each way, and of advice at half the spend against the grid."""
    for name, truth in TRUTHS.items():
        found = {way: [study(truth, way, seed, SPEND) for seed in range(repeats)] for way in WAYS}
        mean = {way: float(np.mean(values)) for way, values in found.items()}
        for way, value in mean.items():
            reached = mean["advice"] < value if way != "advice" and repeats >= 20 else None
            error = float(np.std(found[way]) / np.sqrt(repeats))
            yield Row(
                f"{name}: waste after {way}", "above advice's", f"{value:.4f} ± {error:.4f}", None, reached
            )
        half = float(np.mean([study(truth, "advice", seed, SPEND / 2) for seed in range(repeats)]))
        ratio = half / max(mean["grid"], 1e-12)
        yield Row(f"{name}: advice at half the spend", ".6 of the grid's", f"{half:.4f}", ratio, ratio <= 0.6)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks.advise", description=__doc__)
    parser.add_argument("--repeats", type=int, default=60)
    asked = parser.parse_args(arguments)
    seconds = cpu(lambda: [print(row, flush=True) for row in rows(asked.repeats)])
    print(f"{seconds:.0f} CPU-s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
