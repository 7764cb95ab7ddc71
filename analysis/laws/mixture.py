"""The loss on one domain as a function of the shares of four others in the training data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from analysis.laws.formula import Formula, amount, real
from analysis.laws.law import Array


@dataclass(frozen=True)
class Mixture(Formula):
    """L = c + k exp(t1 r1 + t2 r2 + t3 r3 + t4 r4).

    r1 to r4 are shares of domains in the data. Shares of all domains add up to one, so either a fifth domain
    is not an input and k absorbs it, or one t of the four is held: --fix t4=0. Shares have to be positive;
    give an absent domain a small share, 1e-4, and hold its t.

    Source: Ye et al. 2024 (arXiv:2403.16952) eq. 2, L_i = c_i + k_i exp(sum over j of t_ij r_j).
    """

    c: float = amount()
    k: float = amount()
    t1: float = real(-10.0, 10.0)
    t2: float = real(-10.0, 10.0)
    t3: float = real(-10.0, 10.0)
    t4: float = real(-10.0, 10.0)

    name: ClassVar[str] = "mixture"
    inputs: ClassVar[tuple[str, ...]] = ("r1", "r2", "r3", "r4")
    shares: ClassVar[Mapping[str, str]] = {f"r{i}": f"t{i}" for i in range(1, 5)}
    formula: ClassVar[str] = "L = c + k exp(t1 r1 + t2 r2 + t3 r3 + t4 r4)"

    @staticmethod
    def loss(p: Any, r1: Array, r2: Array, r3: Array, r4: Array) -> Any:  # type: ignore[override]
        return p.c + p.k * np.exp(p.t1 * r1 + p.t2 * r2 + p.t3 * r3 + p.t4 * r4)
