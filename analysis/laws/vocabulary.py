"""The size of the vocabulary as an input, beside model size and data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from analysis.laws.formula import Formula, amount, exponent
from analysis.laws.law import Array


@dataclass(frozen=True)
class Vocabulary(Formula):
    """L = E + A/N^alpha + W/vocab_params^gamma + B/D^beta.

    N: parameters outside the vocabulary, `vocab_params` those of its embedding (vocabulary times width).
    Losses of different vocabularies can be compared per byte, or per token minus the unigram loss; if that is
    negative, add a constant to it, which E then contains.

    Source: Tao et al. 2024 (arXiv:2407.13623), approach 3, whose -E is E here.
    """

    E: float = amount()
    A: float = amount(of="N", exponent="alpha")
    alpha: float = exponent()
    W: float = amount(of="vocab_params", exponent="gamma")
    gamma: float = exponent()
    B: float = amount(of="D", exponent="beta")
    beta: float = exponent()

    name: ClassVar[str] = "vocabulary"
    inputs: ClassVar[tuple[str, ...]] = ("N", "D", "vocab_params")
    formula: ClassVar[str] = "L = E + A/N^alpha + W/vocab_params^gamma + B/D^beta"

    @staticmethod
    def loss(p: Any, N: Array, D: Array, vocab_params: Array) -> Any:  # type: ignore[override]
        return p.E + p.A * N**-p.alpha + p.W * vocab_params**-p.gamma + p.B * D**-p.beta
