"""Peak learning rate and batch size as inputs: a basin around their best, which moves with size and data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from analysis.laws.formula import Formula, amount, exponent, positive, real
from analysis.laws.law import Array


@dataclass(frozen=True)
class RateBatch(Formula):
    """L = E + A/N^alpha + B/D^beta + c ln^2(rate/best) + d ln^2(batch/best).

    The best learning rate is eta (N/1e9)^p (D/1e10)^q, the best batch b (D/1e10)^r tokens.

    Source: Li et al. 2025 (Step Law, arXiv:2503.04715): best rate and batch are powers of N and D, and the
    loss is convex about them; quadratic in logs is the simplest such basin.
    """

    E: float = amount()
    A: float = amount(of="N", exponent="alpha")
    alpha: float = exponent()
    B: float = amount(of="D", exponent="beta")
    beta: float = exponent()
    c: float = amount()
    d: float = amount()
    eta: float = positive(1e-5, 0.1)
    p: float = real(-1.5, 0.5)
    q: float = real(-0.5, 1.0)
    b: float = positive(1e3, 1e8)
    r: float = real(-0.5, 1.5)

    name: ClassVar[str] = "rate_batch"
    inputs: ClassVar[tuple[str, ...]] = ("N", "D", "learning_rate", "batch_tokens")
    formula: ClassVar[str] = "L = E + A/N^alpha + B/D^beta + c ln^2(rate/best) + d ln^2(batch/best)"

    @staticmethod
    def loss(p: Any, N: Array, D: Array, learning_rate: Array, batch_tokens: Array) -> Any:  # type: ignore[override]
        n, data = np.log(N / 1e9), np.log(D / 1e10)
        rate = np.log(learning_rate) - np.log(p.eta) - p.p * n - p.q * data
        batch = np.log(batch_tokens) - np.log(p.b) - p.r * data
        return p.E + p.A * N**-p.alpha + p.B * D**-p.beta + p.c * rate * rate + p.d * batch * batch
