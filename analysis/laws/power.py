"""The power law of one input with a floor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from analysis.laws.form import Data, LawForm, Pins
from analysis.laws.law import Array, Law
from analysis.laws.power_sum import PowerSum


@dataclass(frozen=True)
class PowerLaw(Law):
    """L(x) = E + A x^-alpha.

    Source: Kaplan et al. 2020 (arXiv:2001.08361) eq. 1.1-1.3 without E; Alabdulmohsin et al. 2022
    (arXiv:2209.06640) call it M2.
    """

    E: float
    A: float
    alpha: float

    name: ClassVar[str] = "power"
    inputs: ClassVar[tuple[str, ...]] = ("x",)
    formula: ClassVar[str] = "L = E + A x^-alpha"
    wider: ClassVar[str | None] = "bnsl"

    def __call__(self, x: npt.ArrayLike) -> Array:
        return np.asarray(self.E + self.A * np.power(np.asarray(x, float), -self.alpha))[()]

    @classmethod
    def form(cls, data: Data, pins: Pins) -> LawForm:
        return PowerSum(cls, data, pins)
