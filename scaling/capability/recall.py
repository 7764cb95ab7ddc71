"""*Recall*: a rare name was there, and is there again: which one of four?

The other three are as rare and as long, and from other documents, so that only the context can tell.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Iterator

from scaling.capability.items import ANSWER, WINDOW, Draft, Item, Trigrams, ending, gather, heldout_documents
from scaling.data.dataset import Dataset

NEAREST = 16  # bytes between the two places: beyond the window of an n-gram model
DRAWN = 300  # names to choose the wrong ones from
_names = re.compile(r"[A-Za-z_][A-Za-z0-9_]{5,23}", re.ASCII).finditer


def recall(dataset: Dataset) -> list[Item]:
    """Four choices; the name itself is in no other held-out document, and once in the prompt."""
    documents = heldout_documents(dataset)
    trigrams = Trigrams(dataset)
    home: dict[str, int] = {}  # name → its only document, -1 for several
    for number, text in enumerate(documents):
        for name in {match.group() for match in _names(text)}:
            home[name] = number if name not in home else -1
    rare: dict[int, list[str]] = defaultdict(list)
    for name in sorted(home):
        if home[name] >= 0:
            rare[len(name)].append(name)

    def find(number: int, text: str, rng: random.Random) -> Iterator[Draft]:
        last: dict[str, int] = {}  # name → where it ended
        again: list[tuple[str, int]] = []
        for match in _names(text):
            name, start = match.group(), match.start()
            before, last[name] = last.get(name), match.end()
            if before is not None and home[name] == number and NEAREST <= start - before < WINDOW:
                again.append((name, start))
        for name, start in rng.sample(again, len(again)):
            prompt = ending(text[max(0, start - WINDOW) : start], WINDOW - ANSWER // 2)
            pool = rare[len(name)]
            others = [other for other in rng.sample(pool, min(DRAWN, len(pool))) if home[other] != number]
            wrong = trigrams.nearest(name, others, 3)
            if name in prompt and len(wrong) == 3:
                yield Draft(prompt, name, tuple(wrong))

    return gather("recall", documents, find)
