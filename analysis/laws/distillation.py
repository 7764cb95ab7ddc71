"""Students of a teacher: their loss approaches the teacher's, faster if the teacher is not too good."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from analysis.laws.formula import Formula, amount, exponent, positive
from analysis.laws.law import Array


@dataclass(frozen=True)
class Distillation(Formula):
    """L = T + T^-c0 (1 + (T/(S d1))^(1/f1))^(-c1 f1) (A/N^alpha + B/D^beta)^gamma.

    T is `teacher_loss`; S is `alone_loss`, the loss of the same student, equally large and trained equally
    long, without a teacher. The law leaves out that a student can be better than its teacher.

    Source: Busbridge et al. 2025 (arXiv:2502.08606) eq. 8, with S measured, not from a law of its own.
    """

    c0: float = exponent(0.0, 4.0)
    c1: float = exponent(0.0, 4.0)
    d1: float = positive(0.1, 10.0)
    f1: float = positive(0.02, 5.0)
    A: float = amount(of="N", exponent="alpha")
    alpha: float = exponent()
    B: float = amount(of="D", exponent="beta")
    beta: float = exponent()
    gamma: float = positive(0.1, 4.0)

    name: ClassVar[str] = "distillation"
    inputs: ClassVar[tuple[str, ...]] = ("N", "D", "teacher_loss", "alone_loss")
    formula: ClassVar[str] = (
        "L = T + T^-c0 (1 + (T/(S d1))^(1/f1))^(-c1 f1) (A/N^alpha + B/D^beta)^gamma, T = teacher_loss, "
        "S = alone_loss"
    )

    @staticmethod
    def loss(p: Any, N: Array, D: Array, teacher_loss: Array, alone_loss: Array) -> Any:  # type: ignore[override]
        short = (1.0 + (teacher_loss / (alone_loss * p.d1)) ** (1.0 / p.f1)) ** (-p.c1 * p.f1)
        left = (p.A * N**-p.alpha + p.B * D**-p.beta) ** p.gamma
        return teacher_loss + teacher_loss**-p.c0 * short * left
