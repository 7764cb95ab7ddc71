"""A number, its error, and what guessing gives."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from scaling.capability.items import Item

RESAMPLES = 1000


@dataclass(frozen=True)
class Score:
    """What a model got in a task."""

    value: float
    se: float  # standard error over items
    chance: float  # value of guessing
    items: int
    metric: str
    details: dict[str, float] = field(default_factory=dict)
    confusion: dict[str, dict[str, float]] = field(default_factory=dict)  # true label → guess → items


def score_choices(items: Sequence[Item], log_probs: Sequence[NDArray[np.float64]]) -> Score:
    """Accuracy of taking the choice that is likeliest per byte, and what moves before accuracy does.

    A tie of k choices counts as 1/k. `details`:

    - logprob: of the right answer, per byte [nats/byte];
    - margin: of the right answer above the best wrong one, per byte [nats/byte];
    - probability: of the right answer among the choices, each weighed by its whole probability;
    - each with the standard error of its mean as `…_se`.

    Accuracy jumps where these move smoothly: Schaeffer et al. 2023 (arXiv:2304.15004). That mass on the wrong
    choices matters too: Schaeffer et al. 2024 (arXiv:2406.04391).
    """
    right, logprob, margin, probability = [], [], [], []
    for item, total in zip(items, log_probs, strict=True):
        rate = total / np.array([len(choice.encode()) for choice in item.choices])
        best = np.flatnonzero(rate == rate.max())
        right.append((item.answer in best) / len(best))
        logprob.append(rate[item.answer])
        margin.append(rate[item.answer] - np.delete(rate, item.answer).max())
        probability.append(1 / np.exp(total - total[item.answer]).sum())
    details: dict[str, float] = {}
    for name, values in (("logprob", logprob), ("margin", margin), ("probability", probability)):
        details[name] = float(np.mean(values))
        details[f"{name}_se"] = float(np.std(values, ddof=1) / math.sqrt(len(values)))
    chance = float(np.mean([1 / len(item.choices) for item in items]))
    value = float(np.mean(right))
    return Score(value, binomial_se(value, len(items)), chance, len(items), "accuracy", details)


def binomial_se(share: float, items: int) -> float:
    """Standard error of a share, never 0: of none or all right, half an item is taken to be otherwise."""
    p = (share * items + 0.5) / (items + 1)
    return math.sqrt(p * (1 - p) / items)


def bootstrap_se(items: int, statistic: Callable[[NDArray[np.int64]], float], resamples: int) -> float:
    """Standard deviation of `statistic`, a function of item numbers (items,), over resamples of items."""
    rng = np.random.default_rng(0)
    return float(np.std([statistic(rng.integers(0, items, items)) for _ in range(resamples)], ddof=1))
