"""Facts of Zipfian frequency with noisy answers: floor, population loss and best learner are exact."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scaling.data.layout import Ids
from scaling.data.truth.law import Array, Truth, require, zipf

EVALUATION_ROWS = 1024  # a held-out batch; its rows are a few tokens each
MOST_KEYS = 2**22  # a population that is summed in every evaluation


@dataclass(frozen=True)
class ZipfFacts(Truth):
    """K = base^digits facts (key → answer). A row is the digits of one key and a noisy answer.

    Key j = 1 … K comes with probability p_j ∝ j^-(1 + exponent). Its digits are those of pi(j), with pi a
    random permutation, so that they say nothing of its rank. f(j) is uniform over the answers; a row answers
    f(j) with probability 1 - noise, and else uniformly. Digits and answers share their ids: their position
    tells them apart. Only the answer is predicted, so D counts facts seen.

    With q1 = 1 - noise + noise / V and q0 = noise / V the floor is -q1 ln q1 - (V - 1) q0 ln q0. A model that
    knows the n most frequent facts, and no other, has the floor + (ln V - floor) sum_{j > n} p_j: of slope
    -exponent in n as K → ∞. The best learner from D rows (`bayes.py`) has slope -exponent / (1 + exponent).
    Noise keeps the best logits finite.

    Source: Hutter 2021 (arXiv:2102.04074), the Zipf memoriser. We add the noise, and keys of several digits.
    """

    base: int = 64
    digits: int = 2
    answers: int = 16
    exponent: float = 0.7
    noise: float = 0.1
    world: int = 0  # seeds pi and f

    def __post_init__(self) -> None:
        require("base", self.base, 2, MOST_KEYS)
        require("digits", self.digits, 1, 64)
        require("answers", self.answers, 2, MOST_KEYS)
        require("exponent", self.exponent, 0, 10)
        require("noise", self.noise, 0, 1)
        require("world", self.world, 0, 2**32)
        if self.keys > MOST_KEYS:
            raise ValueError(
                f"data.settings: base^digits = {self.base}^{self.digits} = {self.keys:,} keys, all of which "
                f"every evaluation sums over; at most {MOST_KEYS:,}."
            )

    @property
    def keys(self) -> int:
        """K."""
        return int(self.base**self.digits)

    @property
    def vocab(self) -> int:
        return max(self.base, self.answers)

    @property
    def exact(self) -> bool:
        return True

    @property
    def right(self) -> float:
        """q1, the probability of the answer f(j)."""
        return 1 - self.noise + self.noise / self.answers

    @property
    def wrong(self) -> float:
        """q0, the probability of each other answer."""
        return self.noise / self.answers

    @property
    def floor(self) -> float:
        wrong = self.wrong * math.log(self.wrong) if self.wrong else 0.0
        return -self.right * math.log(self.right) - (self.answers - 1) * wrong

    @property
    def ignorance(self) -> float:
        """What one unknown fact costs above the floor [nats], given the uniform answer: ln V - floor."""
        return math.log(self.answers) - self.floor

    @cached_property
    def frequency(self) -> Array:
        """(K,) p_j in the order of ranks."""
        return zipf(self.keys, self.exponent)

    @cached_property
    def facts(self) -> NDArray[np.int64]:
        """(K,) f(j) in the order of ranks."""
        return np.random.default_rng([self.world, 1]).integers(0, self.answers, self.keys)

    def tail(self, known: float) -> float:
        """sum_{j > known} p_j; between integers, in proportion."""
        whole = int(known)
        rest = float(self.frequency[whole:].sum())
        return rest - (known - whole) * float(self.frequency[whole]) if whole < self.keys else rest

    @property
    def context(self) -> int | None:
        return self.digits

    def predicted(self, context: int) -> NDArray[np.bool_] | None:
        return np.asarray(np.arange(context) == context - 1)

    def draw(self, rng: np.random.Generator, rows: int, context: int) -> Ids:
        ranks = np.searchsorted(self._cumulative, rng.random(rows), side="right")
        noisy = rng.random(rows) < self.noise
        answers = np.where(noisy, rng.integers(0, self.answers, rows), self.facts[ranks])
        return np.concatenate([self._digits[ranks], answers[:, None]], axis=1)

    def heldout(self, context: int, sequences: int, tokens: int | None) -> list[Ids]:
        rows = np.concatenate([self._digits, self.facts[:, None]], axis=1)
        return [rows[i : i + EVALUATION_ROWS] for i in range(0, self.keys, EVALUATION_ROWS)]

    def losses(self, log_probs: Array, ids: Ids) -> tuple[Array, Array]:
        """The expectation over noisy answers, in closed form; the weight of a row is p_j."""
        ranks = self.ranks(ids)
        answer = log_probs[:, -1]
        right = np.take_along_axis(answer, self.facts[ranks][:, None], axis=1)[:, 0]
        every = answer[:, : self.answers].sum(axis=1)
        losses: Array = -(self.right - self.wrong) * right - self.wrong * every
        return losses, self.frequency[ranks]

    def exact_probabilities(self, ids: Ids) -> Array:
        """(rows, context, vocab) p(answer | key) at the last position, the one that is predicted; else 0.

        Args:
            ids: (rows, context) keys; the answer is not looked at.
        """
        found = np.zeros((len(ids), self.digits, self.vocab))
        found[:, -1, : self.answers] = self.wrong
        found[np.arange(len(ids)), -1, self.facts[self.ranks(ids)]] = self.right
        return found

    def hits(self, log_probs: Array, ids: Ids) -> tuple[Array, Array]:
        """Whether the most probable answer is f(j), 0 or 1 a row, and p_j: the weighted mean is accuracy."""
        ranks = self.ranks(ids)
        return (log_probs[:, -1].argmax(axis=1) == self.facts[ranks]).astype(float), self.frequency[ranks]

    def ranks(self, ids: Ids) -> NDArray[np.int64]:
        """j - 1 of each row."""
        numbers = ids[:, : self.digits] @ self.base ** np.arange(self.digits)[::-1]
        return np.asarray(self._rank_of[numbers], dtype=np.int64)

    @cached_property
    def _cumulative(self) -> Array:
        cumulative = np.cumsum(self.frequency)
        cumulative[-1] = 1.0  # rounding must not leave a draw without a key
        return cumulative

    @cached_property
    def _permutation(self) -> NDArray[np.int64]:
        return np.random.default_rng([self.world, 0]).permutation(self.keys)

    @cached_property
    def _rank_of(self) -> NDArray[np.int64]:
        return np.argsort(self._permutation)

    @cached_property
    def _digits(self) -> Ids:
        """(K, digits) key tokens in the order of ranks, most significant digit first."""
        places = self.base ** np.arange(self.digits)[::-1]
        return self._permutation[:, None] // places % self.base
