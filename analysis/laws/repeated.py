"""Chinchilla for data that repeats, after Muennighoff et al."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from analysis.laws import jet
from analysis.laws.chinchilla import Chinchilla
from analysis.laws.form import EXPONENTS, LOG_LARGE, LOG_ZERO, Data, LawForm, Pins, Readout
from analysis.laws.jet import Jet
from analysis.laws.jet_form import JetForm
from analysis.laws.law import Array, Law
from analysis.laws.power_sum import PowerSum

SATURATED = 40.0
LARGEST = 300.0  # log of a size: beyond, powers of it are no floats


@dataclass(frozen=True)
class Repeated(Law):
    """Chinchilla in effective parameters and tokens: repeats of the U unique tokens are worth less and less.

    D' = U (1 + rd (1 - exp(-(D/U - 1)/rd))), and likewise N' from the parameters U_N that are optimal for U
    unique tokens; N' = N up to U_N.

    Source: Muennighoff et al. 2023 (arXiv:2305.16264) section 3.1, eq. 5 and 6.
    """

    E: float
    A: float
    B: float
    alpha: float
    beta: float
    rd: float  # R_D*: repeats after which repeated data is worth 1/e of fresh data
    rn: float  # R_N*: the same for excess parameters

    name: ClassVar[str] = "repeated"
    inputs: ClassVar[tuple[str, ...]] = ("N", "D", "U")
    formula: ClassVar[str] = (
        "L = E + A/N'^alpha + B/D'^beta, D' = U (1 + rd (1 - exp(-(D/U - 1)/rd))), N' likewise"
    )

    @property
    def chinchilla(self) -> Chinchilla:
        """The law where no token repeats and no parameter is in excess."""
        return Chinchilla(E=self.E, A=self.A, B=self.B, alpha=self.alpha, beta=self.beta)

    def __call__(self, N: npt.ArrayLike, D: npt.ArrayLike, U: npt.ArrayLike) -> Array:
        N, D, U = (np.asarray(v, float) for v in (N, D, U))
        unique = np.minimum(U, D)
        base = N
        if self.A > 0 and self.B > 0:  # else one of the terms is 0, and no parameter is in excess
            ratio = np.log(self.alpha * self.A) - np.log(self.beta * self.B)
            log_enough = (ratio + self.beta * np.log(unique)) / self.alpha
            base = np.minimum(N, np.exp(np.clip(log_enough, -LARGEST, LARGEST)))
        return self.chinchilla(N=_worth(N, base, self.rn), D=_worth(D, unique, self.rd))

    @classmethod
    def form(cls, data: Data, pins: Pins) -> LawForm:
        return RepeatedForm(cls, data)


def _worth(amount: Array, base: Array, decay: float) -> Array:
    worth: Array = base * (1.0 + decay * -np.expm1(-(amount / base - 1.0) / decay))
    return worth


class RepeatedForm(JetForm):
    """theta = (log_E, log_A, log_B, alpha, beta, log_rd, log_rn)."""

    names = ("log_E", "log_A", "log_B", "alpha", "beta", "log_rd", "log_rn")
    lower = np.array([LOG_ZERO] * 3 + [1e-3] * 2 + [np.log(0.05)] * 2)
    upper = np.array([LOG_LARGE] * 3 + [EXPONENTS[1]] * 2 + [np.log(1e4)] * 2)

    def __init__(self, law: type[Law], data: Data) -> None:
        super().__init__(law, data)
        inputs = {name: data.inputs[name] for name in ("N", "D")}
        self._once = PowerSum(Chinchilla, Data(inputs, data.centres, data.log_loss, data.centre))

    def jet(self, floor: Jet, a: Jet, b: Jet, alpha: Jet, beta: Jet, log_rd: Jet, log_rn: Jet) -> Jet:  # type: ignore[override]
        data = self.data
        n, d, u = (data.inputs[name] + data.centres[name] for name in ("N", "D", "U"))
        unique = np.minimum(u, d)
        # Back from the middle of the data: U_N, the parameters optimal for U tokens, is not relative to it.
        log_A, log_B = a + alpha * data.centres["N"], b + beta * data.centres["D"]
        ratio = jet.log(alpha) + log_A - jet.log(beta) - log_B
        enough = (ratio + beta * unique) * jet.exp(-jet.log(alpha))
        short = (n <= enough.value).astype(float)
        base = jet.where(short, Jet(np.broadcast_to(n, short.shape)), enough)
        size = base + _log_worth(Jet(n) - base, log_rn)
        amount = _log_worth(Jet((d - unique)[None]), log_rd) + unique
        terms = jet.logaddexp(log_A - alpha * size, log_B - beta * amount)
        return jet.logaddexp(floor, terms)

    def starts(self, weights: Array, log_loss: Array, thorough: bool) -> Array:
        data = self.data
        fresh = data.inputs["D"] + data.centres["D"] <= data.inputs["U"] + data.centres["U"] + 1e-9
        base = weights * fresh if fresh.sum() >= 6 else weights
        additive = self._once.starts(base, log_loss, thorough)
        decays = product((1.0, 4.0, 15.0, 60.0), (1.0, 5.0, 20.0))
        candidates = [
            np.concatenate([start, np.broadcast_to(np.log([rd, rn]), (len(start), 2))], axis=1)
            for rd, rn in decays
            for start in additive[:1]
        ]
        return self._screen(candidates, weights, log_loss, 4 if thorough else 1)

    @cached_property
    def readouts(self) -> Mapping[str, Readout]:
        return {**self._once.readouts, "rd": Readout.of("log_rd"), "rn": Readout.of("log_rn")}


def _log_worth(excess: Jet, log_decay: Jet) -> Jet:
    """log of 1 + r (1 - exp(-(e^excess - 1) / r)): by how much repeats multiply what they repeat."""
    near = (excess.value < SATURATED).astype(float)  # beyond, repeats have given all they can
    excess = jet.where(near, excess, Jet(np.full((1, 1), SATURATED)))
    decay = jet.exp(log_decay)
    repeats = (jet.exp(excess) - 1.0) * jet.exp(-log_decay)
    return jet.log((jet.exp(-repeats) * -1.0 + 1.0) * decay + 1.0)
