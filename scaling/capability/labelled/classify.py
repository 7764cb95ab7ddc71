"""`classify:FILE`: rows of `text` and `label`; accuracy, macro-F1 and the confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from scaling.capability.finished import Subject
from scaling.capability.labelled.rows import Bad, cell_of, shown, text_of
from scaling.capability.labelled.tuning import Array, Labelled, Outcome, Tuned
from scaling.capability.reader import Reader, encode_row, in_batches


class Text(NamedTuple):
    """A text and its label."""

    text: str
    label: str


def read_text(cells: dict[str, Any]) -> Text:
    """
    Raises:
        Bad: for a row without text or label.
    """
    text, label = text_of(cells, "text"), cell_of(cells, "label")
    if not isinstance(label, str | int | float | bool):
        raise Bad(f"'label' is a word or a number; got {shown(label)}")
    if not str(label).strip():
        raise Bad("'label' is empty")
    return Text(text, str(label).strip())


@dataclass(frozen=True)
class Classify(Labelled[Text]):
    """Texts with labels. A text longer than the context is read up to there."""

    metric = "accuracy"
    main = "accuracy"

    @property
    def classes(self) -> list[str]:
        """Every label, in order."""
        return sorted({row.label for row in (*self.train, *self.test)})

    def check(self) -> None:
        super().check()
        if len(self.classes) < 2:
            raise ValueError(
                f"task {self.name!r}: every row has the label {self.classes[0]!r}; 2 labels are needed."
            )

    def tune(self, subject: Subject, seed: int) -> nn.Module:
        rows = self.chosen(seed)
        reader = Reader(self.tuning.prepare(subject, seed), len(self.classes), self.tuning.lora)
        inputs = [encode_row(subject, subject.dataset.encode(row.text)) for row in rows]
        labels = torch.tensor([self.classes.index(row.label) for row in rows], device=subject.device)
        self.tuning.run(
            list(reader.trained()),
            lambda numbers: F.cross_entropy(reader([inputs[i] for i in numbers]), labels[numbers]),
            *(len(rows), subject.rate, seed),
        )
        reader.model = self.tuning.finish(reader.model)
        return reader.eval()

    def ask(self, subject: Subject, model: Any) -> Outcome:
        inputs = [encode_row(subject, subject.dataset.encode(row.text)) for row in self.test]
        told = torch.cat([model(batch) for batch in in_batches(inputs)])
        log_p = torch.log_softmax(told.double(), -1).cpu().numpy()
        labels = np.array([self.classes.index(row.label) for row in self.test])
        each, k = np.arange(len(labels)), len(self.classes)
        counts = np.zeros((len(labels), k * k))
        counts[each, labels * k + log_p.argmax(axis=1)] = 1
        return Outcome(counts, -log_p[each, labels])

    def tuned(self, reader: Reader) -> Tuned:
        return Tuned("classify", reader, tuple(self.classes))

    def measures(self, counts: Array) -> dict[str, Array]:
        k = len(self.classes)
        table = counts.reshape(-1, k, k)  # true, guessed
        hits = np.diagonal(table, axis1=1, axis2=2)
        true, guessed = table.sum(axis=2), table.sum(axis=1)
        f1 = 2 * hits / np.maximum(true + guessed, 1)
        occurs = true > 0
        macro = (f1 * occurs).sum(axis=1) / np.maximum(occurs.sum(axis=1), 1)
        return {"accuracy": hits.sum(axis=1) / table.sum(axis=(1, 2)), "macro_f1": macro}

    def chance(self) -> float:
        """That of always saying the commonest label."""
        labels = [row.label for row in self.test]
        return max(labels.count(c) for c in self.classes) / len(labels)

    def confusion(self, outcomes: Sequence[Outcome]) -> dict[str, dict[str, float]]:
        k = len(self.classes)
        mean = np.mean([o.counts.sum(axis=0) for o in outcomes], axis=0).reshape(k, k)
        return {
            true: {guess: float(mean[i, j]) for j, guess in enumerate(self.classes) if mean[i, j]}
            for i, true in enumerate(self.classes)
        }


def label_text(tuned: Tuned, text: str) -> str:
    """The likeliest label of a text."""
    subject = tuned.reader.subject
    told = tuned.reader([encode_row(subject, subject.dataset.encode(text))])
    return tuned.words[int(told[0].argmax())]
