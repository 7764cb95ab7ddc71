"""What holding a parameter buys, and whether the runs allow it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from analysis.fitting.checks import FitWarning
from analysis.fitting.fit import Fit
from analysis.fitting.profile import profile
from analysis.fitting.runs import FitError

AHEAD = 10.0  # times the largest inputs, where the intervals of both fits are compared
RESAMPLES = 300  # of the fit without the pin: only the ratio of two widths is taken


def pin_warnings(fit: Fit) -> tuple[FitWarning, ...]:
    """One warning for each parameter that a fit holds: the free estimate, and how much narrower it is held.

    The free estimate and its interval are those of the same fit with that one parameter free (by its
    profile); the width is that of the interval of the loss at ten times the largest inputs.
    """
    return tuple(_judge(fit, name, value) for name, value in fit.recipe.fixed.items())


def _judge(fit: Fit, name: str, value: float) -> FitWarning:
    fixed = {other: v for other, v in fit.recipe.fixed.items() if other != name}
    resamples = min(RESAMPLES, fit.bootstrap.resamples)
    try:
        free = fit.again(recipe=replace(fit.recipe, fixed=fixed), resamples=resamples)
        found = profile(free, name)
    except FitError as error:
        return FitWarning("pinned", f"{name} is held at {value:g}; with {name} free: {error}")
    low, high = found.interval
    allowed = low <= value <= high
    verdict = "the runs allow it" if allowed else "the runs exclude it"
    message = (
        f"{name} is held at {value:g}; {verdict}: free it is {found.estimate:.4g}, "
        f"{100 * found.level:g} % [{low:.4g}, {high:.4g}] by its profile."
    )
    if times := _narrower(free, fit):
        message += f" Intervals of the loss at {AHEAD:g} times the largest inputs are {times} because of it."
    return FitWarning("pinned" if allowed else "pin-excluded", message)


def _narrower(free: Fit, held: Fit) -> str:
    """How the pin changes the width of an interval beyond the runs, in words; empty where there is none."""
    at = {name: AHEAD * float(x.max()) for name, x in held.runs.inputs.items()}

    def loss(law: Any) -> float:
        return float(np.log(law(**at)))

    try:
        wide, narrow = (_width(each, loss) for each in (free, held))
    except FitError:
        return ""
    if not (wide > 0 and narrow > 0):
        return ""
    return f"{wide / narrow:.2g} times narrower" if wide > narrow else f"{narrow / wide:.2g} times wider"


def _width(fit: Fit, f: Callable[[Any], float]) -> float:
    low, high = fit.interval(f)
    return high - low
