"""A source with a known law as a corpus like any other: endless training rows, a fixed held-out set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from scaling.data.batches import Batches
from scaling.data.dataset import Dataset
from scaling.data.layout import Ids, Layout
from scaling.data.sizes import BatchSizes, batch_sizes
from scaling.data.tokenset import json_digest
from scaling.data.truth.law import Truth
from scaling.data.truth.sources import SOURCES


class Stream(Batches):
    """Rows drawn afresh for every (seed, step): nothing repeats."""

    def __init__(self, source: Truth, *, context: int, sequences: int | BatchSizes, seed: int) -> None:
        self.source = source
        self.context = context
        self.sizes = batch_sizes(sequences)
        self.seed = seed

    def batch(self, step: int) -> Ids:
        """(sequences, context + 1)."""
        if step < 0:
            raise ValueError(f"step: counted from 0; got {step}.")
        return self.source.draw(np.random.default_rng([self.seed, step]), self.sizes.size(step), self.context)

    def tokens(self, steps: int) -> int:
        """All that are predicted."""
        return self.sizes.rows(steps) * _predicted(self.source, self.context)

    def tokens_unique(self, steps: int) -> int:
        """The same."""
        return self.tokens(steps)

    def epochs(self, steps: int) -> float:
        """1: the corpus is as long as the run."""
        return 1.0


@dataclass(frozen=True, kw_only=True)
class GeneratedDataset(Dataset):
    """Rows of a source with a known law. D counts predicted tokens: of facts, those that were answered."""

    source: Truth

    def batches(self, context: int, sequences: int | BatchSizes, seed: int) -> Batches:
        self._check(context)
        return Stream(self.source, context=context, sequences=sequences, seed=seed)

    def heldout_batches(self, context: int, sequences: int, tokens: int | None = None) -> list[Ids]:
        self._check(context)
        return self.source.heldout(context, sequences, tokens)

    def row_tokens(self, context: int) -> float:
        return _predicted(self.source, context)

    def reading(self, context: int) -> float:
        return context / _predicted(self.source, context)

    def _check(self, context: int) -> None:
        if self.source.context not in (None, context):
            raise ValueError(
                f"data.context: a row of {self.name} has a context of {self.source.context} with these "
                f"settings; got {context}. Give data.context={self.source.context}."
            )


def open_generated(corpus: str, vocab: int, settings: Mapping[str, float]) -> GeneratedDataset:
    """The corpus of this name.

    Raises:
        ValueError: for a setting that it does not have or a value out of range, or for another vocabulary
            than follows from the settings.
    """
    source = SOURCES[corpus].of(corpus, settings)
    if vocab != source.vocab:
        raise ValueError(
            f"data.vocab: {corpus} has {source.vocab} ids with these settings; got {vocab}. "
            f"Give data.vocab={source.vocab}."
        )
    identity = {"corpus": corpus, "version": source.version, **asdict(source)}
    return GeneratedDataset(
        name=corpus,
        fingerprint=json_digest(identity)[:16],
        layout=Layout(vocab, predicted=None if source.context is None else source.predicted(source.context)),
        token_bytes=np.zeros(vocab, dtype=np.int64),
        facts={"settings": asdict(source), "floor": source.floor},
        truth=source,
        source=source,
    )


def _predicted(source: Truth, context: int) -> int:
    """Predicted tokens of a row."""
    which = source.predicted(context)
    return context if which is None else int(which.sum())
