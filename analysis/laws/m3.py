"""A power law that levels off: M3 of Alabdulmohsin et al."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from analysis.laws import jet
from analysis.laws.form import EXPONENTS, LOG_LARGE, LOG_ZERO, Data, LawForm, Pins, Readout
from analysis.laws.jet import Jet
from analysis.laws.jet_form import LOG_SCALE, JetForm
from analysis.laws.law import Array, Law


@dataclass(frozen=True)
class M3(Law):
    """L = A (1/x + g)^c: a power law that levels off beyond x = 1/g.

    Source: Alabdulmohsin, Neyshabur & Zhai 2022 (arXiv:2209.06640), as in their released estimator, which has
    no separate floor: A g^c is the limit.
    """

    A: float
    g: float
    c: float

    name: ClassVar[str] = "m3"
    inputs: ClassVar[tuple[str, ...]] = ("x",)
    formula: ClassVar[str] = "L = A (1/x + g)^c"

    def __call__(self, x: npt.ArrayLike) -> Array:
        return np.asarray(self.A * (1.0 / np.asarray(x, float) + self.g) ** self.c)[()]

    @classmethod
    def form(cls, data: Data, pins: Pins) -> LawForm:
        return M3Form(cls, data)


class M3Form(JetForm):
    """theta = (log_A, log_g, c), g relative to 1 / the middle of x."""

    names = ("log_A", "log_g", "c")
    lower = np.array([LOG_ZERO, LOG_SCALE[0], EXPONENTS[0]])
    upper = np.array([LOG_LARGE, LOG_SCALE[1], EXPONENTS[1]])

    def jet(self, a: Jet, log_g: Jet, c: Jet) -> Jet:  # type: ignore[override]
        return a + c * jet.logaddexp(log_g, Jet(-self.data.inputs["x"][None]))

    def starts(self, weights: Array, log_loss: Array, thorough: bool) -> Array:
        x = self.data.inputs["x"]
        candidates = []
        for log_g in np.linspace(-x.max() - 2, -x.min() + 2, 9):
            shape = np.logaddexp(log_g, -x)[None]
            mean, level = ((weights * v).sum(1) / weights.sum(1) for v in (shape, log_loss))
            gap = shape - mean[:, None]
            c = (weights * gap * log_loss).sum(1) / np.maximum((weights * gap * gap).sum(1), 1e-300)
            candidates.append(np.stack([level - c * mean, np.full_like(c, log_g), c], axis=1))
        return self._screen(candidates, weights, log_loss, 3 if thorough else 2)

    @cached_property
    def readouts(self) -> Mapping[str, Readout]:
        middle = self.data.centres["x"]
        return {
            "A": self.amount("log_A", c=middle),
            "g": Readout({"log_g": 1.0}, -middle, log=True),
            "c": Readout.of("c"),
        }
