"""The over-training law of Gadre et al.: Chinchilla with one exponent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from analysis.laws.chinchilla import Chinchilla
from analysis.laws.form import Data, LawForm, Pins, Readout
from analysis.laws.law import FLOPS_PER_PARAM_TOKEN, Array, Law, Optimum
from analysis.laws.power_sum import PowerSum


@dataclass(frozen=True)
class OverTraining(Law):
    """L = E + (a M^eta + b M^-eta) C^-eta, with M = D/N and C = 6 N D: Chinchilla with alpha = beta = 2 eta.

    Source: Gadre et al. 2024 (arXiv:2403.08540) eq. 4: over-training moves a
    line in log loss without tilting it.
    """

    E: float
    a: float
    b: float
    eta: float

    name: ClassVar[str] = "gadre"
    inputs: ClassVar[tuple[str, ...]] = ("N", "D")
    formula: ClassVar[str] = "L = E + (a M^eta + b M^-eta) C^-eta, M = D/N"
    wider: ClassVar[str | None] = "chinchilla"
    fixes_growth: ClassVar[bool] = True  # equal exponents: the best N grows as C^.5 whatever the runs say

    @property
    def chinchilla(self) -> Chinchilla:
        """The same surface in N and D."""
        unit = FLOPS_PER_PARAM_TOKEN**-self.eta
        return Chinchilla(E=self.E, A=self.a * unit, B=self.b * unit, alpha=2 * self.eta, beta=2 * self.eta)

    @property
    def alpha(self) -> float:
        """Exponent of N, and of D."""
        return 2 * self.eta

    @property
    def beta(self) -> float:
        """Exponent of D, and of N."""
        return 2 * self.eta

    @property
    def growth(self) -> float:
        """The a of N ∝ C^a."""
        return self.chinchilla.growth

    @classmethod
    def of(cls, law: Chinchilla) -> OverTraining:
        """From a Chinchilla surface with equal exponents."""
        eta = law.alpha / 2
        unit = FLOPS_PER_PARAM_TOKEN**eta
        return cls(E=law.E, a=law.A * unit, b=law.B * unit, eta=eta)

    def __call__(self, N: npt.ArrayLike, D: npt.ArrayLike) -> Array:
        return self.chinchilla(N=N, D=D)

    def optimum(self, C: float, **others: float) -> Optimum:
        return self.chinchilla.optimum(C)

    @classmethod
    def form(cls, data: Data, pins: Pins) -> LawForm:
        return OverTrainingForm(cls, data, pins)


class OverTrainingForm(PowerSum):
    """The coordinates of Chinchilla with alpha = beta."""

    ties = (("alpha", "beta"),)

    def __init__(self, law: type[Law], data: Data, pins: Pins) -> None:
        super().__init__(law, data, Pins(pins.values, (*pins.ties, *self.ties)))

    @cached_property
    def readouts(self) -> Mapping[str, Readout]:
        unit = 0.5 * np.log(FLOPS_PER_PARAM_TOKEN)  # a = A 6^eta, eta = alpha / 2
        return {
            "E": self.amount("log_E"),
            "a": self.amount("log_A", alpha=self.data.centres["N"] + unit),
            "b": self.amount("log_B", beta=self.data.centres["D"] + unit),
            "eta": Readout({"alpha": 0.5}),
        }
