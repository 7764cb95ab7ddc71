"""Fine-tuning: the loss on a task falls with labelled examples and with model size, multiplicatively."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from analysis.laws.formula import Formula, amount, exponent
from analysis.laws.law import Array


@dataclass(frozen=True)
class FineTune(Formula):
    """L = E + A/(N^alpha examples^beta).

    L is the loss on the task after fine-tuning on this many labelled `examples`. Where models differ in
    pretraining tokens and not in size, map those to params: the law is the same.

    Source: Zhang et al. 2024 (arXiv:2402.17193) eq. 1, L = A X^-alpha D_f^-beta + E, with X the size of the
    model, the pretraining data or the trained parameters; they count D_f in examples too.
    """

    E: float = amount()
    A: float = amount(of="N examples", exponent="alpha beta")
    alpha: float = exponent()
    beta: float = exponent()

    name: ClassVar[str] = "finetune"
    inputs: ClassVar[tuple[str, ...]] = ("N", "examples")
    formula: ClassVar[str] = "L = E + A/(N^alpha examples^beta)"

    @staticmethod
    def loss(p: Any, N: Array, examples: Array) -> Any:  # type: ignore[override]
        return p.E + p.A * N**-p.alpha * examples**-p.beta
