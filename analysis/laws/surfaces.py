"""Surfaces with a history: Kaplan 2020, repeated data (Muennighoff 2023), over-training (Gadre 2024)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from analysis.laws.law import FLOPS_PER_PARAM_TOKEN, Array, Chinchilla, Coupled, Law, Optimum


@dataclass(frozen=True)
class Kaplan(Law):
    """L = [(Nc/N)^(alpha/beta) + Dc/D]^beta: no floor, so exponents do not compare with laws that have one.

    It is the coupled surface with E = 0, k = 1/beta, A = Nc^alpha and B = Dc^beta.

    Source: Kaplan et al. 2020 (arXiv:2001.08361) eq. 1.5.
    """

    Nc: float
    Dc: float
    alpha: float
    beta: float

    name: ClassVar[str] = "kaplan"
    inputs: ClassVar[tuple[str, ...]] = ("N", "D")

    @property
    def coupled(self) -> Coupled:
        """The same surface in the coupled form."""
        A, B = self.Nc**self.alpha, self.Dc**self.beta
        return Coupled(E=0.0, A=A, B=B, alpha=self.alpha, beta=self.beta, k=1 / self.beta)

    @property
    def growth(self) -> float:
        return self.coupled.growth

    def __call__(self, N: npt.ArrayLike, D: npt.ArrayLike) -> Array:
        return self.coupled(N=N, D=D)

    def optimum(self, C: float) -> Optimum:
        return self.coupled.optimum(C)


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

    @property
    def chinchilla(self) -> Chinchilla:
        """The same surface in N and D."""
        unit = FLOPS_PER_PARAM_TOKEN**-self.eta
        return Chinchilla(E=self.E, A=self.a * unit, B=self.b * unit, alpha=2 * self.eta, beta=2 * self.eta)

    @classmethod
    def of(cls, law: Chinchilla) -> OverTraining:
        """From a Chinchilla surface with equal exponents."""
        eta = law.alpha / 2
        unit = FLOPS_PER_PARAM_TOKEN**eta
        return cls(E=law.E, a=law.A * unit, b=law.B * unit, eta=eta)

    def __call__(self, N: npt.ArrayLike, D: npt.ArrayLike) -> Array:
        return self.chinchilla(N=N, D=D)

    def optimum(self, C: float) -> Optimum:
        return self.chinchilla.optimum(C)


@dataclass(frozen=True)
class Repeated(Law):
    """Chinchilla in effective parameters and tokens: repeats of U unique tokens are worth less and less.

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

    @property
    def chinchilla(self) -> Chinchilla:
        """The law where no token repeats and no parameter is in excess."""
        return Chinchilla(E=self.E, A=self.A, B=self.B, alpha=self.alpha, beta=self.beta)

    def __call__(self, N: npt.ArrayLike, D: npt.ArrayLike, U: npt.ArrayLike) -> Array:
        N, D, U = (np.asarray(v, float) for v in (N, D, U))
        unique = np.minimum(U, D)
        total = self.alpha + self.beta
        log_g = np.log(self.alpha * self.A / (self.beta * self.B)) / total
        enough = np.exp((log_g * total + self.beta * np.log(unique)) / self.alpha)
        base = np.minimum(N, enough)
        return self.chinchilla(N=_worth(N, base, self.rn), D=_worth(D, unique, self.rd))


def _worth(amount: Array, base: Array, decay: float) -> Array:
    worth: Array = base * (1.0 + decay * -np.expm1(-(amount / base - 1.0) / decay))
    return worth
