"""The family of surfaces whose two power terms are joined by a k-norm; k = 1 is their sum."""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from analysis.laws.law import FLOPS_PER_PARAM_TOKEN, Array, Law, Optimum, exp_or_inf


@dataclass(frozen=True)
class Surface(Law):
    """A law of N and D whose reducible loss is two power terms joined by a k-norm."""

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

    def optimum(self, C: float, **others: float) -> Optimum:
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


def _log(coefficient: float) -> float:
    """The logarithm; of a term that a fit found to be 0 it is -inf, and the term adds nothing."""
    return log(coefficient) if coefficient > 0 else float("-inf")
