"""Which law's values are printed, and how far each law is believed: by forecasts of larger compute."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.fitting.bootstrap.quantiles import interval_of
from analysis.fitting.bootstrap.replicates import Bootstrap
from analysis.fitting.fit import Fit, fit_runs, value_or_nan
from analysis.fitting.lack_of_fit import SPARE
from analysis.fitting.losses import Robust
from analysis.fitting.recipe import Recipe
from analysis.fitting.runs import FitError, Runs
from analysis.forecast.heldout import Forecast, forecast_heldout, noise, predict_runs
from analysis.forecast.rolling import ALONE, CUTS, Drift, drift_of, error_of, log_reach, roll
from analysis.laws.law import Array
from analysis.laws.registry import FITTED, law_named

__all__ = [
    "ALONE",
    "CUTS",
    "Ensemble",
    "Forecast",
    "fit_ensemble",
    "forecast_heldout",
    "noise",
    "predict_runs",
    "printed_law",
    "rank_curves",
    "rank_laws",
    "robust_for",
]

CLEARLY = 0.86  # of the widest law's rolling error: below it, a narrower law is printed instead
SHARPNESS = 8  # of the weights of laws
FIXED = 1e-9  # in the exponent of the best size: the draws do not differ
COPIES = 4  # of each replicate, where a drift is drawn with it


def rank_laws(
    runs: Runs,
    laws: Sequence[str] = (),
    *,
    cuts: Sequence[float] = CUTS,
    robust: Robust | None = None,
    fits: Mapping[str, Fit] | None = None,
) -> pd.DataFrame:
    """Rank laws by how well they forecast larger compute, never by how well they fit.

    For each cut, every law is fitted without that share of the runs, those of largest compute, and forecasts
    them. One row per law, the best first: law, parameters, heldout (rms relative error of all forecasts, a
    cut counted by the square of its fitted runs), insample (rms relative residual of the fit to all runs),
    reach (the largest of forecast over largest fitted compute), forecasts (how many), drift (`Drift.rate`),
    weight (see `_weights`), printed (whether its values are; see `printed_law`).

    Args:
        laws: by name; by default the registry's for these inputs.
        fits: of laws to all these runs, where they were made already.

    Raises:
        FitError: when no cut leaves enough runs for every law.

    Source: Alabdulmohsin et al. 2022 (arXiv:2209.06640) and Choshen et al. 2024 (arXiv:2410.11840): the law
    that fits best is often not the one that extrapolates best.
    """
    laws = laws or FITTED[tuple(runs.inputs)]
    robust, made = robust or Robust(), fits or {}
    recipes = {law: made[law].recipe if law in made else Recipe(law, robust) for law in laws}
    rolled = roll(runs, tuple(recipes.values()), cuts)
    rows = []
    for law in laws:
        whole = made[law] if law in made else fit_runs(runs, recipes[law], ALONE)
        rows.append(
            {
                "law": law,
                "parameters": len(whole.theta),
                "heldout": error_of(rolled, law),
                "insample": whole.rms,
                "reach": max(float(cut.reach.max()) for cut in rolled),
                "forecasts": sum(len(cut.reach) for cut in rolled),
                "drift": drift_of(rolled, law).rate,
            }
        )
    table = pd.DataFrame(rows)
    table["weight"] = _weights(table["heldout"].to_numpy())
    table["printed"] = table["law"] == printed_law(dict(zip(laws, table["heldout"], strict=True)))
    return table.sort_values("heldout", kind="stable", ignore_index=True)


def printed_law(heldout: Mapping[str, float]) -> str:
    """The law whose values are printed, everywhere: of those fitted, the widest, unless a narrower one
    forecasts clearly better.

    The widest is the first that no other contains. A law without a floor falls to 0 far away, and one that
    fixes by its form how the best size grows would print its assumption as an answer: such laws are printed
    only where there are no others.

    Args:
        heldout: law → error of its rolling forecasts.
    """
    floored = [law for law in heldout if law_named(law).floored] or list(heldout)
    floored = [law for law in floored if not law_named(law).fixes_growth] or floored
    widest = next(law for law in floored if law_named(law).wider not in floored)
    best = min(floored, key=lambda law: heldout[law])
    return best if heldout[best] < CLEARLY * heldout[widest] else widest


def rank_curves(runs: Runs, laws: Sequence[str] = (), fits: Mapping[str, Fit] | None = None) -> pd.DataFrame:
    """Rank laws of one input by the Bayesian information criterion, of those whose minimum is certified.

    One row per law, the best first: law, parameters, insample, bic, certified. Laws of which the runs leave
    `SPARE` or more residual degrees of freedom come first.

    Raises:
        FitError: when no law can be fitted with a certificate.

    Source: Schwarz 1978 (Annals of Statistics 6), n ln(rss / n) + p ln n of log residuals.
    """
    laws = laws or FITTED[tuple(runs.inputs)]
    made = dict(fits or {})
    reasons = []
    rows = []
    for law in laws:
        try:
            fit = made.get(law) or fit_runs(runs, Recipe(law, robust_for(runs)), ALONE)
        except FitError as error:
            reasons.append(f"{law}: {error}")
            continue
        rows.append(
            {
                "law": law,
                "parameters": len(fit.theta),
                "insample": fit.rms,
                "bic": 2 * runs.n * np.log(max(fit.rms, 1e-12)) + len(fit.theta) * np.log(runs.n),
                "certified": fit.certificate.ok,
            }
        )
    table = pd.DataFrame(rows, columns=["law", "parameters", "insample", "bic", "certified"])
    if not table["certified"].any():
        raise FitError(
            "for no law of this curve was a minimum certified, so none is chosen; name one with "
            f"--law. {' '.join(reasons)}".rstrip()
        )
    # Of few points, a law that passes through nearly all has next to no residuals, whatever it says beyond.
    spare = runs.n_distinct - table["parameters"]
    table["spare"] = np.select([spare >= SPARE, spare > 0], [2, 1], 0)
    order = ["certified", "spare", "bic"]
    table = table.sort_values(order, ascending=[False, False, True], kind="stable", ignore_index=True)
    return table.drop(columns="spare")


def robust_for(runs: Runs) -> Robust:
    """Squares for a curve, whose points are of one run; else Huber's loss, as runs can fail one by one."""
    return Robust("squared") if tuple(runs.inputs) == ("x",) else Robust()


def _weights(heldout: Array) -> Array:
    """Weight of each law, proportional to (held-out error)^-SHARPNESS.

    The likelihood of Gaussian errors at their best scale, for as many that are independent: far fewer than
    runs, as the errors of a cut are those of one extrapolated surface. With an exponent of 4 a wrong form
    keeps the few per cent that move a 95 % interval: where the coupled form is right, intervals were 2.2
    times as wide as its own, with 8 they are 1.7 times, and cover as often.
    """
    log_weight = -SHARPNESS * np.log(np.maximum(heldout, 1e-12))
    weight = np.exp(log_weight - log_weight.max())
    normalised: Array = weight / weight.sum()
    return normalised


@dataclass(frozen=True)
class Ensemble:
    """Several laws of the same runs, weighted by how well each forecast larger compute.

    Its intervals include the choice of form. That of a single law does not: where the truth is a coupled
    surface with k = 1.4, Chinchilla's nominal 90 % interval of the loss at 10 times the compute never
    contains it. Nor does it matter that no form is quite true: see `losses`.
    """

    fits: tuple[Fit, ...]
    ranking: pd.DataFrame  # of `rank_laws`, in the order of fits
    level: float

    @classmethod
    def of(cls, basis: Ensemble | Fit) -> Ensemble:
        """An ensemble as it is; one fit as an ensemble of one law of which no forecast is known."""
        if isinstance(basis, Ensemble):
            return basis
        alone = {"law": [basis.name], "heldout": np.nan, "reach": 1.0, "drift": 0.0, "weight": 1.0}
        alone["printed"] = True
        return cls((basis,), pd.DataFrame(alone), basis.level)

    @property
    def weights(self) -> Array:
        """Share of each law in the intervals (laws,)."""
        return self.ranking["weight"].to_numpy(dtype=float)

    @property
    def best(self) -> Fit:
        """The fit of the law whose values are printed."""
        return self.fits[int(np.argmax(self.ranking["printed"]))]

    @property
    def heldout(self) -> float:
        """The rms relative error of the printed law's rolling forecasts."""
        return float(self.ranking["heldout"][int(np.argmax(self.ranking["printed"]))])

    def interval(self, f: Callable[[Any], float], level: float | None = None) -> tuple[float, float]:
        """Interval of f(law) over laws and replicates: quantiles of the weighted draws of every law.

        Draws on which f is not finite are left out where they are few.

        Raises:
            FitError: when the fits were made with resamples=0, or f is not finite on most draws.
            ValueError: for a level that is not a probability.
        """
        values, weights = self._values(f)
        return interval_of(np.concatenate(values), self.level if level is None else level, weights)

    def measuring(self) -> Ensemble:
        """The laws that can tell how the best size grows with compute; all of them where none can."""
        kept = [i for i, fit in enumerate(self.fits) if not fixes_growth(fit)]
        if not kept or len(kept) == len(self.fits):
            return self
        ranking = self.ranking.iloc[kept].reset_index(drop=True)
        ranking["weight"] /= ranking["weight"].sum()
        ranking["printed"] = ranking["law"] == self.fits[kept[0]].name
        if self.best.name in set(ranking["law"]):
            ranking["printed"] = ranking["law"] == self.best.name
        return Ensemble(tuple(self.fits[i] for i in kept), ranking, self.level)

    def losses(
        self, loss: Callable[[Any], float], reach: float, rng: np.random.Generator
    ) -> tuple[Array, Array]:
        """Draws of a loss and their weights, each law's spread by its drift at that reach.

        Raises:
            FitError: when the fits were made with resamples=0.
        """
        values, weights = self._values(loss)
        spread = []
        for drawn, rate, tested in zip(values, self.ranking["drift"], self.ranking["reach"], strict=True):
            many = np.repeat(drawn, COPIES)
            drift = Drift(rate, float(log_reach(tested)))
            spread.append(many * np.exp(drift.at(reach) * rng.standard_normal(len(many))))
        return np.concatenate(spread), np.repeat(weights, COPIES) / COPIES

    def _values(self, f: Callable[[Any], float]) -> tuple[list[Array], Array]:
        for fit in self.fits:
            if not len(fit.theta_draws):
                raise FitError(f"no interval: {fit.undrawn}")
        values = [np.array([value_or_nan(f, law) for law in fit.draws]) for fit in self.fits]
        shares = [np.full(len(v), w / len(v)) for v, w in zip(values, self.weights, strict=True)]
        return values, np.concatenate(shares)

    def predict(self, f: Callable[[Any], float]) -> float:
        """The value of f on the law whose values are printed."""
        return value_or_nan(f, self.best.law)

    def __str__(self) -> str:
        parts = [f"{fit.name} {weight:.2f}" for fit, weight in zip(self.fits, self.weights, strict=True)]
        return f"ensemble of {', '.join(parts)}, by forecasts of held-out compute"


def fixes_growth(fit: Fit) -> bool:
    """Whether the best size grows with compute alike under all draws of a law: by its form, or by ties."""
    if not hasattr(type(fit.law), "growth"):
        return False
    found = np.array([value_or_nan(lambda law: law.growth, law) for law in fit.draws])
    found = found[np.isfinite(found)]
    return bool(len(found) and np.ptp(found) <= FIXED)


def fit_ensemble(
    runs: Runs,
    laws: Sequence[str] = (),
    bootstrap: Bootstrap | None = None,
    *,
    cuts: Sequence[float] = CUTS,
    robust: Robust | None = None,
) -> Ensemble:
    """Fit several laws and weight them by their rolling forecasts of larger compute (`rank_laws`).

    Raises:
        FitError: when the runs determine none of the laws, or cannot rank them.
    """
    robust, bootstrap = robust or Robust(), bootstrap or Bootstrap()
    names = laws or FITTED[tuple(runs.inputs)]
    fits, reason = {}, ""
    for law in names:
        try:
            fits[law] = fit_runs(runs, Recipe(law, robust), bootstrap)
        except FitError as error:  # too few runs for a wide law: the others answer
            reason = reason or str(error)
    if not fits:
        raise FitError(reason)
    ranking = rank_laws(runs, tuple(fits), cuts=cuts, robust=robust, fits=fits)
    ordered = tuple(fits[law] for law in ranking["law"])
    return Ensemble(ordered, ranking, bootstrap.level)
