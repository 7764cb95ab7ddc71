"""Questions made from held-out text: the same from the same text, the right answer anywhere among the wrong.

Items are for windows of 128 bytes, whatever a run's context is, so that runs of all contexts answer the same
questions; one that sees less is shown the end of the prompt.
"""

from __future__ import annotations

import hashlib
import random
import warnings
from ast import AST, parse
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple, TypeVar

import numpy as np

from scaling.data.dataset import Dataset, TokenDataset
from scaling.data.split import Split

ITEMS = 256  # a binomial standard error of 3 % at worst
FEWEST = 16
WINDOW = 128  # bytes of prompt and answer together
ANSWER = 48  # of these at most
MINED = 4_000_000  # ids to look through

T = TypeVar("T")


class NothingToAsk(ValueError):
    """A corpus gives a task no questions. Other tasks may be asked."""


class Item(NamedTuple):
    """One question: which of `choices` continues `prompt`? `answer` is the place of the right one."""

    prompt: str
    choices: tuple[str, ...]
    answer: int


class Draft(NamedTuple):
    """An item before its answers are mixed."""

    prompt: str
    right: str
    wrong: tuple[str, ...]


def heldout_documents(dataset: Dataset) -> list[str]:
    """The held-out text, a document each, in an order of their content.

    Raises:
        ValueError: for a corpus that is not text.
    """
    texts = read_text(dataset, "heldout").split("\0")
    return sorted((t for t in texts if t), key=lambda t: hashlib.sha256(t.encode()).digest())


def read_text(dataset: Dataset, split: Split) -> str:
    """The beginning of a split, documents ended by NUL, which none of them holds."""
    if not isinstance(dataset, TokenDataset) or dataset.tokenizer is None:
        raise NothingToAsk(f"corpus {dataset.name!r} is generated: no questions can be made from its text.")
    ids = np.asarray((dataset.train if split == "train" else dataset.heldout)[:MINED])
    table = [*dataset.tokenizer.table]
    table[dataset.tokenizer.end] = b"\0"
    return b"".join(map(table.__getitem__, ids.tolist())).decode(errors="replace")


def gather(
    task: str, documents: Sequence[str], find: Callable[[int, str, random.Random], Iterator[Draft]]
) -> list[Item]:
    """Up to `ITEMS` items, drawn from as many documents as possible, answers at all places equally often.

    Args:
        find: the drafts in a document in random order, given its number, text and a generator of its own.

    Raises:
        ValueError: when the held-out text has too few.
    """
    rng = random.Random(task)
    most = max(4, -(-2 * ITEMS // max(len(documents), 1)))
    drafts: list[Draft] = []
    for number, text in enumerate(documents):
        drafts += islice(find(number, text, random.Random(f"{task}:{number}")), most)
        if len(drafts) >= ITEMS:
            break
    if len(drafts) < FEWEST:
        raise NothingToAsk(
            f"task {task!r}: the held-out text gives {len(drafts)} item{'s' * (len(drafts) != 1)}; at least "
            f"{FEWEST} are needed."
        )
    rng.shuffle(drafts)
    return [_mix(draft, i, rng) for i, draft in enumerate(drafts[:ITEMS])]


def _mix(draft: Draft, number: int, rng: random.Random) -> Item:
    choices = rng.sample(draft.wrong, len(draft.wrong))
    answer = number % (len(choices) + 1)
    return Item(draft.prompt, (*choices[:answer], draft.right, *choices[answer:]), answer)


class Trigrams:
    """How common a text is without its context: mean log-probability of a byte after the two before it.

    Wrong answers are taken as common as the right one, or a model would choose what is usual, not what fits.
    """

    def __init__(self, dataset: Dataset) -> None:
        text = np.frombuffer(read_text(dataset, "train").encode(), dtype=np.uint8).astype(np.int64)
        pairs = text[:-1] * 256 + text[1:]
        self.after = np.bincount(pairs, minlength=256**2)
        self.triples = np.bincount(pairs[:-1] * 256 + text[2:], minlength=256**3)
        self.rates: dict[str, float] = {}

    def rate(self, text: str) -> float:
        """Mean log-probability [nats/byte] of what follows the first two bytes, which are not counted."""
        if text not in self.rates:
            ids = np.frombuffer(text.encode(), dtype=np.uint8).astype(np.int64)
            pairs = ids[:-2] * 256 + ids[1:-1]
            odds = (self.triples[pairs * 256 + ids[2:]] + 0.1) / (self.after[pairs] + 25.6)
            self.rates[text] = float(np.log(odds).mean())
        return self.rates[text]

    def nearest(self, text: str, others: Iterable[str], count: int) -> list[str]:
        """The `count` others that are most nearly as common as `text`."""
        rate = self.rate(text)
        return sorted(others, key=lambda other: (abs(self.rate(other) - rate), other))[:count]


def ending(text: str, limit: int) -> str:
    """The last characters of `text`, `limit` bytes at most."""
    return text.encode()[-limit:].decode(errors="ignore")


def size(text: str) -> int:
    """Bytes of `text`."""
    return len(text.encode())


def parses(source: str) -> AST | None:
    """The syntax tree of Python source, or None where it has none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a strange escape is no error
        try:
            return parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None
