"""The best use of a compute budget by one law or by all forms, with intervals, as numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.fitting.bootstrap.quantiles import interval_of
from analysis.fitting.fit import Fit, FitError
from analysis.fitting.runs import size_of
from analysis.forecast.findings import Findings
from analysis.forecast.select import Ensemble
from analysis.laws.law import Optimum
from analysis.report.figures.axes import others_of

Span = tuple[float, float]
ALL_FORMS = "all forms"
QUANTITIES = ("N", "D", "loss")


@dataclass(frozen=True)
class BestUse:
    """The best size, tokens and loss at a compute; an interval is None where the draws bound none."""

    law: str
    C: float  # [FLOP], 6 N D
    value: Optimum
    N: Span | None
    D: Span | None
    loss: Span | None


def largest_compute(part: Findings) -> float:
    """The largest 6 N D of the runs [FLOP]."""
    return float(part.runs["flops_6nd"].max())


def basis_of(part: Findings) -> Fit | Ensemble:
    """What answers rest on: all forms where they were weighed, else the first law."""
    return part.ensemble or part.fits[0]


def best_use(basis: Fit | Ensemble, C: float) -> BestUse | None:
    """Optimum and intervals at C; None where a law has no finite one."""
    fits = [basis] if isinstance(basis, Fit) else basis.fits
    others = {name: value for fit in fits for name, value in others_of(fit).items()}
    found: dict[int, Optimum] = {}  # by identity: N, D and loss of one law need one optimum

    def log_of(name: str) -> Callable[[Any], float]:
        def value(law: Any) -> float:
            if id(law) not in found:
                found[id(law)] = law.optimum(C=C, **others)
            return math.log(getattr(found[id(law)], name))

        return value

    try:
        if isinstance(basis, Fit):
            logs = [log_of(name)(basis.law) for name in QUANTITIES]
        else:
            logs = [basis.predict(log_of(name)) for name in QUANTITIES]
    except (ValueError, ZeroDivisionError, NotImplementedError):  # an optimum at a limit, or none at all
        return None
    spans: dict[str, Span | None] = {}
    for name in QUANTITIES:
        try:
            low, high = _ends(basis, name, log_of(name), C)
            spans[name] = (math.exp(low), math.exp(high))
        except FitError:
            spans[name] = None
    called = basis.name if isinstance(basis, Fit) else ALL_FORMS
    return BestUse(called, C, Optimum(*map(math.exp, logs)), **spans)


def _ends(basis: Fit | Ensemble, name: str, log_of: Callable[[Any], float], C: float) -> Span:
    """Ends of the interval of log N, D or loss at C; that of a loss by all forms also allows for the form."""
    if isinstance(basis, Fit) or name != "loss":
        return basis.interval(log_of)
    reach = C / float(size_of(basis.best.runs.inputs).max())
    drawn, shares = basis.losses(lambda law: math.exp(log_of(law)), reach, np.random.default_rng(0))
    return interval_of(np.log(drawn), basis.level, shares)
