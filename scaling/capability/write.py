"""Tasks that write: *summarise* a function, after fine-tuning; *translate*, by a model of pairs."""

from __future__ import annotations

import ast
import copy
import random
import textwrap
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from scaling.capability.finished import Subject
from scaling.capability.generate import generate, translate
from scaling.capability.items import NothingToAsk, parses, read_text, size
from scaling.capability.likelihood import Question, answer_losses
from scaling.capability.score import Score
from scaling.capability.tune import tune
from scaling.capability.writing import score_writing
from scaling.data.dataset import Dataset
from scaling.data.pairs import SEPARATOR
from scaling.data.split import Split
from scaling.study.spec import DataSpec

SOURCE, TARGET = 76, 46  # bytes of a function, exactly, and of a line at most: with `BETWEEN`, in 128
BETWEEN = '\n"""'
TRAIN, TEST = 2048, 128
STEPS = 256

Pair = tuple[str, str]


@dataclass(frozen=True)
class Writing:
    """Texts with what is to be written after them; `train` is what to fine-tune on, if anything."""

    train: tuple[Pair, ...]
    test: tuple[Pair, ...]
    between: str  # stands between the two
    stop: str  # ends what is written

    def score(self, subject: Subject) -> Score:
        if self.train:
            subject = self._tuned(subject)
        written = self.write(subject, [source for source, _ in self.test])
        return score_writing(written, [target for _, target in self.test])

    def write(self, subject: Subject, sources: Sequence[str]) -> list[str]:
        """What the model writes after each source, the likeliest token each time."""
        return write_after(subject, sources, self.between, self.stop, TARGET)

    def _tuned(self, subject: Subject) -> Subject:
        """A copy that has learnt the form."""
        learner = replace(subject, model=copy.deepcopy(subject.model).train())
        rows = [pair_ids(subject, source, target, self.between, self.stop) for source, target in self.train]
        longest = max(len(question.ids) for question, _ in rows)
        if longest > subject.context + 1:
            raise NothingToAsk(
                f"task 'summarise' needs a context of {longest - 1} tokens; this model has {subject.context}."
            )
        loss = partial(mean_loss, learner, rows)
        tune(learner.model.parameters(), loss, examples=len(rows), steps=STEPS, rate=subject.rate)
        learner.model.eval()
        return learner


def write_after(subject: Subject, sources: Sequence[str], between: str, stop: str, most: int) -> list[str]:
    """What a model writes after each source and `between`, the likeliest token each time.

    Args:
        stop: ends what is written; "" is the end of a document.
        most: tokens, at most.
    """
    tokenizer = subject.dataset.tokenizer
    assert tokenizer is not None
    begin = tokenizer.encode(between)
    end = tokenizer.encode(stop)[0] if stop else tokenizer.end
    groups: dict[int, list[int]] = defaultdict(list)  # all prompts of a batch are of one length
    room = max(1, subject.context - len(begin))  # a source that is too long loses its beginning
    encoded = [tokenizer.encode(source)[-room:] for source in sources]
    for number, ids in enumerate(encoded):
        groups[len(ids)].append(number)
    written = [""] * len(sources)
    for numbers in groups.values():
        prompts = torch.tensor([encoded[i] for i in numbers], device=subject.device)
        starts = torch.tensor([begin] * len(numbers), device=subject.device)
        if subject.objective == "seq2seq":
            rows = translate(subject.model, prompts, starts, most, end=end)
        else:
            rows = generate(subject.model, torch.cat([prompts, starts], 1), most, end=end)
        for number, ids in zip(numbers, rows, strict=True):
            written[number] = subject.dataset.decode(ids)
    return written


def pair_ids(
    subject: Subject, source: str, target: str, between: str, stop: str, room: int | None = None
) -> tuple[Question, int]:
    """A source and what follows it as ids, and where an encoder-decoder's source ends.

    Args:
        room: ids for the source, whose beginning is cut where it has more; None cuts nothing.
    """
    tokenizer = subject.dataset.tokenizer
    assert tokenizer is not None
    prompt, begin = tokenizer.encode(source), tokenizer.encode(between)
    if room is not None:
        prompt = prompt[-room:]
    wanted = tokenizer.encode(target + stop) + ([] if stop else [tokenizer.end])
    return Question([*prompt, *begin, *wanted], len(prompt) + len(begin)), len(prompt)


def mean_loss(subject: Subject, rows: Sequence[tuple[Question, int]], numbers: Sequence[int]) -> Tensor:
    """Mean loss [nats/token] of what follows the sources of these rows, with gradients."""
    chosen = [rows[i] for i in numbers]
    losses = answer_losses(subject, [q for q, _ in chosen], [cut for _, cut in chosen])
    return losses.sum() / sum(len(q.ids) - q.start for q, _ in chosen)


def summarise(dataset: Dataset, spec: DataSpec) -> Writing:
    """Functions without their docstring, and its first line; fine-tuned on those of the training split.

    Raises:
        ValueError: for text that holds too few.
    """
    train, test = _mine(dataset, "train", TRAIN), _mine(dataset, "heldout", TEST)
    if len(test) < TEST // 8 or len(train) < TRAIN // 8:
        raise ValueError(
            f"task 'summarise': the text holds {len(train)} functions with a docstring to learn from and "
            f"{len(test)} to be asked; {TRAIN // 8} and {TEST // 8} are needed. It needs Python source."
        )
    return Writing(tuple(train), tuple(test), BETWEEN, "\n")


def translate_pairs(dataset: Dataset, spec: DataSpec) -> Writing:
    """Held-out pairs of a corpus of pairs.

    Raises:
        ValueError: for another corpus.
    """
    if dataset.layout.separator is None:
        raise NothingToAsk(
            f"task 'translate': corpus {dataset.name!r} has no pairs; train on some, data=pairs, "
            "'data.paths=[FILE.tsv]'."
        )
    rows = [document.partition(SEPARATOR) for document in read_text(dataset, "heldout").split("\0")]
    pairs = sorted({(source, target) for source, _, target in rows if target})
    random.Random("translate").shuffle(pairs)
    return Writing((), tuple(pairs[:TEST]), SEPARATOR, "")


def _mine(dataset: Dataset, split: Split, count: int) -> list[Pair]:
    documents = [text for text in read_text(dataset, split).split("\0") if '"""' in text]
    random.Random("summarise").shuffle(documents)
    found: dict[Pair, None] = {}
    for text in documents:
        for pair in _functions(text):
            found[pair] = None
            if len(found) == count:
                return list(found)
    return list(found)


def _functions(text: str) -> Iterator[Pair]:
    """(source without docstring, cut to `SOURCE` bytes; first line of the docstring) of every function."""
    tree = parses(text)
    lines = text.split("\n")
    for node in ast.walk(tree) if tree else ():
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        said = ast.get_docstring(node)
        summary = said.strip().split("\n")[0].strip() if said else ""
        if not 8 <= size(summary) < TARGET or not node.body[1:] or not summary.isascii():
            continue
        first = node.body[0]
        kept = [*lines[node.lineno - 1 : first.lineno - 1], *lines[first.end_lineno : node.end_lineno]]
        body = textwrap.dedent("\n".join(kept)).strip()
        if body.isascii() and len(body) >= SOURCE:
            yield body[:SOURCE], summary
