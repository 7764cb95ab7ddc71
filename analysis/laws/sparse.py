"""Sparsely connected models: the size term depends on the share of weights that is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from analysis.laws.formula import Formula, amount, exponent, positive
from analysis.laws.law import Array


@dataclass(frozen=True)
class Sparse(Formula):
    """L = E + A (1 + g density^b)/N^alpha + B/D^beta.

    N counts the weights that are not zero, of which a share `density` (1 - sparsity) was kept.

    Source: Frantar et al. 2023 (arXiv:2309.08520) eq. 1, (a (1 - S)^b + c) N^-alpha with A = c, g = a/c.
    """

    E: float = amount()
    A: float = amount(of="N", exponent="alpha")
    alpha: float = exponent()
    B: float = amount(of="D", exponent="beta")
    beta: float = exponent()
    g: float = positive(1e-2, 1e2)
    b: float = exponent(0.05, 4.0)

    name: ClassVar[str] = "sparse"
    inputs: ClassVar[tuple[str, ...]] = ("N", "D", "density")
    formula: ClassVar[str] = "L = E + A (1 + g density^b)/N^alpha + B/D^beta"

    @staticmethod
    def loss(p: Any, N: Array, D: Array, density: Array) -> Any:  # type: ignore[override]
        size = p.A * N**-p.alpha * (1.0 + p.g * density**p.b)
        return p.E + size + p.B * D**-p.beta
