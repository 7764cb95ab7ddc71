"""`python -m experiments.benchmarks.advise`: waste at a target, by several ways of choosing runs.

Truths are simulated laws. Each study begins with one small grid; then advice, a larger grid, random runs, the
cheapest runs, or those that the package simple-scaling-laws suggests are trained for the same FLOPs, in two
rounds. All are judged by the same fit: the share of the target's compute that training its best size wastes
under the truth.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np

from analysis.fitting.bootstrap.replicates import Bootstrap
from analysis.fitting.runs import FitError, Runs
from analysis.forecast.advise import advise_runs
from analysis.forecast.predict import best_of
from analysis.forecast.regret import deadweight
from analysis.forecast.select import Ensemble, fit_ensemble
from analysis.laws.chinchilla import Chinchilla
from analysis.laws.coupled import Coupled
from analysis.laws.law import FLOPS_PER_PARAM_TOKEN, Array, Law
from experiments.benchmarks.forecast_simulated import FARSEER
from experiments.benchmarks.row import Row, cpu

TRUTHS: dict[str, Law] = {
    "Chinchilla": Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28),
    "k = 3": Coupled(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28, k=3.0),
    "Farseer": FARSEER,
}
NOISE = 0.004
SIZES, BUDGETS = np.geomspace(1e7, 8e7, 4), np.geomspace(2e8, 1.6e9, 4)
TARGET = 1e21
SPEND = 1.2  # of what the first grid took
LAWS = ("chinchilla", "coupled")  # a third, of equal exponents, has no say in the best size
CUTS = (0.25, 0.5)  # of the rolling forecasts that choose among laws: fewer than usual, for time
DRAWS = 80  # bootstrap replicates of each law
INSTALL = (
    "simple-scaling-laws is not installed. It is not a dependency: pip install --no-deps --target DIR "
    "--ignore-requires-python simple-scaling-laws==0.2.0 polars polars-runtime-32, and --packages DIR"
)
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
    """The runs that `scaling next` names."""
    runs = Runs.of({"N": pairs[:, 0], "D": pairs[:, 1]}, loss)
    seed = int(rng.integers(1 << 31))
    found = advise_runs(runs, TARGET, spend, basis=fitted(pairs, loss, DRAWS), tolerance=1e-9, seed=seed)
    return np.array([(run.N, run.D) for run in found.runs]).reshape(-1, 2)


def suggested(pairs: Pairs, loss: Array, spend: float, rng: np.random.Generator) -> Pairs:
    """The runs that `suggest_runs` of simple-scaling-laws 0.2.0 names, at budgets up to what is left."""
    package = other()
    assert package is not None
    import polars  # type: ignore[import-not-found]

    names = [f"run_{i:03d}" for i in range(len(pairs))]
    frame = polars.DataFrame(
        {
            "training_run_id": names,
            "train_set_id": [f"train_{n}" for n in names],
            "test_set_id": ["held_out"] * len(names),
            "optimizer_seed": list(range(len(names))),
            "model_size__n_params": pairs[:, 0],
            "dataset_size__n_tokens": pairs[:, 1],
            "test_loss__ce": loss,
        }
    )
    budgets = np.geomspace(float(flops(pairs).min()), spend, 7).tolist()
    with warnings.catch_warnings(action="ignore"):
        model = package.fit(frame, n_draws=DRAWS, seed=int(rng.integers(1 << 31)))
        cost = package.cost_model("power", k=FLOPS_PER_PARAM_TOKEN, a=1.0, b=1.0)
        plan = package.suggest_runs(model, [TARGET], cost, n=40, candidate_budgets=budgets)
    found = plan.select("model_size__n_params", "dataset_size__n_tokens").to_numpy()
    return affordable(np.asarray(found, dtype=float), spend)


@cache
def other() -> ModuleType | None:
    """The package simple-scaling-laws, where it is installed."""
    try:
        import simple_scaling_laws  # type: ignore[import-not-found]
    except ImportError:
        return None
    found: ModuleType = simple_scaling_laws
    return found


def fitted(pairs: Pairs, loss: Array, draws: int = 0) -> Ensemble:
    """The laws that advice and the judge rest on."""
    runs = Runs.of({"N": pairs[:, 0], "D": pairs[:, 1]}, loss)
    return fit_ensemble(runs, LAWS, Bootstrap("bayes", draws), cuts=CUTS)


WAYS: dict[str, Callable[[Pairs, Array, float, np.random.Generator], Pairs]] = {
    "advice": advised,
    "grid": grid,
    "random": random,
    "cheapest first": cheapest,
    "suggest_runs": suggested,
}


def waste(truth: Law, pairs: Pairs, loss: Array) -> float:
    """Of the size that a fit of these runs says is best at the target; all of it where it says none."""
    try:
        best = best_of(fitted(pairs, loss)).law.optimum(TARGET)
        return deadweight(truth, best.N, best.D)
    except (FitError, ValueError):
        return 1.0


def study(truth: Law, way: str, seed: int, spend: float) -> tuple[float, float]:
    """Waste after one way has spent half of its FLOPs, and all; the same first losses for every way."""
    rng = np.random.default_rng(seed)
    pairs = first()
    loss = truth.sample(rng, relative_noise=NOISE, N=pairs[:, 0], D=pairs[:, 1])
    begun = float(flops(pairs).sum())
    found = []
    for part in (0.5, 1.0):  # two rounds, so that a way that looks at losses can
        left = (1 + part * spend) * begun - float(flops(pairs).sum())
        more = WAYS[way](pairs, loss, left, rng)
        new = truth.sample(rng, relative_noise=NOISE, N=more[:, 0], D=more[:, 1])
        pairs, loss = np.concatenate([pairs, more]), np.concatenate([loss, new])
        found.append(waste(truth, pairs, loss))
    return found[0], found[1]


def rows(repeats: int) -> Iterator[Row]:
    """Mean waste of each way, and of advice at half the spend against the grid at all of it."""
    ways = [way for way in WAYS if way != "suggest_runs" or other() is not None]
    for name, truth in TRUTHS.items():
        found = {way: np.array([study(truth, way, seed, SPEND) for seed in range(repeats)]) for way in ways}
        mean = {way: values.mean(axis=0) for way, values in found.items()}
        for way, (_, value) in mean.items():
            reached = mean["advice"][1] < value if way != "advice" and repeats >= 20 else None
            error = float(np.std(found[way][:, 1]) / np.sqrt(repeats))
            said = f"{value:.4f} ± {error:.4f}"
            yield Row(
                f"{name}: waste after {way}", "above advice's", said, value / mean["advice"][1], reached
            )
        half, whole = mean["advice"][0], mean["grid"][1]
        ratio = half / max(whole, 1e-12)
        yield Row(f"{name}: advice at half the spend", ".6 of the grid's", f"{half:.4f}", ratio, ratio <= 0.6)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks.advise", description=__doc__)
    parser.add_argument("--repeats", type=int, default=60)
    parser.add_argument("--packages", type=Path, metavar="DIR", help="where simple-scaling-laws lies")
    asked = parser.parse_args(arguments)
    if asked.packages:
        sys.path.append(str(asked.packages))
    if other() is None:
        print(INSTALL)
    seconds = cpu(lambda: [print(row, flush=True) for row in rows(asked.repeats)])
    print(f"{seconds:.0f} CPU-s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
