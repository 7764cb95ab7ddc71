"""The joint law of Kaplan et al. with an irreducible loss added."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from analysis.laws import jet
from analysis.laws.chinchilla import Chinchilla
from analysis.laws.coupled import Coupled
from analysis.laws.form import EXPONENTS, LOG_LARGE, LOG_ZERO, Data, LawForm, Pins, Readout
from analysis.laws.jet import Jet
from analysis.laws.jet_form import JetForm
from analysis.laws.kaplan import SMALLEST, scales
from analysis.laws.law import Array, Law, Optimum
from analysis.laws.power_sum import PowerSum


@dataclass(frozen=True)
class KaplanFloor(Law):
    """L = E + [(Nc/N)^(alpha/beta) + Dc/D]^beta: the coupled surface with k = 1/beta.

    Source: Kaplan et al. 2020 (arXiv:2001.08361) eq. 1.5 for the term in brackets. We differ by the floor E.
    """

    E: float
    Nc: float
    Dc: float
    alpha: float
    beta: float

    name: ClassVar[str] = "kaplan_floor"
    inputs: ClassVar[tuple[str, ...]] = ("N", "D")
    formula: ClassVar[str] = "L = E + [(Nc/N)^(alpha/beta) + Dc/D]^beta"
    wider: ClassVar[str | None] = "coupled"

    @property
    def coupled(self) -> Coupled:
        """The same surface in the coupled form."""
        A, B = self.Nc**self.alpha, self.Dc**self.beta
        return Coupled(E=self.E, A=A, B=B, alpha=self.alpha, beta=self.beta, k=1 / self.beta)

    @property
    def growth(self) -> float:
        """The a of N ∝ C^a."""
        return self.coupled.growth

    def __call__(self, N: npt.ArrayLike, D: npt.ArrayLike) -> Array:
        return self.coupled(N=N, D=D)

    def optimum(self, C: float, **others: float) -> Optimum:
        return self.coupled.optimum(C)

    @classmethod
    def form(cls, data: Data, pins: Pins) -> LawForm:
        return KaplanFloorForm(cls, data)


class KaplanFloorForm(JetForm):
    """theta = (log_E, log_A, log_B, alpha, beta) of the coupled surface with k = 1/beta."""

    names = ("log_E", "log_A", "log_B", "alpha", "beta")
    lower = np.array([LOG_ZERO] * 3 + [SMALLEST] * 2)
    upper = np.array([LOG_LARGE] * 3 + [EXPONENTS[1]] * 2)

    def jet(self, floor: Jet, a: Jet, b: Jet, alpha: Jet, beta: Jet) -> Jet:  # type: ignore[override]
        k = jet.exp(-jet.log(beta))
        by_size, by_data = a - alpha * self.data.inputs["N"], b - beta * self.data.inputs["D"]
        return jet.logaddexp(floor, jet.logaddexp(k * by_size, k * by_data) * beta)

    def starts(self, weights: Array, log_loss: Array, thorough: bool) -> Array:
        additive = PowerSum(Chinchilla, self.data).starts(weights, log_loss, thorough)
        shares = (np.array([1.0, 1.0, 1.0, share, share]) for share in (1.0, 0.6, 0.3))
        candidates = [start for share in shares for start in additive * share]
        return self._screen(candidates, weights, log_loss, 3 if thorough else 1)

    @cached_property
    def readouts(self) -> Mapping[str, Readout]:
        return {"E": self.amount("log_E"), **scales(self)}
