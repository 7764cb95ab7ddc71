"""From a plateau through a power law to a floor: M4 of Alabdulmohsin et al."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from analysis.laws import jet
from analysis.laws.form import EXPONENTS, LOG_LARGE, LOG_ZERO, Data, LawForm, Pins, Readout
from analysis.laws.jet import Jet
from analysis.laws.jet_form import JetForm
from analysis.laws.law import Array, Law
from analysis.laws.power import PowerLaw
from analysis.laws.power_sum import PowerSum

ROOT_STEPS = 100
CLOSE = 1e-5  # relative step that leaves, the next being of its cube, an error below a float's


@dataclass(frozen=True)
class M4(Law):
    """(L - E) / (L0 - L)^a = A x^-c: from L0 at small x, through a power law, to the floor E.

    Source: Alabdulmohsin, Neyshabur & Zhai 2022 (arXiv:2209.06640), the estimator they recommend.
    """

    E: float
    L0: float
    A: float
    a: float
    c: float

    name: ClassVar[str] = "m4"
    inputs: ClassVar[tuple[str, ...]] = ("x",)
    formula: ClassVar[str] = "(L - E)/(L0 - L)^a = A x^-c"

    def __call__(self, x: npt.ArrayLike) -> Array:
        span = self.L0 - self.E
        if not span > 0:  # a plateau that is the floor
            return np.full(np.shape(x), self.E)[()]
        target = np.log(self.A) - self.c * np.log(np.asarray(x, float)) - (1 - self.a) * np.log(span)
        return np.asarray(self.E + span / (1.0 + np.exp(-log_odds(target, np.asarray(self.a)))))[()]

    @classmethod
    def form(cls, data: Data, pins: Pins) -> LawForm:
        return M4Form(cls, data)


def log_odds(target: Array, a: Array) -> Array:
    """Solve log s(u) - a log s(-u) = target for u, with s the logistic function; arrays broadcast.

    The left side is u for small u and a u for large, and between them b log(1 + e^-|u|) with b = a - 1 on
    top. Halley's steps from the line that replaces this bend by its height take at most 12 for any a in
    [1e-8, 1e6]; Newton's need a bracket where a is small, and many more.
    """
    target, a = np.broadcast_arrays(np.asarray(target, float), np.asarray(a, float))
    b = a - 1.0
    line = target - b * np.log(2.0)
    u = np.where(line >= 0, line / a, line)
    for _ in range(ROOT_STEPS):
        positive = u >= 0
        small = np.exp(-np.abs(u))
        gap = np.where(positive, a, 1.0) * u + b * np.log1p(small) - target
        up = np.where(positive, 1.0, small) / (1.0 + small)
        slope = 1.0 + b * up
        step = gap / slope
        bend = 0.5 * step * (1.0 - up) * (1.0 - 1.0 / slope)  # step × second over twice the first derivative
        step /= 1.0 - np.clip(bend, -0.5, 0.5)
        u = u - step
        if np.all(np.abs(step) <= CLOSE * (1.0 + np.abs(u))):
            return np.asarray(u)
    return np.asarray(u)


class M4Form(JetForm):
    """theta = (log_E, log_span, log_A, log_a, c); L0 = E + span."""

    names = ("log_E", "log_span", "log_A", "log_a", "c")
    lower = np.array([LOG_ZERO, LOG_ZERO, -40.0, np.log(1e-3), EXPONENTS[0]])
    upper = np.array([LOG_LARGE, 2 * LOG_LARGE, 40.0, np.log(20.0), EXPONENTS[1]])

    creep = 1e-2
    patience = 200  # plateau, floor and the bend between them trade off where runs reach only one of them

    def jet(self, floor: Jet, span: Jet, log_A: Jet, log_a: Jet, c: Jet) -> Jet:  # type: ignore[override]
        a = jet.exp(log_a)
        # (L - E)/(L0 - L)^a has the loss's unit to the power 1 - a, and A is centred as if it had that unit.
        target = log_A + a * self.data.centre - c * self.data.inputs["x"] - (1.0 - a) * span
        u = Jet(log_odds(target.value, a.value))
        small = np.exp(-np.abs(u.value))
        up = np.where(u.value >= 0, 1.0, small) / (1.0 + small)
        down, tail, over_slope = 1.0 - up, np.log1p(small), 1.0 / (1.0 + (a.value - 1.0) * up)
        rising, falling = np.maximum(u.value, 0.0) + tail, np.maximum(-u.value, 0.0) + tail
        # Each step with the slope held fixed makes one more order of derivatives exact; the value is already.
        for _ in range(2):
            gap = a * u.apply(rising, up, up * down) - u.apply(falling, -down, up * down) - target
            u = u - gap * over_slope
        return jet.logaddexp(floor, span - u.apply(falling, -down, up * down))

    def starts(self, weights: Array, log_loss: Array, thorough: bool) -> Array:
        E, A, alpha = np.moveaxis(PowerSum(PowerLaw, self.data).starts(weights, log_loss, thorough)[0], 1, 0)
        highest = log_loss.max(axis=1)
        candidates = []
        for above, log_a, steeper in product((0.1, 0.7, 2.0), np.log([0.05, 0.4, 1.0]), (1.0, 1.5)):
            span = np.log(np.maximum(np.exp(highest + above) - np.exp(E), 1e-6))
            log_A = A + np.exp(log_a) * (span - self.data.centre)
            candidates.append(np.stack([E, span, log_A, np.full_like(E, log_a), steeper * alpha], axis=1))
        return self._screen(candidates, weights, log_loss, 4 if thorough else 2)

    @cached_property
    def readouts(self) -> Mapping[str, Readout]:
        return {
            "E": self.amount("log_E"),
            "span": self.amount("log_span"),
            # No term of the loss: small as it may be, it is never 0.
            "A": Readout({"log_A": 1.0, "c": self.data.centres["x"]}, self.data.centre, log=True),
            "a": Readout.of("log_a"),
            "c": Readout.of("c"),
        }

    def laws(self, theta: Array) -> list[Law]:
        E, span, A, a, c = (self.read(readout, theta).tolist() for readout in self.readouts.values())
        return [M4(e, e + s, *rest) for e, s, *rest in zip(E, span, A, a, c, strict=True)]
