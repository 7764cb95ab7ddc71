"""The loss of finished runs on a held-out set that was named later."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from scaling.capability.finished import Subject
from scaling.capability.score import Score
from scaling.capability.tasks import Questions, Task
from scaling.data.corpora import CORPORA, open_encoded
from scaling.data.dataset import Dataset
from scaling.data.options import DataOptions
from scaling.data.truth.sources import SOURCES
from scaling.study.spec import EVALUATION_SEQUENCES, DataSpec
from scaling.training.evaluate import evaluate

TOKENS = 131072  # of a set, at most; as the default of `training.evaluation_tokens`


@dataclass(frozen=True)
class SetLoss:
    """The held-out loss on one set, in the tokens of the corpus that a run was trained on."""

    options: DataOptions
    fingerprint: str
    cache: str

    def identity(self) -> dict[str, Any]:
        """The text and tokens, wherever they lie."""
        return {"fingerprint": self.fingerprint, "tokens": TOKENS}

    def score(self, subject: Subject) -> Score:
        """Mean cross-entropy over the set."""
        dataset = open_encoded(self.options, subject.dataset, self.cache)
        rows = dataset.heldout_batches(subject.context, EVALUATION_SEQUENCES, TOKENS)
        found = evaluate(subject.model, subject.objective, rows, dataset, subject.device)
        subject.model.eval()
        details = {} if found.bits_per_byte is None else {"bits_per_byte": found.bits_per_byte}
        chance = math.log(subject.dataset.vocab)
        return Score(found.loss, found.loss_se, chance, found.tokens, "nats/token", details)


def loss_task(text: str, cache: str) -> Task:
    """The task `loss_NAME` of `NAME:PATHS`, text files or a glob, or of `NAME:CORPUS`.

    Raises:
        ValueError: for anything else.
    """
    name, colon, where = text.partition(":")
    if not (colon and name.isidentifier() and where):
        raise ValueError(f"--loss: NAME:PATHS is needed, e.g. prose:'books/*.txt'; got {text!r}.")
    known = where in CORPORA or where in SOURCES

    def make(dataset: Dataset, spec: DataSpec) -> Questions:
        options = DataOptions(where if known else "text", dataset.vocab, () if known else (where,))
        return SetLoss(options, open_encoded(options, dataset, cache).fingerprint, cache)

    return Task(f"loss_{name}", "likelihood", make)
