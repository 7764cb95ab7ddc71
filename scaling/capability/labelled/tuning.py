"""How a model is fine-tuned on labelled rows, and how several seeds become one score."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from scaling.capability.compress import compress
from scaling.capability.finished import Subject
from scaling.capability.labelled.rows import digest
from scaling.capability.reader import Reader, fresh_copy
from scaling.capability.score import Score, binomial_se
from scaling.capability.tune import LORA_TIMES, SHARE, steps_for, tune

SEEDS = 3
RESAMPLES = 500
Array = NDArray[np.float64]
T = TypeVar("T")


@dataclass(frozen=True)
class Tuning:
    """What is asked of fine-tuning. A setting names what differs from the default."""

    examples: int | None = None  # labelled rows to learn from; None is all that are not held out
    lora: int | None = None  # rank; None trains every weight
    scratch: bool = False  # from untrained weights
    seeds: int = SEEDS
    compression: Mapping[str, Any] = field(default_factory=dict)  # of the tuned model

    def __post_init__(self) -> None:
        for name in ("examples", "lora", "seeds"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"--{name}: at least 1; got {value}.")

    @property
    def setting(self) -> dict[str, Any]:
        """As a score's setting has it."""
        own = {"examples": self.examples, "lora": self.lora, "scratch": self.scratch}
        own["seeds"] = self.seeds if self.seeds != SEEDS else None
        return {**{key: value for key, value in own.items() if value}, **self.compression}

    @property
    def share(self) -> float:
        """Of the run's own rate: as a rule, all of it from scratch, .3 of trained weights, 3 of low rank."""
        if self.lora is not None:
            return SHARE * LORA_TIMES
        return 1.0 if self.scratch else SHARE

    def prepare(self, subject: Subject, seed: int) -> Subject:
        """The subject to tune."""
        return replace(subject, model=fresh_copy(subject, seed)) if self.scratch else subject

    def run(
        self,
        weights: Sequence[nn.Parameter],
        loss: Callable[[Sequence[int]], torch.Tensor],
        examples: int,
        rate: float,
        seed: int,
    ) -> None:
        """Fine-tune."""
        steps = steps_for(examples)
        tune(weights, loss, examples=examples, steps=steps, rate=rate, share=self.share, seed=seed)

    def finish(self, model: nn.Module) -> nn.Module:
        """The tuned model, compressed where that is asked."""
        model.eval()  # what a step has left behind goes with it
        return compress(model, dict(self.compression))[0] if self.compression else model


@dataclass(frozen=True)
class Outcome:
    """What one tuned model said: per held-out row, counts that add up (rows, k), and losses (rows,)."""

    counts: Array
    losses: Array  # [nats] of the label; NaN where a row has none


@dataclass(frozen=True)
class Tuned:
    """A model that has learnt to classify, tag or answer, and what its outputs stand for."""

    kind: str
    reader: Reader
    words: tuple[str, ...] = ()  # labels or tags, one an output
    longest: int = 0  # tokens of an answer at most

    @property
    def facts(self) -> dict[str, Any]:
        """As the config of an export has it."""
        return {"kind": self.kind, "words": self.words, "longest": self.longest}


@dataclass(frozen=True)
class Labelled(ABC, Generic[T]):
    """Labelled rows to learn from and to be asked, and how a model learns them."""

    name: str
    train: tuple[T, ...]
    test: tuple[T, ...]
    tuning: Tuning = Tuning()

    metric = ""
    main = ""  # the metric that is the score's value
    unit = "nats/label"

    def identity(self) -> dict[str, Any]:
        """What decides the score beside the setting: the rows, wherever they lie."""
        return {"train": self.train, "test": self.test}

    def check(self) -> None:
        """
        Raises:
            ValueError: for more examples than there are.
        """
        asked = self.tuning.examples
        if asked is not None and asked > len(self.train):
            raise ValueError(
                f"--examples {asked}: task {self.name!r} has {len(self.train)} rows to learn from, and "
                f"{len(self.test)} held out. Ask for fewer, or label more."
            )

    def chosen(self, seed: int) -> list[T]:
        """The examples of a seed: the first of an order that only their text and the seed decide."""
        order = sorted(self.train, key=lambda row: digest(f"{seed} {row}"))
        return order[: self.tuning.examples]

    def score(self, subject: Subject) -> Score:
        """Fine-tune a copy for every seed and ask it the held-out rows."""
        self.check()
        outcomes = [self.outcome(subject, seed) for seed in range(self.tuning.seeds)]
        found = combine(outcomes, self.measures)
        details = {key: value for key, value in found.items() if key not in (self.main, f"{self.main}_se")}
        details["examples"] = float(self.tuning.examples or len(self.train))
        value, se = found[self.main], found[f"{self.main}_se"]
        details |= {"low": max(0.0, value - 1.96 * se), "high": min(1.0, value + 1.96 * se)}
        chance, confusion = self.chance(), self.confusion(outcomes)
        return Score(value, se, chance, len(self.test), self.metric, details, confusion)

    def outcome(self, subject: Subject, seed: int) -> Outcome:
        """Fine-tune one copy and ask it."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = self.tune(subject, seed)
        with torch.inference_mode():
            return self.ask(subject, model)

    @abstractmethod
    def tune(self, subject: Subject, seed: int) -> nn.Module:
        """A copy that has learnt from the examples of a seed."""

    @abstractmethod
    def ask(self, subject: Subject, model: Any) -> Outcome:
        """What a tuned copy says of the held-out rows."""

    def tuned(self, reader: Reader) -> Tuned | None:
        """A tuned copy with what its outputs stand for; None where it writes text."""
        return None

    @abstractmethod
    def measures(self, counts: Array) -> dict[str, Array]:
        """Metrics (draws,) of summed counts (draws, k)."""

    def chance(self) -> float:
        """The score of guessing."""
        return 0.0

    def confusion(self, outcomes: Sequence[Outcome]) -> dict[str, dict[str, float]]:
        """True label → guessed label → mean number of rows; none where it has no meaning."""
        return {}


def combine(outcomes: Sequence[Outcome], measures: Callable[[Array], dict[str, Array]]) -> dict[str, float]:
    """Each metric as a mean over seeds, with its standard error over held-out rows and seeds.

    The error's square is that of resampled rows plus that of the mean of seeds; a share of all or none has
    that of half a row. Adds `task_loss` [nats per label] and `seed_sd`, the spread of the first metric.
    """
    rows = len(outcomes[0].losses)
    draws = np.random.default_rng(0).multinomial(rows, np.full(rows, 1 / rows), RESAMPLES).astype(float)
    whole = [measures(o.counts.sum(axis=0)[None]) for o in outcomes]
    drawn = [measures(draws @ o.counts) for o in outcomes]
    found: dict[str, float] = {}
    for name in whole[0]:
        values = np.array([float(one[name][0]) for one in whole])
        of_rows = float(np.mean([one[name] for one in drawn], axis=0).std(ddof=1))
        value = float(values.mean())
        if value in (0.0, 1.0):
            of_rows = max(of_rows, binomial_se(value, rows))
        found[name], found[f"{name}_se"] = value, float(np.hypot(of_rows, _se(values)))
        if "seed_sd" not in found:
            found["seed_sd"] = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    losses = np.array([o.losses for o in outcomes])
    told = np.isfinite(losses).all(axis=0)
    each = losses[:, told]
    found["task_loss"] = float(each.mean())
    found["task_loss_se"] = float(np.hypot(_se(each.mean(axis=0)), _se(each.mean(axis=1))))
    return found


def _se(values: Array) -> float:
    """Standard error of a mean; 0 of one value, which says nothing about its spread."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0
