"""`write:FILE`: rows of `source` and `target`, such as summaries or translations; BLEU and ROUGE."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from scaling.capability.finished import Subject
from scaling.capability.labelled.rows import text_of
from scaling.capability.labelled.tuning import Array, Labelled, Outcome
from scaling.capability.likelihood import Question
from scaling.capability.score import Score
from scaling.capability.write import mean_loss, pair_ids, write_after
from scaling.capability.writing import score_writing
from scaling.models.derived import add_low_rank, restore

BETWEEN = "\n=> "  # stands between source and target
ASKED = 128  # held-out rows at most: a token is written at a time


class Pair(NamedTuple):
    """A source and what is to be written after it."""

    source: str
    target: str


def read_pair(cells: dict[str, Any]) -> Pair:
    """
    Raises:
        Bad: for a row without source or target.
    """
    return Pair(text_of(cells, "source"), text_of(cells, "target"))


@dataclass(frozen=True)
class Write(Labelled[Pair]):
    """Pairs. A source that does not fit with its target loses its beginning."""

    metric = "BLEU/100"
    main = "bleu"
    unit = "nats/token"

    def score(self, subject: Subject) -> Score:
        """As of every task; BLEU is that of a whole set of texts, so it is resampled by its own rule."""
        self.check()
        scores, losses = [], []
        for seed in range(self.tuning.seeds):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                learner = replace(subject, model=self.tune(subject, seed))
            with torch.inference_mode():
                losses.append(self.ask(subject, learner.model).losses)
                scores.append(score_writing(self._write(learner), [row.target for row in self.asked]))
        return self._mean(scores, np.array(losses))

    @property
    def asked(self) -> tuple[Pair, ...]:
        """The held-out rows that are asked."""
        return self.test[:ASKED]

    def _write(self, subject: Subject) -> list[str]:
        tokens = subject.dataset.encode
        most = 1 + max(len(tokens(row.target)) for row in (*self.train, *self.asked))
        return write_after(subject, [row.source for row in self.asked], BETWEEN, "", most)

    def _mean(self, scores: Sequence[Score], losses: Array) -> Score:
        """Means over seeds, with errors over texts and seeds."""
        details: dict[str, float] = {}
        for key in scores[0].details:
            if not key.endswith("_se"):
                details[key], details[f"{key}_se"] = _mean_and_se(
                    [s.details[key] for s in scores], [s.details[f"{key}_se"] for s in scores]
                )
        value, se = _mean_and_se([s.value for s in scores], [s.se for s in scores])
        loss, spread = losses.mean(axis=1), losses.mean(axis=0)
        own = [float(spread.std(ddof=1) / np.sqrt(len(spread)))] * len(loss)
        details["task_loss"], details["task_loss_se"] = _mean_and_se([float(x) for x in loss], own)
        details["seed_sd"] = float(np.std([s.value for s in scores], ddof=1)) if len(scores) > 1 else 0.0
        details["examples"] = float(self.tuning.examples or len(self.train))
        details |= {"low": max(0.0, value - 1.96 * se), "high": min(1.0, value + 1.96 * se)}
        return Score(value, se, 0.0, len(self.asked), self.metric, details)

    def tune(self, subject: Subject, seed: int) -> nn.Module:
        """A copy that has learnt to write what belongs behind a source."""
        rows = self._rows(subject, self.chosen(seed))
        model = copy.deepcopy(self.tuning.prepare(subject, seed).model).train()
        learner, lora = replace(subject, model=model), self.tuning.lora
        weights = list(model.parameters()) if lora is None else add_low_rank(model, lora)
        self.tuning.run(weights, partial(mean_loss, learner, rows), len(rows), subject.rate, seed)
        restore(model)
        return self.tuning.finish(model.eval())

    def ask(self, subject: Subject, model: Any) -> Outcome:
        """The loss of what should be written; there is nothing to count."""
        learner = replace(subject, model=model)
        rows = self._rows(subject, self.asked)
        losses = [float(mean_loss(learner, rows, [i])) for i in range(len(rows))]
        return Outcome(np.zeros((len(rows), 0)), np.array(losses))

    def measures(self, counts: Array) -> dict[str, Array]:
        return {}

    def _rows(self, subject: Subject, pairs: Sequence[Pair]) -> list[tuple[Question, int]]:
        """Ids of pairs.

        Raises:
            ValueError: for a target that leaves no room for a source.
        """
        encode = subject.dataset.encode
        apart = subject.objective == "seq2seq"  # a source has a context of its own
        found = []
        for pair in pairs:
            used = len(encode(BETWEEN)) + len(encode(pair.target)) + 1
            room = subject.context if apart else subject.context + 1 - used
            if room < 1 or used > subject.context + 1:
                raise ValueError(
                    f"task {self.name!r}: a target of {len(encode(pair.target))} tokens does not fit the "
                    f"context of {subject.context} behind its source. Train with a larger data.context, or "
                    "cut the targets."
                )
            found.append(pair_ids(subject, *pair, BETWEEN, "", room))
        return found


def _mean_and_se(values: Sequence[float], errors: Sequence[float]) -> tuple[float, float]:
    """The mean over seeds, and its error by that of texts and the spread of seeds."""
    of_seeds = float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0
    return float(np.mean(values)), float(np.hypot(np.mean(errors), of_seeds))
