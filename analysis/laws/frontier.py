"""The frontier of loss against compute alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from analysis.laws.form import Data, LawForm, Pins
from analysis.laws.law import Array, Law
from analysis.laws.power_sum import PowerSum


@dataclass(frozen=True)
class Frontier(Law):
    """L(C) = E + A C^-alpha: the lowest loss that compute C [FLOP] buys.

    Source: Hestness et al. 2017 (arXiv:1712.00409) for a power law with a constant; Kaplan et al. 2020
    (arXiv:2001.08361) eq. 1.3 without E.
    """

    E: float
    A: float
    alpha: float

    name: ClassVar[str] = "frontier"
    inputs: ClassVar[tuple[str, ...]] = ("C",)
    formula: ClassVar[str] = "L = E + A C^-alpha"

    def __call__(self, C: npt.ArrayLike) -> Array:
        return np.asarray(self.E + self.A * np.power(np.asarray(C, float), -self.alpha))[()]

    @classmethod
    def form(cls, data: Data, pins: Pins) -> LawForm:
        return PowerSum(cls, data, pins)
