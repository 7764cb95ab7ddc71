"""Forecast runs of larger compute that a fit never saw, and runs that do not exist yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special

from analysis.fitting.bootstrap.quantiles import quantiles
from analysis.fitting.bootstrap.replicates import Bootstrap
from analysis.fitting.bootstrap.variance import scatter
from analysis.fitting.checks import FitWarning
from analysis.fitting.fit import Fit, fit_runs
from analysis.fitting.interval import interval_score
from analysis.fitting.recipe import Recipe
from analysis.fitting.runs import FitError, Runs, called, size_of
from analysis.forecast.rolling import Drift, cuts_for, drift_of, largest, roll
from analysis.laws.law import Array

NONE = Drift()
UNLIKELY = 0.05  # probability of so few runs inside their intervals, below which the intervals fail


@dataclass(frozen=True)
class Forecast:
    """Held-out runs of larger compute, and what a fit to the others said of them.

    `table`: one row per held-out run, in the order of compute: the inputs of the law as our columns, flops,
    loss, predicted, lo, hi (prediction interval of a new run), error (predicted / loss - 1), interval_score
    [nats/token], row (place in the caller's table).
    """

    fit: Fit
    table: pd.DataFrame
    reach: float  # largest held-out compute / largest fitted compute
    drift: Drift = NONE

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

    @property
    def interval_score(self) -> float:
        """Mean interval score [nats/token]; lower is better: width, and a penalty for each miss."""
        return float(self.table["interval_score"].mean())

    @property
    def holds(self) -> bool:
        """Whether so few runs inside have a probability of 1 in 20 or more where the intervals are right."""
        return bool(special.bdtr(self.covered, len(self.table), self.fit.level) >= UNLIKELY)

    @property
    def warnings(self) -> tuple[FitWarning, ...]:
        """That the intervals failed, where they did."""
        if self.holds:
            return ()
        inside = f"{self.covered} of {len(self.table)} held-out runs lie inside their"
        message = (
            f"{inside} {100 * self.fit.level:g} % intervals (rms error {100 * self.error:.2g} %): forecasts "
            f"of the {self.fit.name} law miss by more than they allow. Train runs nearer to the forecast."
        )
        return (FitWarning("forecast-missed", message),)

    @property
    def ordered_by(self) -> str:
        """What the held-out runs have most of: x, of which the law is, or compute."""
        return "x" if self.fit.law.inputs == ("x",) else "compute"

    def __str__(self) -> str:
        return (
            f"{self.fit.name}: fitted to {self.fit.n_runs} runs; forecast of {len(self.table)} at up to "
            f"{self.reach:.3g}× their {self.ordered_by}: rms error {100 * self.error:.2g} %, "
            f"{self.covered} of {len(self.table)} inside the {100 * self.fit.level:g} % interval, "
            f"interval score {self.interval_score:.3g}"
        )


def forecast_heldout(
    runs: Runs, recipe: Recipe, bootstrap: Bootstrap | None = None, holdout: float | int = 0.25
) -> Forecast:
    """Fit a law without the runs of largest compute, and forecast those.

    The intervals also allow for the form: by how much rolling forecasts within the fitted runs missed.

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
    before = runs.take(~held)
    fit = fit_runs(before, recipe, bootstrap)
    ahead = runs.take(held).only(fit.law.inputs)
    drift = drift_within(before.only(fit.law.inputs), recipe)
    reach = ahead.compute / before.compute.max()
    predicted = predict_runs(fit, ahead.inputs, drift=drift, reach=reach)[["predicted", "lo", "hi"]]
    columns: dict[str, Any] = {called(name): x for name, x in ahead.inputs.items()}
    if "N" in ahead.inputs:
        columns["flops"] = ahead.compute
    columns |= {"loss": ahead.loss, **predicted}
    table = pd.DataFrame(columns)
    table["error"] = table["predicted"] / table["loss"] - 1
    table["interval_score"] = interval_score(table["lo"], table["hi"], table["loss"], fit.level)
    table["row"] = ahead.order
    table = table.iloc[np.argsort(ahead.compute, kind="stable")].reset_index(drop=True)
    return Forecast(fit, table, float(reach.max()), drift)


def drift_within(runs: Runs, recipe: Recipe) -> Drift:
    """The drift of one law on these runs; none where they allow no rolling forecast."""
    try:
        return drift_of(roll(runs, (recipe,), cuts_for(runs)), recipe.law)
    except FitError:
        return NONE


def predict_runs(
    fit: Fit,
    inputs: Mapping[str, npt.ArrayLike],
    *,
    drift: Drift = NONE,
    reach: npt.ArrayLike | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Loss of runs that do not exist yet, one row each: predicted, ci_lo, ci_hi, lo, hi, reach.

    `inputs` is what the law is a function of, e.g. {"N": [1e9, 2e9], "D": [2e10, 4e10]}.

    `ci_lo`, `ci_hi` bound the law at the fit's level; `lo`, `hi` bound a new run: each replicate of the law
    joined with a residual drawn from the fit's own, widened as in `noise`. `reach` is compute over the
    largest fitted compute (for a law of x: x over its largest), unless given as counted: the extrapolation
    distance, by which a drift widens both.

    Raises:
        FitError: for a fit without replicates.
    """
    if not fit.draws:
        raise FitError(f"no prediction interval: {fit.undrawn}")
    columns = {name: np.atleast_1d(np.asarray(inputs[name], dtype=float)) for name in fit.law.inputs}
    points, at = np.unique(np.stack(list(columns.values())), axis=1, return_inverse=True)
    distinct = dict(zip(columns, points, strict=True))
    curves = np.log(np.array([law(**distinct) for law in fit.draws]))[:, at.ravel()]
    far = size_of(columns) / size_of(fit.runs.inputs).max() if reach is None else np.asarray(reach, float)
    rng = np.random.default_rng(seed)
    residual = rng.choice(noise(fit), size=curves.shape)
    curves = curves + drift.at(far) * rng.standard_normal((len(curves), 1))
    new = curves + residual
    ci, run = np.exp(quantiles(curves, fit.level)), np.exp(quantiles(new, fit.level))
    return pd.DataFrame(
        {
            "predicted": np.asarray(fit.law(**columns), dtype=float),
            "ci_lo": ci[0],
            "ci_hi": ci[1],
            "lo": run[0],
            "hi": run[1],
            "reach": far,
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
