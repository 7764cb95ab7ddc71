"""*Classify*: which package is a snippet from? Asked of every family, fine-tuned with one more layer."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from scaling.capability.finished import Subject
from scaling.capability.items import WINDOW, NothingToAsk
from scaling.capability.reader import Reader, encode_row
from scaling.capability.score import Score, binomial_se, bootstrap_se
from scaling.capability.tune import tune
from scaling.data.corpora import find_source, identify
from scaling.data.dataset import Dataset
from scaling.data.split import Tally, split_documents
from scaling.study.spec import DataSpec

CLASSES = 8
TRAIN, TEST = 1024, 256  # snippets, the same number of each class
STEPS = 128


@dataclass(frozen=True)
class Snippets:
    """Windows of text with the number of their class."""

    classes: tuple[str, ...]
    train: tuple[tuple[str, int], ...]
    test: tuple[tuple[str, int], ...]

    def score(self, subject: Subject) -> Score:
        """Accuracy on the test snippets; `details` has macro-F1 and the mean log-probability of the class."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            reader = Reader(subject, len(self.classes))
        inputs = [encode_row(subject, subject.dataset.encode(text)) for text, _ in self.train]
        labels = torch.tensor([label for _, label in self.train], device=subject.device)
        tune(
            reader.parameters(),
            lambda rows: F.cross_entropy(reader([inputs[i] for i in rows]), labels[rows]),
            examples=len(inputs),
            steps=STEPS,
            rate=subject.rate,
        )
        reader.eval()
        told = []
        with torch.inference_mode():
            for part in range(0, len(self.test), 64):
                told.append(
                    reader(
                        [
                            encode_row(subject, subject.dataset.encode(text))
                            for text, _ in self.test[part : part + 64]
                        ]
                    )
                )
        log_p = torch.log_softmax(torch.cat(told).double(), -1).cpu().numpy()
        return _score(log_p, np.array([label for _, label in self.test]))


def _score(log_p: NDArray[np.float64], labels: NDArray[np.int64]) -> Score:
    guesses, classes = log_p.argmax(axis=1), log_p.shape[1]
    accuracy = float((guesses == labels).mean())
    own = log_p[np.arange(len(labels)), labels]
    details = {
        "macro_f1": macro_f1(guesses, labels, classes),
        "macro_f1_se": bootstrap_se(len(labels), lambda i: macro_f1(guesses[i], labels[i], classes), 500),
        "logprob": float(own.mean()),
        "logprob_se": float(own.std(ddof=1) / np.sqrt(len(own))),
    }
    return Score(accuracy, binomial_se(accuracy, len(labels)), 1 / classes, len(labels), "accuracy", details)


def macro_f1(guesses: NDArray[np.int64], labels: NDArray[np.int64], classes: int) -> float:
    """Mean over the classes that occur of 2 hits / (guesses of it + occurrences)."""
    scores = []
    for c in range(classes):
        occurs = int((labels == c).sum())
        if occurs:
            hits = int(((labels == c) & (guesses == c)).sum())
            scores.append(2 * hits / (occurs + int((guesses == c).sum())))
    return float(np.mean(scores))


def classify(dataset: Dataset, spec: DataSpec) -> Snippets:
    """Snippets of the packages that most of the held-out text is from, split as the corpus is.

    Raises:
        ValueError: for a corpus whose documents do not tell where they are from.
    """
    held: dict[str, list[str]] = defaultdict(list)
    train: dict[str, list[str]] = defaultdict(list)
    tally = Tally()
    source = find_source(spec)
    for split, key, text in split_documents(
        source, heldout_fraction=spec.heldout_fraction, limit_bytes=spec.limit_bytes, tally=tally
    ):
        package = _package(key)
        if package:
            (held if split == "heldout" else train)[package].append(text.decode())
    assert dataset.tokenizer is not None
    if identify(tally.content, dataset.vocab, dataset.tokenizer.digest) != dataset.fingerprint:
        raise ValueError(f"corpus {spec.corpus!r} changed while it was read. Try again.")
    per_class = TEST // CLASSES
    sizes = {name: sum(map(len, held[name])) for name in held if name in train}
    classes = sorted(sizes, key=lambda name: (-sizes[name], name))[:CLASSES]
    classes = sorted(name for name in classes if sizes[name] >= 2 * per_class * WINDOW)
    if len(classes) < 2:
        raise NothingToAsk(
            f"task 'classify': corpus {spec.corpus!r} has {len(classes)} packages with enough held-out text; "
            "2 are needed. Documents are told apart by their top folder."
        )
    rng = random.Random("classify")
    return Snippets(
        tuple(classes),
        _cut([train[name] for name in classes], TRAIN // len(classes), rng),
        _cut([held[name] for name in classes], TEST // len(classes), rng),
    )


def _package(key: str) -> str:
    """The top folder of a document, of an installed package its own."""
    folders = key.split("/")[:-1]
    return folders[1] if folders[:1] == ["packages"] and len(folders) > 1 else "".join(folders[:1])


def _cut(texts: Sequence[Sequence[str]], count: int, rng: random.Random) -> tuple[tuple[str, int], ...]:
    """`count` windows a class, from its documents in turn."""
    found = []
    for label, documents in enumerate(texts):
        chosen = sorted(d for d in documents if len(d) > WINDOW)
        rng.shuffle(chosen)
        for i in range(count):
            text = chosen[i % len(chosen)]
            place = rng.randrange(len(text) - WINDOW)
            found.append((text[place : place + WINDOW], label))
    rng.shuffle(found)
    return tuple(found)
