"""Parallel streams: one model, P passes over its input, joined by learnt weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from analysis.laws.formula import Formula, amount, exponent, positive
from analysis.laws.law import Array


@dataclass(frozen=True)
class Parallel(Formula):
    """L = E + A/(N (1 + k ln P))^alpha.

    P streams are worth as much as multiplying the parameters by the factor in brackets.

    Source: Chen et al. 2025 (ParScale, arXiv:2505.10475), the law of N and P.
    """

    E: float = amount()
    A: float = amount(of="N", exponent="alpha")
    alpha: float = exponent()
    k: float = positive(1e-3, 10.0)

    name: ClassVar[str] = "parallel"
    inputs: ClassVar[tuple[str, ...]] = ("N", "parallel")
    formula: ClassVar[str] = "L = E + A/(N (1 + k ln P))^alpha"

    @staticmethod
    def loss(p: Any, N: Array, parallel: Array) -> Any:  # type: ignore[override]
        return p.E + p.A * (N * (1.0 + p.k * np.log(parallel))) ** -p.alpha
