"""How likely a model of any objective finds an answer after a prompt: log-probabilities, in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from scaling.capability.finished import Subject
from scaling.capability.items import Item
from scaling.data.layout import NOTHING
from scaling.data.tokenizer import Tokenizer
from scaling.training.objectives import cross_entropy

BATCH = 16_384  # tokens at once
PASSES = 7  # a masked model is asked for every seventh token at a time: about as many as it was trained on


class Question(NamedTuple):
    """Ids of a prompt and an answer; `start` is where the answer begins."""

    ids: list[int]
    start: int


class _Case(NamedTuple):
    """One row of a batch: the model's arguments, what it must say, and which question it is for."""

    inputs: tuple[list[int], ...]
    targets: list[int]
    question: int


def choice_log_probs(subject: Subject, items: Sequence[Item]) -> list[NDArray[np.float64]]:
    """Log-probability [nats] of every choice of every item, (choices,) each.

    A prompt that does not fit with its longest answer loses its beginning.

    Raises:
        ValueError: for an answer that is empty or longer than the context.
    """
    tokenizer = subject.dataset.tokenizer
    assert tokenizer is not None  # items are text, and were made or read with it
    longest = subject.context - (subject.dataset.layout.separator is not None)
    questions = [question for item in items for question in read_item(item, tokenizer, longest)]
    found = iter(log_probs(subject, questions))
    return [np.array([next(found) for _ in item.choices]) for item in items]


def read_item(item: Item, tokenizer: Tokenizer, longest: int) -> list[Question]:
    """The choices as ids after the same prompt, `longest` ids at most where the answers allow it.

    A tokenizer may join the end of a prompt to the beginning of a choice; then the answer begins with that
    end, in all choices alike.
    """
    whole = [tokenizer.encode(item.prompt + choice) for choice in item.choices]
    head = len(item.prompt.encode())
    starts = []
    for ids in whole:
        lengths = np.cumsum([len(tokenizer.table[i]) for i in ids])
        starts.append(int(np.searchsorted(lengths, head, side="right")))
    start = min(starts)
    shared = min(_shared(whole[0], ids) for ids in whole)
    start = min(start, shared)
    cut = min(start, max(0, max(map(len, whole)) - longest))
    return [Question(ids[cut:], start - cut) for ids in whole]


def log_probs(subject: Subject, questions: Sequence[Question]) -> NDArray[np.float64]:
    """Log-probability of each answer given its prompt (n,) [nats].

    Of a masked model it is the pseudo-log-likelihood: every token is predicted from all others, but those of
    the same of `PASSES` passes. Source: Salazar et al. 2020 (arXiv:1910.14659), which masks one at a time.
    """
    return read_answers(subject, questions)[0]


def read_answers(
    subject: Subject, questions: Sequence[Question]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """As `log_probs`, and whether each answer is what the model says, the likeliest token each time."""
    arrange = _ARRANGE[subject.objective]
    cases = [
        case
        for number, question in enumerate(questions)
        for case in arrange(_fit(question, subject), number, subject)
    ]
    cases.sort(key=lambda case: (len(case.targets), len(case.inputs[0])))
    totals, greedy = np.zeros(len(questions)), np.ones(len(questions), dtype=bool)
    with torch.inference_mode():
        for batch in _batches(cases):
            logits, targets = _ask(subject, batch)
            of = [case.question for case in batch]
            losses = cross_entropy(logits, targets).sum(dim=1)
            np.subtract.at(totals, of, losses.double().cpu().numpy())
            said = (logits.argmax(dim=-1) == targets) | (targets == NOTHING)
            np.logical_and.at(greedy, of, said.all(dim=1).cpu().numpy())
    return totals, greedy


def answer_losses(subject: Subject, questions: Sequence[Question], cuts: Sequence[int]) -> torch.Tensor:
    """Minus log-probability of each answer (n,) in one batch, with gradients; all must fit the context.

    Args:
        cuts: where the source of an encoder-decoder ends and its target begins.
    """
    if subject.objective == "seq2seq":
        cases = [
            _split(question, cut, i) for i, (question, cut) in enumerate(zip(questions, cuts, strict=True))
        ]
    else:
        cases = [case for i, question in enumerate(questions) for case in _causal(question, i, subject)]
    return cross_entropy(*_ask(subject, cases)).sum(dim=1)


def _ask(subject: Subject, cases: Sequence[_Case]) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (n, t, vocab) and targets (n, t) of a batch."""
    inputs = [pad([case.inputs[k] for case in cases], subject.device) for k in range(len(cases[0].inputs))]
    targets = pad([case.targets for case in cases], subject.device)
    if subject.objective == "causal":
        inputs = [x.clamp(min=0) for x in inputs]
    return subject.model(*inputs), targets


def _fit(question: Question, subject: Subject) -> Question:
    """With something before the answer, and no longer than the model can read."""
    ids, start = question
    answer = len(ids) - start
    separator = subject.dataset.layout.separator
    longest = subject.context
    if subject.objective == "seq2seq":
        longest -= subject.context // 2
    if not 1 <= answer <= longest:
        raise ValueError(
            f"an answer of {answer} tokens; this {subject.objective} model of context {subject.context} "
            f"can be asked for 1 to {longest}. Give shorter choices."
        )
    if separator is not None:
        ids, start = [*ids[:start], separator, *ids[start:]], start + 1
    if start == 0:
        ids, start = [_end(subject), *ids], 1
    cut = max(0, len(ids) - subject.context - (subject.objective != "masked"))
    return Question(ids[cut:], start - cut)


def _end(subject: Subject) -> int:
    """What stands before a document."""
    assert subject.dataset.tokenizer is not None
    return subject.dataset.tokenizer.end


def _causal(question: Question, number: int, subject: Subject) -> Iterator[_Case]:
    ids, start = question
    yield _Case((ids[:-1],), [NOTHING] * (start - 1) + ids[start:], number)


def _masked(question: Question, number: int, subject: Subject) -> Iterator[_Case]:
    ids, start = question
    for place in range(min(PASSES, len(ids) - start)):
        hidden = set(range(start + place, len(ids), PASSES))
        shown = [subject.dataset.vocab if i in hidden else token for i, token in enumerate(ids)]
        yield _Case((shown,), [t if i in hidden else NOTHING for i, t in enumerate(ids)], number)


def _seq2seq(question: Question, number: int, subject: Subject) -> Iterator[_Case]:
    """The source is as long as in training, where the prompt has that much; its rest begins the target."""
    ids, start = question
    cut = start - 1
    if subject.dataset.layout.separator is None:
        cut = min(cut, subject.context // 2)
    if cut == 0:
        ids, start, cut = [_end(subject), *ids], start + 1, 1
    yield _split(Question(ids, start), cut, number)


def _split(question: Question, cut: int, number: int) -> _Case:
    ids, start = question
    return _Case((ids[:cut], ids[cut:-1]), [NOTHING] * (start - cut - 1) + ids[start:], number)


_ARRANGE = {"causal": _causal, "masked": _masked, "seq2seq": _seq2seq}


def _batches(cases: Sequence[_Case]) -> Iterator[list[_Case]]:
    batch: list[_Case] = []
    for case in cases:
        if batch and (len(batch) + 1) * len(case.targets) > BATCH:
            yield batch
            batch = []
        batch.append(case)
    if batch:
        yield batch


def pad(rows: Sequence[Sequence[int]], device: str) -> torch.Tensor:
    """(rows, longest) ids, `NOTHING` behind the end of a shorter one."""
    array = np.full((len(rows), max(map(len, rows))), NOTHING, dtype=np.int64)
    for row, ids in zip(array, rows, strict=True):
        row[: len(ids)] = ids
    return torch.from_numpy(array).to(device)


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """How many ids two rows begin with in common."""
    for i, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return i
    return min(len(one), len(other))
