"""Commonly used fitters on the same points: time, objective, and how far above the exact minimum they
stop."""

from __future__ import annotations

import importlib
import itertools
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from scipy import optimize

from analysis.fitting.fit_columns import fit_loss_surface
from analysis.laws.chinchilla import Chinchilla
from analysis.laws.law import Array
from experiments.benchmarks.row import Row, cpu

Points = tuple[Array, Array, Array]
DELTA = 1e-3
START = [5.0, 5.0, 0.5, 0.5, 0.5]  # log A, log B, log E, alpha, beta: the middle of the published grid
INSTALL = "pip install --no-deps --target DIR chinchilla==0.2.0 attrdictx ordinal seaborn, --packages DIR"


def rival_rows(
    points: Points, objective: float, *, starts: int, grid: int, packages: Path | None
) -> Iterator[Row]:
    """One row each; `starts` of the published 4,500, `grid` values per parameter for the package."""
    params, tokens, loss = points
    n, d, y = np.log(params), np.log(tokens), np.log(loss)

    def surface(_: Array, E: float, A: float, B: float, alpha: float, beta: float) -> Array:
        return np.asarray(E + A * params**-alpha + B * tokens**-beta)

    def cost(v: Array) -> float:
        return huber(np.logaddexp(v[0] - v[3] * n, np.logaddexp(v[1] - v[4] * d, v[2])) - y)

    def of(law: Chinchilla) -> float:
        return huber(np.log(law(N=params, D=tokens)) - y)

    def curve_fit() -> float:
        with warnings.catch_warnings(action="ignore"):  # what it returns is the point, not its warning
            v, _ = optimize.curve_fit(surface, params, loss)
        return of(Chinchilla(*(float(x) for x in v)))

    def minimize(method: str) -> float:
        return float(optimize.minimize(cost, START, method=method).fun)

    def many_starts() -> float:
        axes = [range(0, 30, 5), range(0, 30, 5), np.arange(-1, 1.5, 0.5), *[np.arange(0, 2.5, 0.5)] * 2]
        chosen = np.random.default_rng(0).permutation(list(itertools.product(*axes)))[:starts]
        return min(float(optimize.minimize(cost, v, method="L-BFGS-B", tol=1e-12).fun) for v in chosen)

    rivals: list[tuple[str, Callable[[], float]]] = [
        ("this fitter", lambda: fit_loss_surface(*points, resamples=0).objective),
        ("scipy curve_fit, default start", curve_fit),
        ("scipy minimize Nelder-Mead, one start", lambda: minimize("Nelder-Mead")),
        ("scipy minimize BFGS, one start", lambda: minimize("BFGS")),
        ("scipy minimize L-BFGS-B, one start", lambda: minimize("L-BFGS-B")),
        (f"scipy L-BFGS-B, {starts:,} of the 4,500 published starts", many_starts),
    ]
    package = load_package(packages)
    name = f"chinchilla 0.2.0 (PyPI), {grid}^5 starts"
    if not isinstance(package, str):
        rivals.append((name, lambda: of(fit_package(package, points, grid))))
    for what, work in rivals:
        yield _row(what, work, objective)
    if isinstance(package, str):
        yield Row(name, INSTALL, package)


def huber(residual: Array) -> float:
    """The sum of Huber losses of log residuals."""
    r = np.abs(residual)
    return float(np.where(r <= DELTA, r * r / 2, DELTA * (r - DELTA / 2)).sum())


def load_package(packages: Path | None) -> type | str:
    """The package's class, or why there is none."""
    if packages is not None:
        sys.path.append(str(packages))
    try:
        found: type = importlib.import_module("chinchilla").Chinchilla
    except ImportError as error:
        return f"needs {error.name}"
    return found


def fit_package(package: type, points: Points, grid: int) -> Chinchilla:
    """Its fit with the Huber loss, from `grid` starts per parameter, in one process."""
    ends = {"E": (1, 2.5), "A": (10, 1e4), "B": (10, 1e4), "alpha": (0.1, 0.7), "beta": (0.1, 0.7)}
    space = {"A": np.geomspace, "B": np.geomspace}
    starts = {name: space.get(name, np.linspace)(*bounds, grid) for name, bounds in ends.items()}

    def cost(true: Array, predicted: Array) -> Array:
        r = np.abs(np.log(predicted) - np.log(true))
        return np.asarray(np.where(r <= DELTA, r * r / 2, DELTA * (r - DELTA / 2)))

    with tempfile.TemporaryDirectory() as folder:
        fitted = package(folder, param_grid=starts, seed_ranges={}, loss_fn=cost, log_level=40)
        for params, tokens, loss in zip(*points, strict=True):
            fitted.database.append(C=6 * params * tokens, N=params, D=tokens, loss=loss)
        fitted.fit(parallel=False)
        found = fitted.get_params()
    return Chinchilla(*(float(found[name]) for name in ("E", "A", "B", "alpha", "beta")))


def _row(what: str, work: Callable[[], float], objective: float) -> Row:
    found = []
    try:
        seconds = cpu(lambda: found.append(work()))
    except RuntimeError as error:  # scipy's "optimal parameters not found": an outcome to be shown
        return Row(what, "", f"no result: {str(error)[:40]}")
    excess = 100 * (found[0] / objective - 1)
    return Row(what, f"{excess:.2g} % above", f"{found[0]:.10g}, {seconds:.3g} CPU-s", seconds)
