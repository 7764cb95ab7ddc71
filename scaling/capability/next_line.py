"""*Next line*: which of four lines comes next?

The others are from elsewhere, as long, indented within a level as far, and as common without their context.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import accumulate

from scaling.capability.items import (
    ANSWER,
    WINDOW,
    Draft,
    Item,
    Trigrams,
    ending,
    gather,
    heldout_documents,
    size,
)
from scaling.data.dataset import Dataset

SHORTEST = 12  # bytes of a line worth asking for, without indentation
SLACK = 0.25  # by which lengths may differ
LEVEL = 4  # characters by which indentation may
DRAWN = 100  # lines to choose the wrong ones from


def next_line(dataset: Dataset) -> list[Item]:
    """Four choices; the last line of the prompt is whole."""
    documents = heldout_documents(dataset)
    trigrams = Trigrams(dataset)
    pool = [(n, line) for n, text in enumerate(documents) for line in text.split("\n") if _fit(line)]

    def find(number: int, text: str, rng: random.Random) -> Iterator[Draft]:
        lines = text.split("\n")
        starts = [0, *accumulate(len(line) + 1 for line in lines)]
        for row in rng.sample(range(len(lines)), len(lines)):
            line, prompt = (
                lines[row],
                ending(text[max(0, starts[row] - WINDOW) : starts[row]], WINDOW - ANSWER),
            )
            if not _fit(line) or len(prompt.strip()) < SHORTEST:
                continue
            drawn = {pool[rng.randrange(len(pool))] for _ in range(DRAWN)}
            alike = {other for origin, other in drawn if origin != number and _alike(line, other)}
            if len(alike) >= 3:
                wrong = trigrams.nearest(line, alike, 3)
                yield Draft(prompt, f"{line}\n", tuple(f"{other}\n" for other in wrong))

    return gather("next_line", documents, find)


def _fit(line: str) -> bool:
    return len(line.strip()) >= SHORTEST and size(line) < ANSWER


def _alike(line: str, other: str) -> bool:
    shape, other_shape = ((len(text) - len(text.lstrip()), size(text.strip())) for text in (line, other))
    return (
        line != other
        and abs(shape[0] - other_shape[0]) <= LEVEL
        and abs(shape[1] - other_shape[1]) <= SLACK * shape[1]
    )
