"""What pretraining is worth in labelled examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from analysis.laws.formula import Formula, amount, exponent
from analysis.laws.law import Array


@dataclass(frozen=True)
class Transferred(Formula):
    """L = k examples^alpha N^beta, where L is not a loss but the effective data transferred.

    That is how many more examples a model from scratch needs to reach the loss of a pretrained one of the
    same size: the column `transferred` of `scaling evaluate RUNS --scratch --to FILE.csv`. Map it:
    loss=transferred.

    Source: Hernandez et al. 2021 (arXiv:2102.01293) eq. 1.1, D_T = k (D_F)^alpha (N)^beta, for little data.
    """

    k: float = amount(of="examples N", exponent="alpha beta", rising=True)
    alpha: float = exponent(0.0, 4.0)
    beta: float = exponent(0.0, 4.0)

    name: ClassVar[str] = "transferred"
    inputs: ClassVar[tuple[str, ...]] = ("N", "examples")
    formula: ClassVar[str] = "L = k examples^alpha N^beta"
    floored: ClassVar[bool] = False

    @staticmethod
    def loss(p: Any, N: Array, examples: Array) -> Any:  # type: ignore[override]
        return p.k * examples**p.alpha * N**p.beta
