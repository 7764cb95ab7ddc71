"""Forecast runs of larger compute that a fit never saw, and runs that do not exist yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.fitting.bootstrap.quantiles import quantiles
from analysis.fitting.bootstrap.replicates import Bootstrap
from analysis.fitting.bootstrap.variance import scatter
from analysis.fitting.fit import Fit, fit_runs
from analysis.fitting.recipe import Recipe
from analysis.fitting.runs import FitError, Runs, called, size_of
from analysis.laws.law import Array


@dataclass(frozen=True)
class Forecast:
    """Held-out runs of larger compute, and what a fit to the others said of them.

    `table`: one row a held-out run, in the order of compute: the inputs of the law as our columns, flops,
    loss, predicted, lo, hi (prediction interval of a new run), error (predicted / loss - 1), row (place in
    the caller's table).
    """

    fit: Fit
    table: pd.DataFrame
    reach: float  # largest held-out compute / largest fitted compute

    @property
    def error(self) -> float:
        """Root mean square relative error of the held-out runs."""
        return float(np.sqrt(np.mean(self.table["error"] ** 2)))

    @property
    def covered(self) -> int:
        """How many held-out runs lie inside their prediction interval."""
        return int(
            ((self.table["lo"] <= self.table["loss"]) & (self.table["loss"] <= self.table["hi"])).sum()
        )

    def __str__(self) -> str:
        of = "x" if self.fit.law.inputs == ("x",) else "compute"
        return (
            f"{self.fit.name}: fitted to {self.fit.n_runs} runs, forecast {len(self.table)} of up to "
            f"{self.reach:.3g}× their {of}: rms error {100 * self.error:.2g} %, "
            f"{self.covered} of {len(self.table)} inside the {100 * self.fit.level:g} % interval"
        )


def forecast_heldout(
    runs: Runs, recipe: Recipe, bootstrap: Bootstrap | None = None, holdout: float | int = 0.25
) -> Forecast:
    """Fit a law without the runs of largest compute, and forecast those.

    Args:
        holdout: how many runs of largest compute to hold out (int), or what fraction of all runs (float).
            Runs whose compute equals that of a held-out run are held out with it.

    Raises:
        FitError: when what is left cannot determine the law.
        ValueError: for a holdout that is neither a fraction in (0, 1) nor a count in 1 … n - 1.
    """
    compute = runs.compute
    count = round(holdout * runs.n) if isinstance(holdout, float) else holdout
    if not 1 <= count < runs.n or (isinstance(holdout, float) and not 0 < holdout < 1):
        raise ValueError(
            f"holdout: a fraction between 0 and 1, or a count from 1 to {runs.n - 1}; got {holdout!r} "
            f"of {runs.n} runs."
        )
    held = largest(compute, count)
    if held.all():
        raise FitError(f"every run has the same compute, {compute[0]:.4g} FLOP: none is left to fit.")
    fit = fit_runs(runs.take(~held), recipe, bootstrap)
    ahead = runs.take(held).only(fit.law.inputs)
    predicted = predict_runs(fit, ahead.inputs)[["predicted", "lo", "hi"]]
    columns: dict[str, Any] = {called(name): x for name, x in ahead.inputs.items()}
    if "N" in ahead.inputs:
        columns["flops"] = ahead.compute
    columns |= {"loss": ahead.loss, **predicted}
    table = pd.DataFrame(columns)
    table["error"] = table["predicted"] / table["loss"] - 1
    table["row"] = ahead.order
    table = table.iloc[np.argsort(ahead.compute, kind="stable")].reset_index(drop=True)
    return Forecast(fit, table, float(compute[held].max() / compute[~held].max()))


def predict_runs(fit: Fit, inputs: Mapping[str, npt.ArrayLike], *, seed: int = 0) -> pd.DataFrame:
    """Loss of runs that do not exist yet, one row each: predicted, ci_lo, ci_hi, lo, hi, reach.

    `inputs` is what the law is a function of, e.g. {"N": [1e9, 2e9], "D": [2e10, 4e10]}.

    `ci_lo`, `ci_hi` bound the law at the fit's level; `lo`, `hi` bound a new run: each replicate of the law
    joined with a residual drawn from the fit's own, widened as in `noise`. `reach` is compute over the
    largest fitted compute (for a law of x: x over its largest): the extrapolation distance, which no
    interval of one law allows for.

    Raises:
        FitError: for a fit without replicates.
    """
    if not fit.draws:
        raise FitError("no prediction interval: the fit was made with resamples=0; use resamples=1000.")
    columns = {name: np.atleast_1d(np.asarray(inputs[name], dtype=float)) for name in fit.law.inputs}
    curves = np.log(np.array([law(**columns) for law in fit.draws]))
    new = curves + np.random.default_rng(seed).choice(noise(fit), size=curves.shape)
    ci, run = np.exp(quantiles(curves, fit.level)), np.exp(quantiles(new, fit.level))
    return pd.DataFrame(
        {
            "predicted": np.asarray(fit.law(**columns), dtype=float),
            "ci_lo": ci[0],
            "ci_hi": ci[1],
            "lo": run[0],
            "hi": run[1],
            "reach": size_of(columns) / size_of(fit.runs.inputs).max(),
        }
    )


def noise(fit: Fit) -> Array:
    """Log residuals (n,) as a new run of a new trunk may have them: centred, and widened.

    The median is taken off because a robust fit lets some runs lie far to one side. The law was fitted to
    them and, where runs share trunks, bends towards these: so new ones scatter more widely (`scatter`), by
    Student's t where that is known from few.
    """
    left = fit.data.log_loss - fit.form.value(fit.theta[None])[0]
    spread = scatter(fit.form, fit.theta, fit.runs, left)
    widened: Array = (left - np.median(left)) * spread.widening * spread.quantile()
    return widened


def largest(compute: Array, count: int) -> npt.NDArray[np.bool_]:
    """The `count` runs of largest compute, and those that tie with the last of them."""
    cut = np.sort(compute)[-count]
    held: npt.NDArray[np.bool_] = compute >= cut * (1 - 1e-9)
    return held
