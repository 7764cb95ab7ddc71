"""What a source with a known law offers to training, to evaluation and to tests."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from scaling.data.layout import Ids

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Truth(ABC):
    """A generated corpus whose law is known. Its fields are its settings, all numbers with defaults.

    A row is `context` + 1 ids. Everything a source is follows from its settings, so that two processes that
    agree on them hold the same source. `version` counts changes of the code that change its rows.
    """

    version: ClassVar[int] = 1

    @classmethod
    def of(cls, name: str, settings: Mapping[str, float]) -> Self:
        """The source with these settings, and its defaults elsewhere.

        Raises:
            ValueError: for a setting that it does not have, or a value out of its range.
        """
        known = {key: type(value) for key, value in asdict(cls()).items()}
        unknown = sorted(set(settings) - set(known))
        if unknown:
            raise ValueError(
                f"data.settings: corpus {name!r} has no {', '.join(unknown)}. It has: {', '.join(known)}."
            )
        given: dict[str, Any] = {}
        for key, value in settings.items():
            if known[key] is int and value != int(value):
                raise ValueError(f"data.settings.{key}: a whole number is needed; got {value:g}.")
            given[key] = known[key](value)
        return cls(**given)

    @property
    @abstractmethod
    def vocab(self) -> int:
        """Every id is below it."""

    @property
    @abstractmethod
    def floor(self) -> float:
        """The lowest loss that any model can have [nats per predicted token], exact."""

    @property
    @abstractmethod
    def exact(self) -> bool:
        """Whether `losses` over `heldout` is the loss on the whole population, without sampling error."""

    @property
    def context(self) -> int | None:
        """The only context that its rows can have; None is any."""
        return None

    def predicted(self, context: int) -> NDArray[np.bool_] | None:
        """(context,) which positions of a row are predicted; None is all of them."""
        return None

    @abstractmethod
    def draw(self, rng: np.random.Generator, rows: int, context: int) -> Ids:
        """(rows, context + 1) ids, drawn afresh."""

    @abstractmethod
    def heldout(self, context: int, sequences: int, tokens: int | None) -> list[Ids]:
        """A fixed evaluation set of about `tokens` predicted tokens, in batches of `sequences` rows.

        An exact source gives its whole population, in batches of its own size.
        """

    @abstractmethod
    def losses(self, log_probs: Array, ids: Ids) -> tuple[Array, Array]:
        """Loss and weight of each held-out row: the loss of a model is their weighted mean.

        The truth takes the place of the drawn answers: its probabilities where the population is summed, its
        expectation as a control variate where rows are drawn.

        Args:
            log_probs: (n, context, vocab) the model's ln probabilities of the next token.
            ids: (n, context + 1) rows of `heldout`.

        Returns:
            (n,) [nats per predicted token], and (n,) weights of 0 or more.
        """


def zipf(count: int, exponent: float) -> Array:
    """(count,) probabilities proportional to rank^-(1 + exponent), rank from 1."""
    weights = np.arange(1.0, count + 1) ** -(1 + exponent)
    normalised: Array = weights / weights.sum()
    return normalised


def require(name: str, value: float, low: float, high: float) -> None:
    """
    Raises:
        ValueError: for a setting outside [low, high].
    """
    if not low <= value <= high:
        raise ValueError(f"data.settings.{name}: from {low:g} to {high:g}; got {value:g}.")
