"""A law as the solver sees it: unbounded-looking coordinates, derivatives, and where to start.

Coefficients enter by their logarithms and inputs by log x minus its mean, so a coefficient is the size of its
term in the middle of the data. On the 240 Chinchilla points this takes the condition number of the problem
from 2e13 (plain coefficients) to 1e4. Losses enter as log loss minus its median: units cannot matter.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis.laws.law import Array, Law

LOG_ZERO = -20.0  # a term of e^-20 = 2e-9 of the median loss is reported as exactly 0
LOG_LARGE = 8.0
AT_BOUND = 1e-9  # a coordinate as close as this to a bound is held by it
EXPONENTS = (0.0, 8.0)


@dataclass(frozen=True)
class Tape:
    """Log loss f of R replicates on n runs, with what is needed to differentiate sums over runs.

    `sums(first, second)`, weights (R, n) each: the sum of first × ∇f (R, p), and that of first × ∇²f +
    second × ∇f ∇fᵀ (R, p, p). `outer(weights)`: the sum of weights × ∇f ∇fᵀ (R, p, p).
    """

    value: Array  # (R, n), log loss minus the centre
    sums: Callable[[Array, Array], tuple[Array, Array]]
    outer: Callable[[Array], Array]


@dataclass(frozen=True)
class Data:
    """Runs in the solver's coordinates."""

    inputs: dict[str, Array]  # input name → log x minus its mean, (n,)
    centres: dict[str, float]  # input name → mean of log x
    log_loss: Array  # log loss minus its median, (n,)
    centre: float  # median log loss, or 0

    @classmethod
    def of(cls, inputs: dict[str, Array], loss: Array, centred: bool = True) -> Data:
        """Logarithms, centred. Not the loss for raw residuals: their delta is in its unit."""
        logs = {name: np.log(x) for name, x in inputs.items()}
        centres = {name: float(x.mean()) for name, x in logs.items()}
        log_loss = np.log(loss)
        centre = float(np.median(log_loss)) if centred else 0.0
        return cls({k: x - centres[k] for k, x in logs.items()}, centres, log_loss - centre, centre)


class Form(ABC):
    """One law on one data set, in coordinates theta (R, p)."""

    names: tuple[str, ...]  # coordinates; log_X holds the logarithm of X
    lower: Array  # (p,)
    upper: Array  # (p,)
    patience: int = 1000  # Newton steps before a start of the fit itself is given up

    @abstractmethod
    def tape(self, theta: Array) -> Tape:
        """Predicted log loss and its derivatives at theta (R, p)."""

    @abstractmethod
    def value(self, theta: Array) -> Array:
        """Predicted log loss (R, n), minus the centre."""

    @abstractmethod
    def starts(self, weights: Array, log_loss: Array, thorough: bool) -> Array:
        """Start points (S, R, p), the best first, for weights and log losses (R, n).

        Thorough is for the fit itself; replicates, which start from its minimum too, can do with fewer.
        """

    def canonical(self, theta: Array) -> Array:
        """Of all coordinates that are the same law as theta (R, p), those that stand for them."""
        return theta

    @abstractmethod
    def law(self, theta: Array) -> Law:
        """The law with coordinates theta (p,)."""


@dataclass(frozen=True)
class Restricted(Form):
    """A form whose coordinates are an affine function of fewer: some fixed, some tied to each other."""

    whole: Form
    matrix: Array  # (p, q), one 1 in each row that is free
    origin: Array  # (p,)

    @classmethod
    def of(cls, whole: Form, fixed: dict[str, float], tied: tuple[tuple[str, ...], ...] = ()) -> Restricted:
        """Fix coordinates at values, and let each group of tied coordinates be one.

        Raises:
            ValueError: for a name that is no coordinate of the form.
        """
        for name in (*fixed, *(n for group in tied for n in group)):
            if name not in whole.names:
                raise ValueError(f"{name!r} cannot be fixed or tied; choose from {', '.join(whole.names)}.")
        origin = np.array([fixed.get(name, 0.0) for name in whole.names])
        columns: dict[str, list[float]] = {}
        for name in whole.names:
            if name in fixed:
                continue
            group = next((g for g in tied if name in g), (name,))
            columns.setdefault(group[0], [1.0 if n in group else 0.0 for n in whole.names])
        return cls(whole, np.array(list(columns.values())).T, origin)

    def _expand(self, theta: Array) -> Array:
        return theta @ self.matrix.T + self.origin

    @property
    def names(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(self.whole.names[int(np.argmax(column))] for column in self.matrix.T)

    @property
    def lower(self) -> Array:  # type: ignore[override]
        return np.array([self.whole.lower[column > 0].max() for column in self.matrix.T])

    @property
    def upper(self) -> Array:  # type: ignore[override]
        return np.array([self.whole.upper[column > 0].min() for column in self.matrix.T])

    @property
    def patience(self) -> int:  # type: ignore[override]
        return self.whole.patience

    def tape(self, theta: Array) -> Tape:
        full, M = self.whole.tape(self._expand(theta)), self.matrix

        def sums(first: Array, second: Array) -> tuple[Array, Array]:
            gradient, hessian = full.sums(first, second)
            return gradient @ M, M.T @ hessian @ M

        return Tape(full.value, sums, lambda weights: M.T @ full.outer(weights) @ M)

    def value(self, theta: Array) -> Array:
        return self.whole.value(self._expand(theta))

    def starts(self, weights: Array, log_loss: Array, thorough: bool) -> Array:
        share = self.matrix / self.matrix.sum(0)  # tied coordinates start at their mean
        starts: Array = (self.whole.starts(weights, log_loss, thorough) - self.origin) @ share
        return starts

    def law(self, theta: Array) -> Law:
        return self.whole.law(self._expand(theta))
