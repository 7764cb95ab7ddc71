"""The fitter against its targets: `python -m experiments.benchmarks.fitting [--coverage] [--full]`.

One row a target: what, reference, ours, ratio (ours / reference) and whether it was reached. One thread, CPU
seconds. Beside it what people use, on the same points. --coverage adds simulated coverage of intervals, which
takes minutes; --full the slow competitors as published.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before NumPy is loaded

import argparse
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.fitting.bootstrap.replicates import replicates
from analysis.fitting.fit import Fit
from analysis.fitting.fit_columns import fit_loss_surface
from analysis.fitting.newton import minimise
from analysis.fitting.recipe import solve
from analysis.forecast.findings import fit_study, runs_of
from analysis.forecast.select import rank_curves
from analysis.laws.law import Array
from analysis.laws.registry import FITTED
from analysis.table import load_runs
from experiments.benchmarks.child import spend
from experiments.benchmarks.coverage import TRUTH, coverage_rows, ensemble_rows
from experiments.benchmarks.rivals import Points, rival_rows
from experiments.benchmarks.row import Row, cpu, show
from experiments.commands.verify import verify
from experiments.public_data import DEFAULT, chinchilla_points, public_data

OBJECTIVE = 0.0010182740178006  # exact Huber minimum of the 240 points, sum of losses
SIMULATIONS = 200


def solver_rows(points: Points) -> Iterator[Row]:
    """The exact minimum, its time, and thousands of global bootstraps."""
    fit = fit_loss_surface(*points, resamples=0)
    gap = fit.objective / OBJECTIVE - 1
    yield Row("240 points: objective", f"{OBJECTIVE}", f"{fit.objective:.16g}", 1 + gap, abs(gap) < 1e-12)
    law = fit.law.parameters
    published = {"E": 1.817218, "A": 477.8259, "B": 2143.4174, "alpha": 0.347310, "beta": 0.367172}
    for name, value in published.items():
        yield Row(f"  {name}", f"{value:g}", f"{law[name]:.7g}", law[name] / value)
    seconds = cpu(lambda: fit_loss_surface(*points, resamples=0), 300)
    yield Row(
        "  time of the fit [CPU-s]", "61 (4,500 starts)", f"{seconds:.4f}", seconds / 61, seconds <= 0.003
    )

    weights, solved, seconds = min((bootstrap(fit, 4000) for _ in range(5)), key=lambda found: found[2])
    yield Row(
        "4,000 global bootstraps [CPU-s]", "96 (single start)", f"{seconds:.2f}", seconds / 96, seconds <= 0.5
    )
    better, worst = random_starts(fit, weights[:1000], solved[:1000])
    yield Row(
        "  replicates (of 1,000) that 10 random starts improve",
        "0",
        f"{better} (worst {worst:.1e})",
        None,
        not better,
    )

    coupled = fit_loss_surface(*points, law="coupled", resamples=0)
    weights, solved, seconds = bootstrap(coupled, 4000)
    yield Row(
        "coupled law, 4,000 global bootstraps [CPU-s]",
        "10 at most",
        f"{seconds:.2f}",
        seconds / 10,
        seconds <= 10,
    )
    better, worst = random_starts(coupled, weights[:100], solved[:100])
    yield Row(
        "  replicates (of 100) that 10 random starts improve",
        "0",
        f"{better} (worst {worst:.1e})",
        None,
        not better,
    )


def bootstrap(fit: Fit, size: int) -> tuple[Array, Array, float]:
    """Weights and minima of `size` pairs replicates, and the CPU seconds of drawing and solving them."""
    start = time.process_time()
    log_loss = fit.data.log_loss
    drawn = replicates("pairs", fit.runs, log_loss, log_loss, len(fit.theta), size, 42)
    solution = solve(fit.recipe, fit.form, drawn.counts, drawn.log_loss, fit.theta[None])
    return drawn.counts, solution.objective, time.process_time() - start


def random_starts(fit: Fit, weights: Array, solved: Array, starts: int = 10) -> tuple[int, float]:
    """How many replicates end lower from random starts, by more than 1e-9, and the largest such gain."""
    rng = np.random.default_rng(0)
    low = np.array([-1.5, -4.0, -4.0, 0.05, 0.05, -0.5])[: len(fit.theta)]
    high = np.array([0.2, 1.0, 1.0, 1.5, 1.5, 2.0])[: len(fit.theta)]
    best = solved.copy()
    for _ in range(starts):
        theta = rng.uniform(low, high, size=(len(weights), len(low)))
        polished = minimise(fit.form, theta, weights, fit.data.log_loss[None], fit.recipe.robust)
        best = np.minimum(best, polished.objective)
    gain = solved / best - 1
    return int((gain > 1e-9).sum()), float(gain.max())


def published_rows(data: Path) -> Iterator[Row]:
    """Every published number of `scaling verify`."""
    checks = [check for check in verify(data) if not check.skipped]
    agree = sum(bool(check.passed) for check in checks)
    reached = agree == len(checks)
    yield Row("published numbers that agree (scaling verify)", str(len(checks)), str(agree), None, reached)


def scale_rows() -> Iterator[Row]:
    """A CSV of 10,000 runs of 1,000 trunks through the commands, in processes of their own."""
    rng = np.random.default_rng(0)
    N = np.repeat(np.exp(rng.uniform(np.log(1e6), np.log(1e10), 1000)), 10)
    D = np.tile(np.geomspace(1e8, 1e11, 10), 1000)
    loss = TRUTH.sample(rng, relative_noise=0.005, N=N, D=D)
    names = {"run_id": [f"r{i}" for i in range(len(N))], "trunk_id": np.repeat(np.arange(1000), 10)}
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/runs.csv"
        pd.DataFrame({**names, "params": N, "tokens": D, "loss": loss}).to_csv(file, index=False)
        for verb, more, most in (("fit", (), 10), ("report", ("--out", f"{folder}/report"), 15)):
            spent = spend(verb, file, *more)
            what = f"{verb} of 10,000 runs of 1,000 trunks"
            seconds, memory = f"{spent.cpu:.1f}", f"{spent.memory:.0f}"
            yield Row(f"{what} [CPU-s]", f"{most} at most", seconds, spent.cpu / most, spent.cpu <= most)
            yield Row("  peak memory [MiB]", "400 at most", memory, spent.memory / 400, spent.memory <= 400)


def curve_rows(data: Path) -> Iterator[Row]:
    """The automatic choice of a law for each public learning curve, alone and as `scaling fit` prints it."""
    curves = pd.read_csv(data / "curves" / "eight_of_92.csv").query("Training == 1")
    alone, whole = [], []
    for _, rows in curves.groupby(["Domain", "Task", "Model"]):
        table = load_runs(rows, {"x": "Seen Examples", "loss": "Loss"})
        runs = runs_of(table, FITTED[("x",)])
        alone.append(cpu(partial(rank_curves, runs)))
        whole.append(cpu(partial(fit_study, table)))
    what = f"choice of a law for a curve, slowest of {len(alone)} [CPU-s]"
    yield Row(what, "2 at most", f"{max(alone):.2f}", max(alone) / 2, max(alone) <= 2)
    yield Row(
        "  with 1,000 replicates and a forecast of held-out points", "", f"{max(whole):.2f}", None, None
    )


def main(arguments: list[str] | None = None) -> int:
    """Print the table; 1 when a target was missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--coverage", action="store_true", help="simulate coverage of intervals (minutes)")
    parser.add_argument("--simulations", type=int, default=SIMULATIONS, help="a row of coverage")
    parser.add_argument("--full", action="store_true", help="4,500 starts for SciPy, 1,024 for the package")
    parser.add_argument("--packages", type=Path, help="folder that holds the package `chinchilla`")
    parser.add_argument("--data", type=Path, default=public_data() or DEFAULT)
    asked = parser.parse_args(arguments)
    groups: list[Iterator[Row]] = [scale_rows()]
    if asked.data.is_dir():
        points = chinchilla_points(asked.data)
        starts, grid = (4500, 4) if asked.full else (100, 2)
        groups += [
            solver_rows(points),
            rival_rows(points, OBJECTIVE, starts=starts, grid=grid, packages=asked.packages),
            curve_rows(asked.data),
            published_rows(asked.data),
        ]
    else:
        print(f"(no public data in {asked.data}: its rows are left out; say --data FOLDER)")
    if asked.coverage:
        groups += [coverage_rows(asked.simulations), ensemble_rows(asked.simulations)]
    return int(show(chain.from_iterable(groups)) > 0)


if __name__ == "__main__":
    raise SystemExit(main())
