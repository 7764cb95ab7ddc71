"""A stream of tokens with an exact entropy rate, every one of them predicted."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scaling.data.layout import Ids
from scaling.data.truth.law import Array, Truth, require, zipf

HELDOUT = 2**32  # seeds the held-out rows; steps of training, seeded beside it, are smaller
TOKENS = 131072  # held-out tokens where nobody says how many


@dataclass(frozen=True)
class ZipfMarkov(Truth):
    """After x comes f(x) with probability `follow`, else a token drawn from Zipf's law q.

    q_k ∝ k^-(1 + exponent), and f(x) is drawn from q once. P(y | x) = follow [y = f(x)] + (1 - follow) q_y.
    The stationary law solves s = (1 - follow) q + follow F^T s, and the entropy rate, which is the floor at
    every position of a row that starts from s, is sum_x s_x H(P(· | x)).
    """

    tokens: int = 512
    exponent: float = 0.7
    follow: float = 0.75
    world: int = 0  # seeds f

    def __post_init__(self) -> None:
        require("tokens", self.tokens, 2, 8192)  # the linear solve is dense
        require("exponent", self.exponent, 0, 10)
        require("follow", self.follow, 0, 0.999)
        require("world", self.world, 0, 2**32)

    @property
    def vocab(self) -> int:
        return self.tokens

    @property
    def exact(self) -> bool:
        return False

    @cached_property
    def frequency(self) -> Array:
        """(vocab,) q."""
        return zipf(self.tokens, self.exponent)

    @cached_property
    def successor(self) -> NDArray[np.int64]:
        """(vocab,) f."""
        rng = np.random.default_rng(self.world)
        return rng.choice(self.tokens, size=self.tokens, p=self.frequency)

    @cached_property
    def stationary(self) -> Array:
        """(vocab,) s."""
        forward = np.zeros((self.tokens, self.tokens))
        forward[self.successor, np.arange(self.tokens)] = 1.0
        left = np.eye(self.tokens) - self.follow * forward
        return np.asarray(np.linalg.solve(left, (1 - self.follow) * self.frequency), dtype=np.float64)

    @cached_property
    def transition(self) -> Array:
        """(vocab, vocab) P(y | x), one row per x."""
        P: Array = np.tile((1 - self.follow) * self.frequency, (self.tokens, 1))
        P[np.arange(self.tokens), self.successor] += self.follow
        return P

    @cached_property
    def floor(self) -> float:
        return float(-(self.stationary[:, None] * self.transition * np.log(self.transition)).sum())

    @property
    def unigram(self) -> float:
        """Entropy of one token without its past [nats]: what a model that sees nothing can reach."""
        return float(-(self.stationary * np.log(self.stationary)).sum())

    def draw(self, rng: np.random.Generator, rows: int, context: int) -> Ids:
        ids = np.empty((rows, context + 1), dtype=np.int64)
        ids[:, 0] = np.searchsorted(self._cumulate(self.stationary), rng.random(rows), side="right")
        fresh = np.searchsorted(self._cumulate(self.frequency), rng.random((rows, context)), side="right")
        follows = rng.random((rows, context)) < self.follow
        for t in range(context):
            ids[:, t + 1] = np.where(follows[:, t], self.successor[ids[:, t]], fresh[:, t])
        return ids

    def heldout(self, context: int, sequences: int, tokens: int | None) -> list[Ids]:
        batches = -(-(tokens or TOKENS) // (sequences * context))
        return [
            self.draw(np.random.default_rng([self.world, HELDOUT, i]), sequences, context)
            for i in range(batches)
        ]

    def losses(self, log_probs: Array, ids: Ids) -> tuple[Array, Array]:
        """The entropy rate plus the mean of ln P - ln p_model over the same tokens: a control variate.

        Its expectation is the loss of the model, because ln P has the expectation -floor at every position.
        What the tokens are worth by themselves, most of the noise of a loss, cancels.
        """
        model = np.take_along_axis(log_probs, ids[:, 1:, None], axis=2)[:, :, 0]
        excess = np.log(self.transition[ids[:, :-1], ids[:, 1:]]) - model
        losses: Array = self.floor + excess.mean(axis=1)
        return losses, np.full(len(ids), float(ids.shape[1] - 1))

    @staticmethod
    def _cumulate(probabilities: Array) -> Array:
        cumulative = np.cumsum(probabilities)
        cumulative[-1] = 1.0  # rounding must not leave a draw without a token
        return cumulative
