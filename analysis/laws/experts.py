"""Mixtures of experts: log loss bilinear in log size and the log of an effective number of experts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from analysis.laws.formula import Formula, amount, positive, real
from analysis.laws.law import Array

MIDDLE = 1e8  # parameters at which the law is expanded


@dataclass(frozen=True)
class Experts(Formula):
    """L = L0 exp(a n + b e + c n e), n = ln(N/1e8), e = ln(experts~).

    experts~ goes from `start` at one expert to max = start × span: 1/experts~ = 1/(experts - 1 + 1/(1/start -
    1/max)) + 1/max. N counts the parameters of the dense model that each token sees.

    Source: Clark et al. 2022 (arXiv:2202.01169), the separable law and its saturation.
    """

    L0: float = amount()
    a: float = real(-0.5, 0.1)
    b: float = real(-0.5, 0.1)
    c: float = real(-0.1, 0.1)
    start: float = positive(0.5, 20.0)
    span: float = positive(3.0, 1e4)

    name: ClassVar[str] = "experts"
    inputs: ClassVar[tuple[str, ...]] = ("N", "experts")
    formula: ClassVar[str] = "L = L0 exp(a n + b e + c n e), n = ln(N/1e8), e = ln(experts~)"

    @staticmethod
    def loss(p: Any, N: Array, experts: Array) -> Any:  # type: ignore[override]
        most = p.start * p.span
        shifted = experts - 1.0 + 1.0 / (1.0 / p.start - 1.0 / most)
        e = -np.log(1.0 / shifted + 1.0 / most)
        n = np.log(N / MIDDLE)
        return p.L0 * np.exp(p.a * n + p.b * e + p.c * n * e)
