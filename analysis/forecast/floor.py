"""Whether the runs identify the irreducible loss E and, where they do not, which run would."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.fitting.fit import Fit, FitError
from analysis.forecast.heldout import noise
from analysis.laws.law import FLOPS_PER_PARAM_TOKEN, Law

IDENTIFIED = 0.2  # of the lowest loss: the widest interval of E that still says something about it
DRAWS = 240  # replicates that stand for what is not known
STEPS = 10  # doublings of the largest compute that are looked at


@dataclass(frozen=True)
class TellingRun:
    """The cheapest single run whose loss would identify E."""

    N: float
    D: float
    times: float  # its compute over the largest of the runs
    width: float  # [nats/token] of E's interval, to be expected after it


@dataclass(frozen=True)
class OpenFloor:
    """An E that the runs do not identify."""

    low: float  # [nats/token]
    high: float
    wanted: float  # [nats/token] width of the interval from which on E counts as identified
    run: TellingRun | None  # none at up to 2^STEPS times the largest compute


def open_floor(fit: Fit) -> OpenFloor | None:
    """What is not known of E; None where it is identified, and for a law or a fit without an interval of it.

    Candidates lie on the law's path of best N and D. To first order, the loss of a run that explains a share
    r² of the variance of E over the replicates, its own noise included, leaves a share 1 - r² of it. This is
    the outcome to be expected if the law has the right form, not a promise.
    """
    try:
        low, high = fit.interval(lambda law: law.E)
    except (FitError, AttributeError):
        return None
    wanted = IDENTIFIED * float(fit.runs.loss.min())
    if high - low <= wanted:
        return None
    return OpenFloor(low, high, wanted, _telling(fit, high - low, wanted))


def _telling(fit: Fit, width: float, wanted: float) -> TellingRun | None:
    inputs = fit.runs.inputs
    if set(inputs) != {"N", "D"}:
        return None
    largest = float((FLOPS_PER_PARAM_TOKEN * inputs["N"] * inputs["D"]).max())
    sigma = float(np.std(noise(fit)))
    draws = fit.draws[:DRAWS]
    floor = np.array([law.parameters["E"] for law in draws])
    for times in 2.0 ** np.arange(STEPS + 1):
        try:
            best = fit.law.optimum(times * largest)
        except ValueError:  # the path of best sizes ends
            return None
        left = _left(draws, floor, best.N, best.D, sigma)
        if width * left <= wanted:
            return TellingRun(best.N, best.D, float(times), width * left)
    return None


def _left(draws: tuple[Law, ...], floor: np.ndarray, N: float, D: float, sigma: float) -> float:
    """The share of E's standard deviation that is left once the loss of a run of this N and D is known."""
    seen = np.log([float(law(N=N, D=D)) for law in draws])
    together = float(np.mean((seen - seen.mean()) * (floor - floor.mean())))
    explained = together**2 / (float(floor.var()) * (float(seen.var()) + sigma**2))
    return float(np.sqrt(max(0.0, 1.0 - explained)))
