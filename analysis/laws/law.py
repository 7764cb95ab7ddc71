"""A scaling law as a value: it makes data, is what a fit estimates, and knows its own compute optimum.

L is held-out loss [nats/token], N non-embedding parameters, D training tokens, C training compute [FLOP].
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import exp
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:  # a form makes laws, and a law names its form
    from analysis.laws.form import Data, LawForm, Pins

Array = npt.NDArray[np.float64]
FLOPS_PER_PARAM_TOKEN = 6.0  # Kaplan et al. 2020 (arXiv:2001.08361), section 2.1: forward 2, backward 4
LARGEST_LOG = 709.0  # e^709 is the most that a float holds
POINTS = 65  # sizes per round of that search
ROUNDS = 16  # each narrows the range of log N 32 times: far past the last digit of a float


@dataclass(frozen=True)
class Optimum:
    """The best use of a compute budget under one law."""

    N: float  # non-embedding parameters
    D: float  # tokens
    loss: float  # [nats/token]


@dataclass(frozen=True)
class Law(ABC):
    """A scaling law with known coefficients. Fields are its coefficients, in print order."""

    name: ClassVar[str]
    inputs: ClassVar[tuple[str, ...]]  # the keywords that `__call__` takes: letters, or columns of a table
    formula: ClassVar[str]  # as a report prints it
    wider: ClassVar[str | None] = None  # a registered law that contains it, for the test of lack of fit
    shares: ClassVar[Mapping[str, str]] = {}  # inputs that may add up to 1 → the parameter of each
    fixes_growth: ClassVar[bool] = False  # whether the exponent of the best size follows from the form alone
    floored: ClassVar[bool] = True  # whether the loss stays above 0 however large the inputs are

    @abstractmethod
    def __call__(self, *args: Any, **inputs: Any) -> Array:
        """Loss [nats/token]; inputs broadcast against each other."""

    @classmethod
    @abstractmethod
    def form(cls, data: Data, pins: Pins) -> LawForm:
        """The law as the solver sees it on these runs; `pins` says what the fit will hold."""

    @property
    def parameters(self) -> dict[str, float]:
        """Coefficient name → value."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def sample(self, rng: np.random.Generator, *, relative_noise: float, **inputs: npt.ArrayLike) -> Array:
        """Losses of runs that follow this law, times exp(relative_noise × standard normal)."""
        loss = np.asarray(self(**inputs), dtype=float)
        noisy: Array = loss * np.exp(relative_noise * rng.standard_normal(loss.shape))
        return noisy

    def optimum(self, C: float, **others: float) -> Optimum:
        """The N and D with the lowest loss among all with 6 N D = C [FLOP], at these other inputs.

        By search on ever finer grids of log N; laws with a closed form have their own.

        Raises:
            NotImplementedError: for a law that is no function of N and D.
            ValueError: when an input is missing, or the optimum lies at a limit.
        """
        if not {"N", "D"} <= set(self.inputs):
            raise NotImplementedError(
                f"{self.name}: a law of {', '.join(self.inputs)} has no compute optimum."
            )
        if not C > 0:
            raise ValueError(f"C: a compute budget is a positive number of FLOP; got {C!r}.")
        if missing := [name for name in self.inputs if name not in {"N", "D", *others}]:
            raise ValueError(
                f"{self.name}: the optimum also depends on {', '.join(missing)}; give a value: "
                f"--at {missing[0]}=VALUE."
            )
        low, high = 0.0, float(np.log(C / FLOPS_PER_PARAM_TOKEN))  # from one parameter to one token
        edges = low, high
        for _ in range(ROUNDS):
            log_n = np.linspace(low, high, POINTS)
            N = np.exp(log_n)
            with np.errstate(all="ignore"):
                loss = np.asarray(self(N=N, D=C / (FLOPS_PER_PARAM_TOKEN * N), **others), dtype=float)
            best = int(np.argmin(np.where(np.isfinite(loss), loss, np.inf)))
            low, high = log_n[max(best - 1, 0)], log_n[min(best + 1, POINTS - 1)]
            if high - low < 1e-9:
                break
        if not np.isfinite(loss[best]) or min(abs(log_n[best] - edge) for edge in edges) < 1e-3:
            raise ValueError(f"{self.name}: no finite compute optimum at {C:.4g} FLOP: it lies at a limit.")
        return Optimum(
            N=float(N[best]), D=float(C / (FLOPS_PER_PARAM_TOKEN * N[best])), loss=float(loss[best])
        )


def exp_or_inf(x: float) -> float:
    """e^x, infinite where a float cannot hold it, as for the optimum of an exponent near 0."""
    return exp(x) if x < LARGEST_LOG else float("inf")
