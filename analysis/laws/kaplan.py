"""The joint law of Kaplan et al., which has no floor."""

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
from analysis.laws.law import Array, Law, Optimum
from analysis.laws.power_sum import PowerSum

SMALLEST = 5e-3  # of an exponent: of a smaller one, Nc is more than a float holds


@dataclass(frozen=True)
class CoupledByBeta(Law):
    """A coupled surface with k = 1/beta, A = Nc^alpha and B = Dc^beta."""

    inputs: ClassVar[tuple[str, ...]] = ("N", "D")
    wider: ClassVar[str | None] = "coupled"
    floored: ClassVar[bool] = False

    @property
    def coupled(self) -> Coupled:
        """The same surface in the coupled form."""
        Nc, Dc, alpha, beta = (self.parameters[name] for name in ("Nc", "Dc", "alpha", "beta"))
        return Coupled(self.parameters.get("E", 0.0), Nc**alpha, Dc**beta, alpha, beta, 1 / beta)

    @property
    def growth(self) -> float:
        """The a of N ∝ C^a."""
        return self.coupled.growth

    def __call__(self, N: npt.ArrayLike, D: npt.ArrayLike) -> Array:
        return self.coupled(N=N, D=D)

    def optimum(self, C: float, **others: float) -> Optimum:
        return self.coupled.optimum(C)


@dataclass(frozen=True)
class Kaplan(CoupledByBeta):
    """L = [(Nc/N)^(alpha/beta) + Dc/D]^beta: no floor, so its exponents cannot be compared with those of laws
    that have one.

    Source: Kaplan et al. 2020 (arXiv:2001.08361) eq. 1.5.
    """

    Nc: float
    Dc: float
    alpha: float
    beta: float

    name: ClassVar[str] = "kaplan"
    formula: ClassVar[str] = "L = [(Nc/N)^(alpha/beta) + Dc/D]^beta"

    @classmethod
    def form(cls, data: Data, pins: Pins) -> LawForm:
        return KaplanForm(cls, data)


class KaplanForm(JetForm):
    """theta = (log_A, log_B, alpha, beta) of the coupled surface with k = 1/beta and no floor."""

    names: tuple[str, ...] = ("log_A", "log_B", "alpha", "beta")
    lower = np.array([LOG_ZERO] * 2 + [SMALLEST] * 2)
    upper = np.array([LOG_LARGE] * 2 + [EXPONENTS[1]] * 2)
    shares = (1.0, 0.3, 0.6)  # of the exponents of an additive law, to start from

    def jet(self, a: Jet, b: Jet, alpha: Jet, beta: Jet) -> Jet:  # type: ignore[override]
        k = jet.exp(-jet.log(beta))
        by_size, by_data = a - alpha * self.data.inputs["N"], b - beta * self.data.inputs["D"]
        return jet.logaddexp(k * by_size, k * by_data) * beta

    def starts(self, weights: Array, log_loss: Array, thorough: bool) -> Array:
        offset = self.floor in self.names
        additive = PowerSum(Chinchilla, self.data, offset=offset).starts(weights, log_loss, thorough)
        scaled = [np.array([1.0] * (len(self.names) - 2) + [share, share]) for share in self.shares]
        candidates = [start for scale in scaled for start in additive * scale]
        return self._screen(candidates, weights, log_loss, 3 if thorough else 1)

    @cached_property
    def readouts(self) -> Mapping[str, Readout]:
        return scales(self)


def scales(form: LawForm) -> dict[str, Readout]:
    """Nc = A^(1/alpha) and Dc = B^(1/beta), and the exponents."""
    centre, centres = form.data.centre, form.data.centres
    return {
        "Nc": Readout({"log_A": 1.0, "alpha": centres["N"]}, centre, log=True, over="alpha"),
        "Dc": Readout({"log_B": 1.0, "beta": centres["D"]}, centre, log=True, over="beta"),
        "alpha": Readout.of("alpha"),
        "beta": Readout.of("beta"),
    }
