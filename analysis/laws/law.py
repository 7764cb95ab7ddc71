"""Loss surfaces as values: each makes data, is what a fit estimates, and knows its own compute optimum.

L is held-out loss [nats/token], N non-embedding parameters, D training tokens, C = 6 N D [FLOP].
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from math import exp, log
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
FLOPS_PER_PARAM_TOKEN = 6.0  # Kaplan et al. 2020 (arXiv:2001.08361), section 2.1: forward 2, backward 4
LARGEST_LOG = 709.0  # e^709 is the most that a float holds


@dataclass(frozen=True)
class Optimum:
    """The best use of a compute budget under one law."""

    N: float  # non-embedding parameters
    D: float  # tokens
    loss: float  # [nats/token]


@dataclass(frozen=True)
class Law(ABC):
    """A scaling law with known coefficients. Fields are its coefficients, in print order."""

    name: ClassVar[str]
    inputs: ClassVar[tuple[str, ...]]  # the keywords that `__call__` takes

    @abstractmethod
    def __call__(self, *args: Any, **inputs: Any) -> Array:
        """Loss [nats/token]; inputs broadcast against each other."""

    @property
    def parameters(self) -> dict[str, float]:
        """Coefficient name → value."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def sample(self, rng: np.random.Generator, *, relative_noise: float, **inputs: npt.ArrayLike) -> Array:
        """Losses of runs that follow this law, times exp(relative_noise × standard normal)."""
        loss = np.asarray(self(**inputs), dtype=float)
        noisy: Array = loss * np.exp(relative_noise * rng.standard_normal(loss.shape))
        return noisy

    def optimum(self, C: float) -> Optimum:
        """The N and D with the least loss among all with 6 N D = C [FLOP].

        Raises:
            NotImplementedError: for a law that is no function of N and D.
        """
        raise NotImplementedError(f"{self.name}: a law of {', '.join(self.inputs)} has no compute optimum.")


@dataclass(frozen=True)
class PowerLaw(Law):
    """L(x) = E + A x^-alpha. E = 0 is the pure power law.

    Source: Kaplan et al. 2020 (arXiv:2001.08361) eq. 1.1-1.3 without E; Alabdulmohsin et al. 2022
    (arXiv:2209.06640) call the two M1 and M2.
    """

    E: float
    A: float
    alpha: float

    name: ClassVar[str] = "power"
    inputs: ClassVar[tuple[str, ...]] = ("x",)

    def __call__(self, x: npt.ArrayLike) -> Array:
        return np.asarray(self.E + self.A * np.power(np.asarray(x, float), -self.alpha))[()]


@dataclass(frozen=True)
class Surface(Law):
    """A law of N and D whose reducible loss is two power terms joined by a k-norm (k = 1: their sum)."""

    E: float
    A: float
    B: float
    alpha: float
    beta: float

    inputs: ClassVar[tuple[str, ...]] = ("N", "D")

    @property
    def sharpness(self) -> float:
        """The k of the norm that joins the two terms."""
        return 1.0

    def __call__(self, N: npt.ArrayLike, D: npt.ArrayLike) -> Array:
        return self._loss(np.log(np.asarray(N, float)), np.log(np.asarray(D, float)))

    def _loss(self, log_n: Array | float, log_d: Array | float) -> Array:
        by_size, by_data = _log(self.A) - self.alpha * log_n, _log(self.B) - self.beta * log_d
        k = self.sharpness
        return np.asarray(self.E + np.exp(np.logaddexp(k * by_size, k * by_data) / k))[()]

    @property
    def growth(self) -> float:
        """The a of N ∝ C^a, by which the best size grows with compute; source: see `optimum`.

        Raises:
            ValueError: when no exponent is positive, so that there is no best size.
        """
        if not self.alpha + self.beta > 0:
            raise ValueError(f"{self.name}: no best size with alpha={self.alpha:g}, beta={self.beta:g}.")
        return self.beta / (self.alpha + self.beta)

    def optimum(self, C: float) -> Optimum:
        """Closed form: N = G (C/6)^(beta/(alpha+beta)), G = (alpha A^k / (beta B^k))^(1/(k (alpha+beta))).

        The k-norm is monotone, so it has the optimum of the plain sum of its k-th powers.

        Raises:
            ValueError: when an exponent or a coefficient is not positive: the optimum lies at a limit.

        Source: Hoffmann et al. 2022 (arXiv:2203.15556) eq. 4, with A → A^k, alpha → k alpha.
        """
        if not C > 0:
            raise ValueError(f"C: a compute budget is a positive number of FLOP; got {C!r}.")
        if min(self.A, self.B, self.alpha, self.beta) <= 0:
            raise ValueError(
                f"{self.name}: no finite compute optimum with A={self.A:.4g}, B={self.B:.4g}, "
                f"alpha={self.alpha:.4g}, beta={self.beta:.4g}; all four must be positive."
            )
        k = self.sharpness
        total = self.alpha + self.beta
        log_g = (log(self.alpha / self.beta) / k + log(self.A) - log(self.B)) / total
        log_c = log(C / FLOPS_PER_PARAM_TOKEN)
        log_n = log_g + self.beta / total * log_c
        log_d = -log_g + self.alpha / total * log_c
        return Optimum(N=exp_or_inf(log_n), D=exp_or_inf(log_d), loss=float(self._loss(log_n, log_d)))


@dataclass(frozen=True)
class Chinchilla(Surface):
    """L = E + A/N^alpha + B/D^beta.

    Source: Hoffmann et al. 2022 (arXiv:2203.15556) eq. 2.
    """

    name: ClassVar[str] = "chinchilla"


@dataclass(frozen=True)
class Coupled(Surface):
    """L = E + [(A/N^alpha)^k + (B/D^beta)^k]^(1/k): k = 1 is Chinchilla, k → ∞ the larger term alone.

    Source: Busbridge et al. 2025 (arXiv:2502.08606) eq. 1, which writes (A'/N^alpha' + B'/D^beta')^gamma with
    gamma = 1/k, alpha' = k alpha, A' = A^k.
    """

    k: float

    name: ClassVar[str] = "coupled"

    @property
    def sharpness(self) -> float:
        return self.k


def _log(coefficient: float) -> float:
    """The logarithm; of a term that a fit found to be 0 it is -inf, and the term adds nothing."""
    return log(coefficient) if coefficient > 0 else float("-inf")


def exp_or_inf(x: float) -> float:
    """e^x, infinite where a float cannot hold it, as for the optimum of an exponent near 0."""
    return exp(x) if x < LARGEST_LOG else float("inf")
