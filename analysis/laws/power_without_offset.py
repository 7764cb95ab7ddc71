"""The power law of one input without a floor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from analysis.laws.form import Data, LawForm, Pins
from analysis.laws.law import Array, Law
from analysis.laws.power_sum import PowerSum


@dataclass(frozen=True)
class PurePowerLaw(Law):
    """L(x) = A x^-alpha, without a floor.

    Source: Kaplan et al. 2020 (arXiv:2001.08361) eq. 1.1-1.3; M1 of Alabdulmohsin et al. 2022.
    """

    A: float
    alpha: float

    E: ClassVar[float] = 0.0
    name: ClassVar[str] = "power_without_offset"
    inputs: ClassVar[tuple[str, ...]] = ("x",)
    formula: ClassVar[str] = "L = A x^-alpha"
    wider: ClassVar[str | None] = "power"

    def __call__(self, x: npt.ArrayLike) -> Array:
        return np.asarray(self.A * np.power(np.asarray(x, float), -self.alpha))[()]

    @classmethod
    def form(cls, data: Data, pins: Pins) -> LawForm:
        return PowerSum(cls, data, pins, offset=False)
