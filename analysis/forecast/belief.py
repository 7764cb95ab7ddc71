"""What is believed about a large run: draws of laws, and how the loss of a small one would move them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from analysis.fitting.bootstrap.quantiles import quantiles
from analysis.fitting.interval import Interval
from analysis.fitting.runs import FitError
from analysis.laws.law import FLOPS_PER_PARAM_TOKEN, Array, Law

DRAWS = 240  # laws that stand for what is not known
POINTS = 31  # sizes along the target's budget
OUTCOMES = 3  # losses that each candidate might have


@dataclass(frozen=True)
class Decision:
    """What would be trained at the target, and what choosing it is expected to waste."""

    N: Interval
    D: Interval
    regret: float  # expected share of the compute wasted: see `expected_regret`


def expected_regret(loss: Array, half: Array) -> Array:
    """The mean share of the compute wasted by each size (M,), over draws of losses (R, M) along a budget C.

    A draw whose loss at a size lies x above its least wastes 1 - 2^(-x / b) of C, where b is what halving C
    adds to its least loss: the compute that would do is then C 2^(-x / b), to first order in x.

    Args:
        half: the same losses at C / 2.
    """
    least = loss.min(axis=1, keepdims=True)
    gain = np.maximum(half.min(axis=1, keepdims=True) - least, 1e-12)
    found: Array = (1 - np.exp2(-(loss - least) / gain)).mean(axis=0)
    return found


@dataclass(frozen=True)
class Belief:
    """Log losses of the draws: along the target's budget, along half of it, and at the candidates."""

    compute: float
    sizes: Array  # (M,) N along the budget
    along: Array  # (R, 2 M)
    seen: Array  # (R, J)

    @classmethod
    def of(cls, laws: Sequence[Law], compute: float) -> Belief:
        best = np.array([law.optimum(compute).N for law in laws])
        low, high = np.quantile(best, [0.02, 0.98])
        sizes = np.geomspace(low / 3, high * 3, POINTS)
        budgets = (compute, compute / 2)
        along = [
            np.concatenate([np.log(law(N=sizes, D=C / (FLOPS_PER_PARAM_TOKEN * sizes))) for C in budgets])
            for law in laws
        ]
        return cls(compute, sizes, np.array(along), np.empty((len(laws), 0)))

    def seeing(self, laws: Sequence[Law], N: Array, D: Array) -> Belief:
        seen = np.array([np.log(law(N=N, D=D)) for law in laws])
        return Belief(self.compute, self.sizes, self.along, seen)

    def regrets(self, along: Array) -> Array:
        M = len(self.sizes)
        loss = np.exp(np.clip(along, -50, 50))
        return expected_regret(loss[:, :M], loss[:, M:])

    def least_regret(self) -> float:
        return float(self.regrets(self.along).min())

    def decision(self, level: float) -> Decision:
        """The size of lowest expected regret, and where the draws have their own best."""
        regret = self.regrets(self.along)
        pick = float(self.sizes[int(np.argmin(regret))])
        own = self.sizes[np.argmin(self.along[:, : len(self.sizes)], axis=1)]
        low, high = (float(v) for v in quantiles(own, level))
        tokens = [self.compute / (FLOPS_PER_PARAM_TOKEN * n) for n in (pick, high, low)]
        return Decision(Interval(pick, low, high), Interval(*tokens), float(regret.min()))

    def explained(self, sigma: float) -> Array:
        """(J,) variance of the draws' own log best size that the loss of each candidate would explain."""
        own = np.log(self.sizes)[np.argmin(self.along[:, : len(self.sizes)], axis=1)]
        seen = self.seen - self.seen.mean(axis=0)
        found: Array = (seen.T @ (own - own.mean()) / len(own)) ** 2 / ((seen**2).mean(axis=0) + sigma**2)
        return found

    def values(
        self, sigma: float, rng: np.random.Generator, usable: NDArray[np.bool_]
    ) -> tuple[Array, Array]:
        """(J,) least regret expected after each candidate, and the factor it is expected to move the size.

        Of candidates that are not usable, infinite and 1.
        """
        R, J = self.seen.shape
        centred = self.along - self.along.mean(axis=0)
        seen = self.seen - self.seen.mean(axis=0)
        variance = (seen**2).mean(axis=0)
        gains = (seen.T @ centred) / R / (variance + sigma**2)[:, None]  # (J, 2 M)
        z = special.ndtri((np.arange(OUTCOMES) + 0.5) / OUTCOMES)
        jitter = sigma * rng.standard_normal(R)
        least, moves = np.full(J, np.inf), np.ones(J)
        log_sizes = np.log(self.sizes)
        for j in np.flatnonzero(usable):
            found, picked = [], []
            for y in z * math.sqrt(variance[j] + sigma**2):
                regret = self.regrets(self.along + np.outer(y + jitter - seen[:, j], gains[j]))
                found.append(regret.min())
                picked.append(log_sizes[int(np.argmin(regret))])
            least[j], moves[j] = np.mean(found), math.exp(np.std(picked))
        return least, moves

    def after(self, j: int, sigma: float, rng: np.random.Generator) -> Belief:
        """The draws once candidate j has come out at its mean."""
        every = np.concatenate([self.along, self.seen], axis=1)
        centred = every - every.mean(axis=0)
        own = centred[:, self.along.shape[1] + j]
        gain = (own @ centred) / len(own) / (np.mean(own**2) + sigma**2)
        jitter = sigma * rng.standard_normal(len(own))
        moved = every + np.outer(jitter - jitter.mean() - own, gain)
        M = self.along.shape[1]
        return Belief(self.compute, self.sizes, moved[:, :M], moved[:, M:])


def draw_laws(
    draws: Sequence[Sequence[Law]], weights: Array, rng: np.random.Generator, compute: float
) -> list[Law]:
    """Laws drawn by weight; those without an optimum at the target are passed over.

    Raises:
        FitError: when most have none.
    """
    found: list[Law] = []
    lost = 0
    for i in rng.choice(len(draws), 2 * DRAWS, p=weights / weights.sum()):
        law = draws[i][int(rng.integers(len(draws[i])))]
        try:
            best = law.optimum(compute)
        except ValueError:
            lost += 1
            continue
        if not (0 < best.N < math.inf and 0 < best.D < math.inf):  # past what a float holds
            lost += 1
            continue
        found.append(law)
        if len(found) == DRAWS:
            return found
    if lost > DRAWS:
        raise FitError(
            f"{lost} of {2 * DRAWS} draws have no best size at {compute:.4g} FLOP: the runs do not "
            "separate the effects of size and tokens. Add sizes, smaller and larger ones, each with several "
            "budgets."
        )
    return found
