"""SGD on power-law regression: the expected loss at every step, by an exact recursion."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import zeta

Array = NDArray[np.float64]


@dataclass(frozen=True)
class KernelSGD:
    """A linear student that sees the first M coordinates of a teacher with infinitely many.

    y = sum_i x_i + noise, with independent Gaussian x_i of variance lambda_i = i^-exponent and noise of
    variance `noise`. The student starts at zero and takes steps of SGD on squared error, with batches of
    `batch` fresh samples. Its loss is E (y - prediction)^2, over fresh samples too.

    With a = exponent, M coordinates and D samples the loss is noise + Theta(M^-(a - 1) + D^-((a - 1) / a)):
    floor, alpha and beta are known, and nothing says that the two terms add.

    Source: Lin et al. 2024 (arXiv:2406.08466), abstract, for the exponents.
    """

    exponent: float = 1.7
    noise: float = 0.5
    batch: int = 1

    def __post_init__(self) -> None:
        if not self.exponent > 1:
            raise ValueError(f"exponent: above 1, or the variance is infinite; got {self.exponent!r}.")
        if not self.noise >= 0:
            raise ValueError(f"noise: a variance, 0 or more; got {self.noise!r}.")
        if self.batch < 1:
            raise ValueError(f"batch: at least 1 sample a step; got {self.batch!r}.")

    @property
    def floor(self) -> float:
        """E."""
        return self.noise

    @property
    def alpha(self) -> float:
        """Exponent of M."""
        return self.exponent - 1

    @property
    def beta(self) -> float:
        """Exponent of D."""
        return (self.exponent - 1) / self.exponent


class Students:
    """Students of several sizes trained side by side, as the mean squared error of each coordinate.

    With m_i = E (w_i - w*_i)^2, a step of rate g on B samples gives exactly
        m_i ← (1 - 2 g l_i + g^2 (1 + 1/B) l_i^2) m_i + (g^2 / B) l_i (sum_j l_j m_j + noise + T),
    where T = sum_{i > M} l_i is what the student does not see, and the loss is noise + T + sum_j l_j m_j.
    Gaussian fourth moments give the factor 1 + 1/B; coordinates do not mix, because x_i are independent.
    """

    def __init__(self, teacher: KernelSGD, sizes: Sequence[int]) -> None:
        """`sizes` are M. All coordinates of all students lie in one flat array, one student after the other.

        Raises:
            ValueError: for no sizes, or one below 1.
        """
        if not sizes or min(sizes) < 1:
            raise ValueError(f"sizes: one or more students of at least 1 coordinate; got {list(sizes)}.")
        a, B = teacher.exponent, teacher.batch
        self._starts = np.cumsum([0, *sizes[:-1]])
        self._student = np.repeat(np.arange(len(sizes)), sizes)
        self._variance = np.concatenate([np.arange(1.0, M + 1) ** -a for M in sizes])
        self._square = (1 + 1 / B) * self._variance**2
        self._share = self._variance / B
        self._unseen: Array = teacher.noise + np.array([zeta(a, M + 1) for M in sizes])
        self._moments = np.ones_like(self._variance)

    @property
    def losses(self) -> Array:
        """(sizes,) expected squared error."""
        return np.asarray(np.add.reduceat(self._variance * self._moments, self._starts) + self._unseen)

    def advance(self, rates: Iterable[float], *, repeats: int = 1, rounding: float = 0.0) -> Self:
        """Take a step at each rate.

        Args:
            repeats: how often every sample stands in its batch, which so has B / repeats of them.
            rounding: variance that a step adds to each weight, as stochastic rounding does.
        """
        m, work = self._moments, np.empty_like(self._moments)
        square, share = self._square + (repeats - 1) * self._share * self._variance, repeats * self._share
        for g in rates:
            np.multiply(m, self._variance, out=work)
            error = np.add.reduceat(work, self._starts) + self._unseen
            np.multiply(square, g * g, out=work)
            work -= (2 * g) * self._variance
            work += 1
            m *= work
            np.multiply(share, (g * g * error)[self._student], out=work)
            m += work
            m += rounding
        return self

    def branch(self) -> Self:
        """A copy that goes its own way."""
        other = copy.copy(self)
        other._moments = self._moments.copy()
        return other
