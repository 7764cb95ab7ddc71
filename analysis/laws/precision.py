"""Weights rounded after training: the loss added grows with data over size, and falls with every bit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from analysis.laws.formula import Formula, amount, exponent, positive
from analysis.laws.law import Array


@dataclass(frozen=True)
class Precision(Formula):
    """L = E + A/N^alpha + B/D^beta + C D^d/N^n exp(-bits/g).

    `bits` is the bits per weight after training; for a model that was not rounded, those it was trained with
    (32).

    Source: Kumar et al. 2024 (arXiv:2411.04330) section 3.1, with the exponent of bits free and weights
    trained in full precision, so that their N_eff is N.
    """

    E: float = amount()
    A: float = amount(of="N", exponent="alpha")
    alpha: float = exponent()
    B: float = amount(of="D", exponent="beta")
    beta: float = exponent()
    C: float = positive(1e-6, 1e6)
    d: float = exponent(0.0, 4.0)
    n: float = exponent(0.0, 4.0)
    g: float = positive(0.05, 20.0)

    name: ClassVar[str] = "precision"
    inputs: ClassVar[tuple[str, ...]] = ("N", "D", "bits")
    formula: ClassVar[str] = "L = E + A/N^alpha + B/D^beta + C D^d/N^n exp(-bits/g)"

    @staticmethod
    def loss(p: Any, N: Array, D: Array, bits: Array) -> Any:  # type: ignore[override]
        lost = p.C * D**p.d * N**-p.n * np.exp(-bits / p.g)
        return p.E + p.A * N**-p.alpha + p.B * D**-p.beta + lost
