"""Rolling forecasts: at ever earlier cuts, laws fitted to the smaller runs forecast the larger ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.fitting.bootstrap.replicates import Bootstrap
from analysis.fitting.bootstrap.variance import scatter, student
from analysis.fitting.fit import Fit, fit_runs
from analysis.fitting.recipe import Recipe
from analysis.fitting.runs import FitError, Runs
from analysis.laws.form import AT_BOUND
from analysis.laws.law import Array

ALONE = Bootstrap(resamples=0)
CUTS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)  # shares of the runs, by compute, that are held out
MANY = 5000  # runs from which every other cut says enough
END = (0.25,)  # the one cut of a curve: a law of six parameters takes a second to fit
STEP = 1e-4  # in a law's coordinates, for the derivatives of a forecast
FREEDOM = 2.5  # of all cuts together; chosen on the public tables
PATIENCE = 200  # Newton steps; on the public tables more change the forecasts of no cut
LEAST_FITTED = 0.3  # share of the runs; fits to fewer err for want of runs, and judge no form
RUNS_COUNT = 2  # power of the number of fitted runs, by which a cut counts
LARGEST_ERROR = 10.0  # of a log loss; a law without a finite forecast is this wrong


@dataclass(frozen=True)
class Cut:
    """Forecasts of the runs (h,) beyond one cut by every law, fitted to the runs before it."""

    fitted: int  # runs before the cut
    reach: Array  # (h,) compute over the largest fitted compute
    errors: Mapping[str, Array]  # law → log predicted minus log observed loss (h,)
    expected: Mapping[str, Array]  # law → standard deviation of that error if the law is true (h,)


def cuts_for(runs: Runs) -> tuple[float, ...]:
    """The cuts that runs can pay for: every other one of more than `MANY`."""
    return END if tuple(runs.inputs) == ("x",) else few_cuts(runs.n)


def few_cuts(n: int) -> tuple[float, ...]:
    """The cuts of n runs."""
    return CUTS[::2] if n > MANY else CUTS


def roll(runs: Runs, recipes: Sequence[Recipe], cuts: Sequence[float] = CUTS) -> tuple[Cut, ...]:
    """Forecast the runs beyond each cut by the law of each recipe; cuts that leave too few runs are absent.

    Raises:
        FitError: when no cut leaves enough runs for every law.
    """
    compute = runs.compute
    found: dict[int, Cut] = {}
    reason = "no cut"
    for cut in cuts:
        held = largest(compute, max(1, round(cut * runs.n)))
        before = int((~held).sum())
        if before == 0 or before in found:  # runs of one budget are held out together
            continue
        if found and before < LEAST_FITTED * runs.n:
            continue
        ahead = runs.take(held)
        try:
            fits = {r.law: fit_runs(runs.take(~held), r, ALONE, PATIENCE) for r in recipes}
        except FitError as error:  # this cut leaves too little; the next may be smaller
            reason = str(error)
            continue
        if before <= max(len(fit.theta) for fit in fits.values()):  # each passes through its runs
            reason = f"{before} runs before the cut are too few"
            continue
        pairs = {law: _forecast(fit, ahead) for law, fit in fits.items()}
        found[before] = Cut(
            before,
            compute[held] / compute[~held].max(),
            {law: error for law, (error, _) in pairs.items()},
            {law: deviation for law, (_, deviation) in pairs.items()},
        )
    if not found:
        raise FitError(f"laws cannot be ranked: no cut leaves enough runs of smaller compute ({reason})")
    return tuple(found.values())


def error_of(cuts: Sequence[Cut], law: str) -> float:
    """The rms relative error of a law's rolling forecasts; a cut counts by the square of its fitted runs."""
    share = np.array([cut.fitted for cut in cuts], dtype=float) ** RUNS_COUNT
    squares = [float(np.mean(cut.errors[law] ** 2)) for cut in cuts]
    return float(np.sqrt(np.average(squares, weights=share)))


@dataclass(frozen=True)
class Drift:
    """By how much the form of a law misses, as a standard deviation of log loss that grows with reach.

    As far as rolling forecasts reached, it grows with ln reach, as that of a form whose exponent is a little
    off. Beyond, nothing was tested: there it grows as a random walk does, with the square root.
    """

    rate: float = 0.0  # a factor of e of compute beyond the runs
    tested: float = 0.0  # ln of the furthest reach of a rolling forecast

    def at(self, reach: npt.ArrayLike) -> Array:
        """The standard deviation at a reach, of its shape."""
        far = log_reach(reach)
        return self.rate * np.minimum(far, np.sqrt(self.tested * far))


def drift_of(cuts: Sequence[Cut], law: str) -> Drift:
    """The drift of a law, from its rolling forecasts.

    A form that is a little wrong misses by more the further it reaches, and its own bootstrap cannot know.
    What the squared errors of rolling forecasts exceed those of a true form by, from sampling and noise, is
    set to rate² ln² reach. A cut counts by the square of how many runs were fitted: early ones err for want
    of runs, not of form, and by more than the delta method expects; so of three or more, the one that errs
    most for its reach is left out. Cuts are nested: together they count as FREEDOM degrees of freedom of
    Student's t. 0 where the errors are no larger than expected.

    Source: the excess variance of method-of-moments random effects, DerSimonian & Laird 1986 (Controlled
    Clinical Trials 7); a discrepancy between simulator and truth, Kennedy & O'Hagan 2001 (JRSS B 63).
    """
    excess = np.array([np.mean(cut.errors[law] ** 2 - cut.expected[law] ** 2) for cut in cuts])
    grown = np.array([np.mean(log_reach(cut.reach) ** 2) for cut in cuts])
    share = np.array([cut.fitted for cut in cuts], dtype=float) ** RUNS_COUNT
    if len(cuts) > 2:
        share[np.argmax(excess / grown)] = 0.0
    rate = float(np.sqrt(max(share @ excess / (share @ grown), 0.0))) * student(FREEDOM)
    return Drift(rate, max(float(log_reach(cut.reach).max()) for cut in cuts))


def log_reach(reach: npt.ArrayLike) -> Array:
    """ln of compute over the largest fitted compute; 0 inside."""
    inside: Array = np.log(np.maximum(np.asarray(reach, dtype=float), 1.0))
    return inside


def largest(compute: Array, count: int) -> npt.NDArray[np.bool_]:
    """The `count` runs of largest compute, and those that tie with the last of them."""
    cut = np.sort(compute)[-count]
    held: npt.NDArray[np.bool_] = compute >= cut * (1 - 1e-9)
    return held


def _forecast(fit: Fit, ahead: Runs) -> tuple[Array, Array]:
    """Errors (h,) of forecasts, and their standard deviations by the delta method if the law is true."""
    inputs = ahead.only(fit.law.inputs).inputs
    form, theta = fit.form, fit.theta
    free = (theta > form.lower + AT_BOUND) & (theta < form.upper - AT_BOUND)
    steps = STEP * np.eye(len(theta))[free]
    slope = (form.value(theta + steps) - form.value(theta - steps)) / (2 * STEP)  # (p, n)
    residual = fit.data.log_loss - form.value(theta[None])[0]
    noise = float(np.std(residual)) * scatter(form, theta, fit.runs, residual).widening
    covariance = np.linalg.pinv(slope @ slope.T, hermitian=True) * noise**2
    up, down = form.laws(theta + steps), form.laws(theta - steps)
    with np.errstate(all="ignore"):  # a law far outside its runs may leave what a float holds
        tilt = np.array([np.log(a(**inputs)) - np.log(b(**inputs)) for a, b in zip(up, down, strict=True)])
        error = np.log(fit.law(**inputs)) - np.log(ahead.loss)
    tilt = np.nan_to_num(tilt / (2 * STEP), nan=0.0, posinf=0.0, neginf=0.0)
    sampling = np.einsum("ih,ij,jh->h", tilt, covariance, tilt)
    bounded = np.clip(np.nan_to_num(error, nan=LARGEST_ERROR), -LARGEST_ERROR, LARGEST_ERROR)
    return bounded, np.sqrt(np.maximum(sampling, 0.0) + noise**2)
