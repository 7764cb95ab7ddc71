"""Which law, and how far to believe it: by forecasting runs of larger compute that the fit never saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.laws.fit import Fit, fit_runs
from analysis.laws.laws import FLOPS_PER_PARAM_TOKEN, Array
from analysis.laws.losses import Robust
from analysis.laws.recipe import Recipe
from analysis.laws.runs import FitError, Runs


@dataclass(frozen=True)
class Forecast:
    """Held-out runs of larger compute, and what a fit to the others said of them.

    `table`: one row a held-out run, in the order of compute: params, tokens, flops, loss, predicted, lo, hi
    (prediction interval of a new run), error (predicted / loss - 1), row (place in the caller's table).
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
        return (
            f"{self.fit.name}: fitted to {self.fit.n_runs} runs, forecast {len(self.table)} of up to "
            f"{self.reach:.3g}× their compute: rms error {100 * self.error:.2g} %, "
            f"{self.covered} of {len(self.table)} inside {100 * self.fit.level:g} %"
        )


def forecast_heldout(
    params: npt.ArrayLike,
    tokens: npt.ArrayLike,
    loss: npt.ArrayLike,
    *,
    law: str = "chinchilla",
    holdout: float | int = 0.25,
    flops: npt.ArrayLike | None = None,
    groups: npt.ArrayLike | None = None,
    robust: Robust | None = None,
    fixed: Mapping[str, float] | None = None,
    tied: bool = False,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Forecast:
    """Fit a law without the runs of largest compute, and forecast those.

    Args:
        holdout: how many runs of largest compute to hold out (int), or what fraction of all runs (float).
            Runs whose compute equals that of a held-out run are held out with it.
        flops: compute of each run [FLOP]; 6 × params × tokens where absent.

    Raises:
        FitError: when what is left cannot determine the law.
        ValueError: for a holdout that is neither a fraction in (0, 1) nor a count in 1 … n - 1.
    """
    runs = Runs.of({"N": params, "D": tokens}, loss, groups)
    compute = FLOPS_PER_PARAM_TOKEN * runs.inputs["N"] * runs.inputs["D"]
    if flops is not None:
        compute = np.asarray(flops, dtype=float)[runs.order]
    count = round(holdout * runs.n) if isinstance(holdout, float) else holdout
    if not 1 <= count < runs.n or (isinstance(holdout, float) and not 0 < holdout < 1):
        raise ValueError(
            f"holdout: a fraction between 0 and 1, or a count from 1 to {runs.n - 1}; got {holdout!r} "
            f"of {runs.n} runs."
        )
    cut = np.sort(compute)[-count]
    held = compute >= cut * (1 - 1e-9)
    if held.all():
        raise FitError(f"every run has the same compute, {cut:.4g} FLOP: none is left to fit.")
    recipe = Recipe(law, robust or Robust(), "log", dict(fixed or {}), tied)
    fit = fit_runs(runs.take(~held), recipe, "bayes", resamples, seed, level)
    return _forecast(fit, runs.take(held), compute[held], float(compute[~held].max()))


def predict_runs(fit: Fit, inputs: Mapping[str, Array], seed: int = 0) -> tuple[Array, Array, Array]:
    """Loss of new runs: the law's, and the low and high end of the prediction interval at the fit's level.

    Each replicate of the law is joined with a residual drawn from the fit's own (centred, and widened by
    sqrt(n / (n - p)) for the p parameters they were fitted with), so the interval holds a new run's noise.
    """
    predicted = np.asarray(fit.law(**inputs), dtype=float)
    n, p = fit.n_runs, len(fit.law.parameters)
    noise = (fit.residuals - np.median(fit.residuals)) * np.sqrt(n / max(n - p, 1))
    rng = np.random.default_rng(seed)
    curves = np.array([law(**inputs) for law in fit.draws])
    if not len(curves):
        raise FitError("no prediction interval: the fit was made with resamples=0; use resamples=1000.")
    new = np.log(curves) + rng.choice(noise, size=curves.shape)
    low, high = np.exp(np.quantile(new, [(1 - fit.level) / 2, (1 + fit.level) / 2], axis=0))
    return predicted, low, high


def _forecast(fit: Fit, held: Runs, compute: Array, largest: float) -> Forecast:
    predicted, low, high = predict_runs(fit, held.inputs)
    columns: dict[str, Any] = {
        "params": held.inputs["N"],
        "tokens": held.inputs["D"],
        "flops": compute,
        "loss": held.loss,
        "predicted": predicted,
        "lo": low,
        "hi": high,
        "error": predicted / held.loss - 1,
        "row": held.order,
    }
    table = pd.DataFrame(columns).sort_values("flops", kind="stable", ignore_index=True)
    return Forecast(fit, table, float(compute.max()) / largest)
