"""Laws of one input x beyond the power law: saturation at the start (M3, M4) and a change of slope (BNSL)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from analysis.laws.law import Array, Law

ROOT_STEPS = 100


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

    def __call__(self, x: npt.ArrayLike) -> Array:
        return np.asarray(self.A * (1.0 / np.asarray(x, float) + self.g) ** self.c)[()]


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

    def __call__(self, x: npt.ArrayLike) -> Array:
        span = self.L0 - self.E
        target = np.log(self.A) - self.c * np.log(np.asarray(x, float)) - (1 - self.a) * np.log(span)
        return np.asarray(self.E + span / (1.0 + np.exp(-log_odds(target, np.asarray(self.a)))))[()]


def log_odds(target: Array, a: Array) -> Array:
    """Solve log s(u) - a log s(-u) = target for u, with s the logistic function; arrays broadcast.

    The left side rises in u, between u + (small) and a u: Newton steps, kept inside a bracket.
    """
    target, a = np.broadcast_arrays(np.asarray(target, float), np.asarray(a, float))
    low = np.minimum(target, 0.0) - 2.0
    high = np.maximum(target, 0.0) / np.maximum(a, 1e-8) + 2.0
    u = np.clip(target, low, high)
    for _ in range(ROOT_STEPS):
        value = -np.logaddexp(0, -u) + a * np.logaddexp(0, u) - target
        low, high = np.where(value < 0, u, low), np.where(value > 0, u, high)
        up = np.exp(-np.logaddexp(0, -u))
        step = value / ((1.0 - up) + a * up)
        new = u - step
        new = np.where((new < low) | (new > high), 0.5 * (low + high), new)
        if np.all(np.abs(new - u) <= 1e-15 * (1 + np.abs(u))):
            return np.asarray(new)
        u = new
    return np.asarray(u)


@dataclass(frozen=True)
class BrokenPowerLaw(Law):
    """L = E + A x^-c0 (1 + (x/d)^(1/f))^(-c1 f): slope c0 before x = d, c0 + c1 after; f softens the break.

    Source: Caballero et al. 2022 (arXiv:2210.14891) eq. 1 with one break. A break beyond the data is
    hardly identified: their noiseless example needs x up to 405 for a break at 613, our fit up to 560.
    """

    E: float
    A: float
    c0: float
    c1: float
    d: float
    f: float

    name: ClassVar[str] = "bnsl"
    inputs: ClassVar[tuple[str, ...]] = ("x",)

    def __call__(self, x: npt.ArrayLike) -> Array:
        log_x = np.log(np.asarray(x, float))
        bent = np.logaddexp(0.0, (log_x - np.log(self.d)) / self.f)
        return np.asarray(self.E + self.A * np.exp(-self.c0 * log_x - self.c1 * self.f * bent))[()]
