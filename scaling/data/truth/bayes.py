"""The best that can be learnt about facts from given rows, and a detector of models that know more."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scaling.data.layout import Ids
from scaling.data.truth.law import Array
from scaling.data.truth.zipf_facts import ZipfFacts

LEAK = 5.0  # standard deviations below what the rows allow


def count_answers(source: ZipfFacts, batches: Iterable[Ids]) -> NDArray[np.int64]:
    """(K, answers) how often each fact was seen with each answer."""
    counts = np.zeros((source.keys, source.answers), dtype=np.int64)
    for ids in batches:
        np.add.at(counts, (source.ranks(ids), ids[:, -1]), 1)
    return counts


def posterior(source: ZipfFacts, counts: NDArray[np.int64]) -> Array:
    """(K, answers) probability that f(j) = y, given the counts: w_y ∝ (q1 / q0)^{count_y}.

    Raises:
        ValueError: for a source without noise, whose posterior is no ratio of probabilities.
    """
    if source.wrong <= 0:
        raise ValueError("data.settings.noise: the Bayes learner needs answers with noise above 0.")
    logits = counts * math.log(source.right / source.wrong)
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    normalised: Array = weights / weights.sum(axis=1, keepdims=True)
    return normalised


def bayes_log_probs(source: ZipfFacts, counts: NDArray[np.int64]) -> Array:
    """(K, answers) ln of what the best learner says of the next answer: w q1 + (1 - w) q0."""
    log_probs: Array = np.log(source.wrong + (source.right - source.wrong) * posterior(source, counts))
    return log_probs


def bayes_loss(source: ZipfFacts, counts: NDArray[np.int64]) -> float:
    """Population loss of the best learner given these counts, exact [nats]."""
    told = _losses_if(source, bayes_log_probs(source, counts))
    return float(source.frequency @ told[np.arange(source.keys), source.facts])


def bayes_curve(
    source: ZipfFacts, tokens: Iterable[int], draws: int = 8, seed: int = 0
) -> list[tuple[float, float]]:
    """Mean population loss of the best learner after each number of rows, and its standard error.

    The mean is over the rows drawn and over f: each draw has its own counts, and f enters by its posterior.
    """
    rng = np.random.default_rng(seed)
    curve = []
    for rows in tokens:
        losses = []
        for _ in range(draws):
            facts = rng.integers(0, source.answers, source.keys)
            seen = rng.multinomial(rows, source.frequency)
            law = np.full((source.keys, source.answers), source.wrong)
            law[np.arange(source.keys), facts] = source.right
            counts = rng.multinomial(seen, law)
            told = _losses_if(source, bayes_log_probs(source, counts))
            losses.append(float(source.frequency @ (posterior(source, counts) * told).sum(axis=1)))
        curve.append((float(np.mean(losses)), float(np.std(losses, ddof=1) / math.sqrt(draws))))
    return curve


@dataclass(frozen=True)
class Leak:
    """A model against the rows that it was trained on [nats].

    Given the rows alone, f(j) is uncertain, and the population loss of the model has an expectation that no
    model can bring below `bayes`. A loss far below `expected` is knowledge that the rows do not hold.
    """

    loss: float  # population loss of the model
    expected: float  # of that model, given the rows; at least `bayes`
    bayes: float  # of the best learner, given the rows
    sd: float  # of `loss` around `expected`, from facts that the rows leave open

    @property
    def surprise(self) -> float:
        """How far the loss lies below what the rows allow, in standard deviations."""
        return (self.expected - self.loss) / self.sd if self.sd else 0.0

    @property
    def leaks(self) -> bool:
        """Whether the model knows what its rows do not say; a model that beats the best learner does.

        With no leak, the surprise is that of a sum of independent terms: 5 has a probability below 1e-6 where
        that is normal, and below 0.04 whatever its distribution (Cantelli's inequality).
        """
        return self.surprise > LEAK

    def __str__(self) -> str:
        verdict = "LEAK" if self.leaks else "no leak"
        return (
            f"{verdict}: loss {self.loss:.5f}, best learner {self.bayes:.5f}, "
            f"surprise {self.surprise:+.1f} standard deviations"
        )


def find_leak(source: ZipfFacts, log_probs: Array, counts: NDArray[np.int64]) -> Leak:
    """Compare a trained model with the best learner of the same rows.

    Args:
        log_probs: (K, vocab) ln of what the model says of the answer, in the order of ranks.
        counts: (K, answers) of every row that it was trained on, as from `count_answers`.
    """
    weights = posterior(source, counts)
    told = _losses_if(source, log_probs)
    best = _losses_if(source, bayes_log_probs(source, counts))
    mean = (weights * told).sum(axis=1)
    variance = (weights * (told - mean[:, None]) ** 2).sum(axis=1)
    p = source.frequency
    return Leak(
        loss=float(p @ told[np.arange(source.keys), source.facts]),
        expected=float(p @ mean),
        bayes=float(p @ (weights * best).sum(axis=1)),
        sd=math.sqrt(float(p**2 @ variance)),
    )


def answer_log_probs(source: ZipfFacts, predict: Callable[[Ids], Array]) -> Array:
    """(K, vocab) what a model says of every fact, in the order of ranks; `predict` maps rows to log_probs."""
    return np.concatenate([predict(ids)[:, -1] for ids in source.heldout(source.digits, 1, None)])


def _losses_if(source: ZipfFacts, log_probs: Array) -> Array:
    """(K, answers) loss at each key if its fact were y, over noisy answers."""
    told = log_probs[:, : source.answers]
    losses: Array = -(source.right - source.wrong) * told - source.wrong * told.sum(axis=1, keepdims=True)
    return losses
