"""Loss between a floor and chance level, which repeated data can raise again."""

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


@dataclass(frozen=True)
class Overfit(Law):
    """L = E + (L0 - E) h / (1 + h), h = a/N^alpha + b/D^beta + c N^gamma/U^delta.

    The last term is overfitting to U unique tokens: it grows with size, so that repeats can raise the loss.

    Source: arXiv:2605.09189, the loss of N parameters, T tokens and D unique tokens (here D and U).
    """

    E: float
    L0: float  # loss of guessing
    a: float
    b: float
    c: float
    alpha: float
    beta: float
    gamma: float
    delta: float

    name: ClassVar[str] = "overfit"
    inputs: ClassVar[tuple[str, ...]] = ("N", "D", "U")
    formula: ClassVar[str] = "L = E + (L0 - E) h/(1 + h), h = a/N^alpha + b/D^beta + c N^gamma/U^delta"

    def __call__(self, N: npt.ArrayLike, D: npt.ArrayLike, U: npt.ArrayLike) -> Array:
        N, D, U = (np.asarray(v, float) for v in (N, D, U))
        h = self.a * N**-self.alpha + self.b * D**-self.beta + self.c * N**self.gamma * U**-self.delta
        return np.asarray(self.E + (self.L0 - self.E) * h / (1 + h))[()]

    @classmethod
    def form(cls, data: Data, pins: Pins) -> LawForm:
        return OverfitForm(cls, data)


class OverfitForm(JetForm):
    """theta = (log_E, log_span, log_a, log_b, log_c, alpha, beta, gamma, delta); L0 = E + span."""

    names = ("log_E", "log_span", "log_a", "log_b", "log_c", "alpha", "beta", "gamma", "delta")
    lower = np.array([LOG_ZERO] * 5 + [EXPONENTS[0]] * 4)
    upper = np.array([LOG_LARGE] * 5 + [EXPONENTS[1]] * 4)
    amounts = ("log_E", "log_span", "log_a", "log_b", "log_c")
    owners = {"alpha": "log_a", "beta": "log_b"}  # noqa: RUF012

    def jet(  # type: ignore[override]
        self,
        floor: Jet,
        span: Jet,
        a: Jet,
        b: Jet,
        c: Jet,
        alpha: Jet,
        beta: Jet,
        gamma: Jet,
        delta: Jet,
    ) -> Jet:
        n, d, u = (self.data.inputs[name] for name in ("N", "D", "U"))
        fresh = jet.logaddexp(a - alpha * n, b - beta * d)
        log_h = jet.logaddexp(fresh, c + gamma * n - delta * u)
        return jet.logaddexp(floor, span - jet.softplus(-log_h))

    def starts(self, weights: Array, log_loss: Array, thorough: bool) -> Array:
        inputs = {name: self.data.inputs[name] for name in ("N", "D")}
        once = PowerSum(Chinchilla, Data(inputs, self.data.centres, self.data.log_loss, self.data.centre))
        E, A, B, alpha, beta = np.moveaxis(once.starts(weights, log_loss, thorough)[0], 1, 0)
        highest = log_loss.max(axis=1)
        candidates = []
        for above, c, gamma, delta in product((0.3, 1.0), (-6.0, -3.5, -1.5), (0.2, 0.6), (0.3, 0.8)):
            span = np.log(np.maximum(np.exp(highest + above) - np.exp(E), 1e-6))
            fixed = [np.full_like(E, v) for v in (gamma, delta)]
            candidates.append(
                np.stack([E, span, A - span, B - span, np.full_like(E, c), alpha, beta, *fixed], axis=1)
            )
        return self._screen(candidates, weights, log_loss, 6 if thorough else 1)

    @cached_property
    def readouts(self) -> Mapping[str, Readout]:
        n, d, u = (self.data.centres[name] for name in ("N", "D", "U"))
        return {
            "E": self.amount("log_E"),
            "span": self.amount("log_span"),
            "a": Readout({"log_a": 1.0, "alpha": n}, log=True, amount="log_a"),
            "b": Readout({"log_b": 1.0, "beta": d}, log=True, amount="log_b"),
            "c": Readout({"log_c": 1.0, "gamma": -n, "delta": u}, log=True, amount="log_c"),
            **{name: Readout.of(name) for name in self.names[5:]},
        }

    def laws(self, theta: Array) -> list[Law]:
        E, span, *rest = (self.read(readout, theta).tolist() for readout in self.readouts.values())
        return [Overfit(e, e + s, *others) for e, s, *others in zip(E, span, *rest, strict=True)]
