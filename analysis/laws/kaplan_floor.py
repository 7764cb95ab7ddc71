"""The joint law of Kaplan et al. with an irreducible loss added."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from analysis.laws import jet
from analysis.laws.form import EXPONENTS, LOG_LARGE, LOG_ZERO, Data, LawForm, Pins, Readout
from analysis.laws.jet import Jet
from analysis.laws.kaplan import SMALLEST, CoupledByBeta, KaplanForm, scales


@dataclass(frozen=True)
class KaplanFloor(CoupledByBeta):
    """L = E + [(Nc/N)^(alpha/beta) + Dc/D]^beta: the coupled surface with k = 1/beta.

    Source: Kaplan et al. 2020 (arXiv:2001.08361) eq. 1.5 for the term in brackets. We add the floor E.
    """

    E: float
    Nc: float
    Dc: float
    alpha: float
    beta: float

    name: ClassVar[str] = "kaplan_floor"
    formula: ClassVar[str] = "L = E + [(Nc/N)^(alpha/beta) + Dc/D]^beta"

    @classmethod
    def form(cls, data: Data, pins: Pins) -> LawForm:
        return KaplanFloorForm(cls, data)


class KaplanFloorForm(KaplanForm):
    """theta = (log_E, log_A, log_B, alpha, beta) of the coupled surface with k = 1/beta."""

    names = ("log_E", "log_A", "log_B", "alpha", "beta")
    lower = np.array([LOG_ZERO] * 3 + [SMALLEST] * 2)
    upper = np.array([LOG_LARGE] * 3 + [EXPONENTS[1]] * 2)
    shares = (1.0, 0.6, 0.3)

    def jet(self, floor: Jet, *others: Jet) -> Jet:  # type: ignore[override]
        return jet.logaddexp(floor, super().jet(*others))

    @cached_property
    def readouts(self) -> Mapping[str, Readout]:
        return {"E": self.amount("log_E"), **scales(self)}
