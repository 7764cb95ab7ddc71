"""The answer of one approach to the best split of compute: two power laws and their replicates."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from analysis.fitting.bootstrap.quantiles import interval_of
from analysis.fitting.checks import FitWarning
from analysis.forecast.lines import in_six_nd
from analysis.laws.law import FLOPS_PER_PARAM_TOKEN, Array, exp_or_inf

NAMES = {1: "envelope of runs", 2: "IsoFLOP minima", 3: "fitted surface"}


@dataclass(frozen=True)
class Approach:
    """N* and D* as power laws of compute: log N* = log_n + a log(C / reference), and likewise D* with b.

    C is 6 N* D* [FLOP], also where budgets are counted otherwise. `draws` (R, 4) are bootstrap replicates of
    (a, log_n, b, log_d); replicates without an answer are NaN.
    """

    number: int
    a: float
    b: float
    log_n: float
    log_d: float
    reference: float  # [FLOP]
    level: float
    warnings: tuple[FitWarning, ...]
    draws: Array = field(repr=False)
    budgets: Array = field(repr=False)  # (B,) [FLOP] where it found an optimum
    sizes: Array = field(repr=False)  # (B,) N* found there

    @classmethod
    def through(
        cls,
        number: int,
        lines: Array,
        log_n: Array,
        log_d: Array,
        *,
        level: float,
        warnings: tuple[FitWarning, ...] = (),
    ) -> Approach:
        """Read off lines (1 + R, 4) against log budgets: of the data, then of R replicates.

        `log_n`, `log_d` (B,): the optima that the first line goes through.
        """
        converted, reference = in_six_nd(lines)
        budgets = FLOPS_PER_PARAM_TOKEN * np.exp(log_n + log_d)
        a, level_n, b, level_d = (float(v) for v in converted[0])
        return cls(
            number, a, b, level_n, level_d, reference, level, warnings, converted[1:], budgets, np.exp(log_n)
        )

    @property
    def name(self) -> str:
        return NAMES[self.number]

    def optimum(self, C: float) -> tuple[float, float]:
        """N* and D* at C [FLOP]."""
        step = np.log(C / self.reference)
        return exp_or_inf(self.log_n + self.a * step), exp_or_inf(self.log_d + self.b * step)

    def interval(self, quantity: str, C: float | None = None) -> tuple[float, float]:
        """Bootstrap interval of a, b, or of N or D at C; an end past what a float holds is infinite.

        Raises:
            FitError: when fewer than 9 in 10 replicates have an answer.
        """
        a, log_n, b, log_d = self.draws.T
        if quantity in ("a", "b"):
            values = a if quantity == "a" else b
        elif quantity in ("N", "D") and C is not None:
            step = np.log(C / self.reference)
            values = log_n + a * step if quantity == "N" else log_d + b * step
        else:
            raise ValueError(f"quantity: a or b, or N or D with a compute C; got {quantity!r}, C={C!r}.")
        low, high = interval_of(values, self.level, what=f"{quantity} of approach {self.number}")
        return (low, high) if quantity in ("a", "b") else (exp_or_inf(low), exp_or_inf(high))
