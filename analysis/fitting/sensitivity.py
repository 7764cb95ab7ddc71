"""What a fit's numbers owe to choices that could have been made otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.fitting.fit import Fit
from analysis.fitting.losses import Robust
from analysis.fitting.recipe import Recipe
from analysis.fitting.runs import FitError, Runs
from analysis.laws.law import Array

Variation = tuple[str, str, Runs, Recipe]  # kind, what, and what it is fitted to
TRUNKS = 20  # refits without one trunk; of more, those that hold the law where it is
PATIENCE = 100  # Newton steps: a choice that leaves the law free need not be followed to the end of a plateau
STEP = 1e-5  # of a coordinate, for central differences


def sensitivity(
    fit: Fit,
    quantities: Mapping[str, Callable[[Any], float]] | None = None,
    *,
    conventions: Mapping[str, npt.ArrayLike] | None = None,
    flops: Mapping[str, npt.ArrayLike] | None = None,
    dropped: tuple[int, ...] = (1, 2, 5),
    burn_in: tuple[float, ...] = (0.1, 0.25),
) -> pd.DataFrame:
    """Refit under every other reasonable choice, one row each; the first row is the fit as it is.

    Args:
        quantities: name → function of a law, reported beside the law's parameters.
        conventions: name → another count of parameters, one value per run in the order of the caller's table.
        flops: name → another count of training FLOP, likewise: tokens become FLOP / (6 × params), which is
            what a forecast at a budget of that FLOP means.
        dropped: numbers of runs of largest residual to drop.
        burn_in: shares of the runs, those of fewest tokens, to drop.

    Columns: kind (fit, loss, delta, outliers, trunk, N, FLOP, burn-in), what, runs, the parameters, the
    quantities, rms, and reason where the choice cannot be fitted (its numbers are then missing).
    Of many trunks only the 20 whose absence moves the law most, by `influential`, are left out one by one.
    """
    rows = []
    quantities = quantities or {}
    for kind, what, runs, recipe in _variations(fit, conventions or {}, flops or {}, dropped, burn_in):
        row: dict[str, Any] = {"kind": kind, "what": what, "runs": runs.n, "reason": ""}
        try:
            other = fit if kind == "fit" else fit.again(runs, recipe, resamples=0, patience=PATIENCE)
        except FitError as error:
            row["reason"] = str(error)
        else:
            row |= other.law.parameters
            row |= {name: _finite(f, other.law) for name, f in quantities.items()}
            row["rms"] = other.rms
        rows.append(row)
    names = list(dict.fromkeys([*fit.law.parameters, *quantities]))  # of one name, the quantity counts
    return pd.DataFrame(rows, columns=["kind", "what", "runs", *names, "rms", "reason"])


def _variations(
    fit: Fit,
    conventions: Mapping[str, npt.ArrayLike],
    flops: Mapping[str, npt.ArrayLike],
    dropped: tuple[int, ...],
    burn_in: tuple[float, ...],
) -> Iterator[Variation]:
    runs, recipe = fit.runs, fit.recipe
    yield "fit", "as it is", runs, recipe

    delta = recipe.robust.delta
    for robust in (Robust("huber", delta), Robust("l1"), Robust("squared"), Robust("asymmetric", delta)):
        if robust.kind != recipe.robust.kind:
            yield "loss", robust.kind, runs, replace(recipe, robust=robust)
    other = "raw" if recipe.space == "log" else "log"
    yield "loss", f"{other} loss", runs, replace(recipe, space=other)  # type: ignore[arg-type]
    if recipe.robust.kind in ("huber", "asymmetric"):
        for factor in (0.1, 10.0):
            changed = replace(recipe.robust, delta=delta * factor)
            yield "delta", f"{delta * factor:g}", runs, replace(recipe, robust=changed)

    residual = np.abs(np.log(runs.loss) - np.log(fit.law(**runs.inputs)))
    for count in dropped:
        if count < runs.n:
            kept = np.sort(np.argsort(residual)[:-count])
            yield "outliers", f"without the {count} largest", runs.take(kept), recipe
    if runs.n_groups < runs.n:
        for trunk in influential(fit, TRUNKS):
            yield "trunk", f"without trunk {trunk}", runs.take(runs.groups != trunk), recipe
    for name, column in conventions.items():
        yield "N", name, _with(runs, "N", _column(name, column, runs)), recipe
    for name, column in flops.items():
        tokens = _column(name, column, runs) / (6 * runs.inputs["N"])
        yield "FLOP", name, _with(runs, "D", tokens), recipe
    if "D" in runs.inputs:
        for share in burn_in:
            keep = runs.inputs["D"] > np.quantile(runs.inputs["D"], share)
            yield "burn-in", f"without the shortest {100 * share:g} %", runs.take(keep), recipe


def influential(fit: Fit, most: int) -> list[int]:
    """The trunks, at most so many, that hold a fit where it is: by how far one Newton step moves it without.

    Without trunk t the gradient is off by that of its runs, g, so the law moves by H^-1 g, and its log losses
    by the root of g H^-1 g but for a factor that all trunks share (H is that of least squares).

    Source: Cook & Weisberg 1982, Residuals and Influence in Regression, chapter 5.
    """
    runs, form, recipe = fit.runs, fit.form, fit.recipe
    p = len(fit.theta)
    if runs.n_groups <= most:
        return list(range(runs.n_groups))
    shifts = STEP * np.eye(p)
    predicted = form.value(np.concatenate([fit.theta[None], fit.theta + shifts, fit.theta - shifts]))
    slopes = (predicted[1 : p + 1] - predicted[p + 1 :]) / (2 * STEP)  # (p, n)
    if recipe.space == "raw":
        slopes *= np.exp(predicted[0])
    psi = recipe.robust.smooth()[-1].slopes(recipe.residual(predicted[0], fit.data.log_loss))[0]
    weighted = runs.relative_weights * slopes
    gradient = np.array([np.bincount(runs.groups, row) for row in weighted * psi])  # (p, G)
    moved = (gradient * (np.linalg.pinv(weighted @ slopes.T, hermitian=True) @ gradient)).sum(axis=0)
    return sorted(np.argsort(-moved, kind="stable")[:most].tolist())


def _column(name: str, values: npt.ArrayLike, runs: Runs) -> Array:
    column = np.asarray(values, dtype=float)
    if column.shape != (runs.n,):
        raise ValueError(f"{name}: one value per run of the fit, {runs.n} in all; got shape {column.shape}.")
    if not (np.isfinite(column) & (column > 0)).all():
        raise ValueError(f"{name}: every value must be positive and finite.")
    ordered: Array = column[runs.order]
    return ordered


def _with(runs: Runs, name: str, values: Array) -> Runs:
    return replace(runs, inputs={**runs.inputs, name: values})


def _finite(f: Callable[[Any], float], law: Any) -> float:
    try:
        return float(f(law))
    except ValueError:  # no such quantity under this choice: an optimum at a limit
        return float("nan")
