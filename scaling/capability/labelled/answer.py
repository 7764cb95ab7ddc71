"""`answer:FILE`: rows of `context`, `question` and `answers`; the answer is pointed out in its context."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scaling.capability.finished import Subject
from scaling.capability.labelled.rows import Bad, cell_of, shown, text_of
from scaling.capability.labelled.tuning import Array, Labelled, Outcome, Tuned
from scaling.capability.reader import Inputs, Reader
from scaling.capability.words import normalise


class Asked(NamedTuple):
    """A question on a text, and the answers that count as right; the first is learnt."""

    context: str
    question: str
    answers: tuple[str, ...]


def read_asked(cells: dict[str, Any]) -> Asked:
    """
    Raises:
        Bad: for a row without context or question, or answers that are empty or not in the context.
    """
    context, question = text_of(cells, "context"), text_of(cells, "question")
    value = cell_of(cells, "answers" if "answers" in cells or "answer" not in cells else "answer")
    if isinstance(value, str) and value.lstrip().startswith(("[", "{")):
        with suppress(ValueError):  # or an answer in brackets
            value = json.loads(value)
    if isinstance(value, dict):  # as SQuAD has it
        value = value.get("text")
    answers = [value] if isinstance(value, str) else value
    if not isinstance(answers, list | tuple) or not all(isinstance(a, str) for a in answers):
        raise Bad(f"'answers' is a text or a list of texts; got {shown(value)}")
    if not answers or not all(a.strip() for a in answers):
        raise Bad("'answers' is empty. A question without an answer cannot be learnt; leave it out")
    for answer in answers:
        if answer not in context:
            raise Bad(
                f"answer {shown(answer)} does not occur in the context character for character. For answers "
                "in other words, use write:FILE"
            )
    return Asked(context, question, tuple(answers))


class _Window(NamedTuple):
    """A question and as much of its context as a model reads at once."""

    inputs: Inputs
    shift: int  # where the context's ids begin in the last argument
    begin: int  # the first id of the context
    end: int  # behind the last
    question: int


@dataclass(frozen=True)
class Answer(Labelled[Asked]):
    """Questions. A context longer than the model's is read in windows that overlap by half.

    Source: Devlin et al. 2019 (arXiv:1810.04805), section 4.2: a begin and an end score for every token.
    """

    metric = "F1"
    main = "f1"
    unit = "nats/answer"

    def tune(self, subject: Subject, seed: int) -> nn.Module:
        rows = self.chosen(seed)
        reader = Reader(self.tuning.prepare(subject, seed), 2, self.tuning.lora)
        windows, wanted = [], []
        for number, row in enumerate(rows):
            window, span = _window_of_answer(subject, row, number)
            windows.append(window)
            wanted.append(span)

        def loss(chosen: Sequence[int]) -> Tensor:
            return _losses(reader, [windows[i] for i in chosen], [wanted[i] for i in chosen]).mean()

        self.tuning.run(list(reader.trained()), loss, len(rows), subject.rate, seed)
        reader.model = self.tuning.finish(reader.model)
        return reader.eval()

    def ask(self, subject: Subject, model: Any) -> Outcome:
        best = _point_out(subject, model, self.test, self._longest(subject))
        counts, losses = [], []
        for number, row in enumerate(self.test):
            said = _text(subject, row, *best[number])
            counts.append([*compare_answers(said, row.answers), 1.0])
            window, span = _window_of_answer(subject, row, number)
            losses.append(float(_losses(model, [window], [span])[0]))
        return Outcome(np.array(counts, dtype=float), np.array(losses))

    def tuned(self, reader: Reader) -> Tuned:
        return Tuned("answer", reader, longest=self._longest(reader.subject))

    def _longest(self, subject: Subject) -> int:
        """Tokens of an answer at most."""
        return 1 + max(len(subject.dataset.encode(a)) for row in self.train for a in row.answers)

    def measures(self, counts: Array) -> dict[str, Array]:
        f1, exact, rows = counts.T
        return {"f1": f1 / rows, "exact": exact / rows}


def answer_text(tuned: Tuned, text: str) -> str:
    """The answer to the question on the first line, from the context on the lines below it.

    Raises:
        ValueError: for a text without one of the two.
    """
    question, _, context = text.partition("\n")
    if not question.strip() or not context.strip():
        raise ValueError("prompt: a question on the first line, and below it the text that holds the answer.")
    row = Asked(context, question, ())
    subject = tuned.reader.subject
    return _text(subject, row, *_point_out(subject, tuned.reader, [row], tuned.longest)[0])


def compare_answers(said: str, answers: Sequence[str]) -> tuple[float, float]:
    """F1 of words, and whether they are the same, against the answer that fits best.

    Source: Rajpurkar et al. 2016 (arXiv:1606.05250), section 6.1.
    """
    found = []
    for answer in answers:
        a, b = normalise(said), normalise(answer)
        shared = sum((Counter(a) & Counter(b)).values())
        found.append((2 * shared / (len(a) + len(b)) if a and b else float(a == b), float(a == b)))
    return max(f1 for f1, _ in found), max(exact for _, exact in found)


def _point_out(
    subject: Subject, reader: Reader, rows: Sequence[Asked], longest: int
) -> dict[int, tuple[int, int]]:
    """The first and last id of the best answer in each context, by the number of its row."""
    windows = [w for i, row in enumerate(rows) for w in _windows(subject, row, i)]
    best: dict[int, tuple[float, int, int]] = {}
    for begin in range(0, len(windows), 32):
        batch = windows[begin : begin + 32]
        for window, scores in zip(batch, _scores(reader, batch), strict=True):
            score, first, last = _best_span(scores, longest)
            if window.question not in best or score > best[window.question][0]:
                best[window.question] = (score, first + window.begin, last + window.begin)
    return {number: (first, last) for number, (_, first, last) in best.items()}


def _windows(subject: Subject, row: Asked, number: int) -> list[_Window]:
    """Windows of the context that overlap by half, each behind the question."""
    encode = subject.dataset.encode
    context = encode(row.context)
    question = encode(row.question + "\n")[-max(1, subject.context // 2) :]
    pairs = subject.objective == "seq2seq"
    room = subject.context - (0 if pairs else len(question))
    step = max(1, room // 2)
    begins = range(0, max(1, len(context) - room + step), step)
    found = []
    for begin in begins:
        part = context[begin : begin + room]
        inputs = (question, part) if pairs else ([*question, *part],)
        found.append(_Window(inputs, 0 if pairs else len(question), begin, begin + len(part), number))
    return found


def _window_of_answer(subject: Subject, row: Asked, number: int) -> tuple[_Window, tuple[int, int]]:
    """The window with most of the first answer, and its first and last id there."""
    before = len(subject.dataset.encode(row.context[: row.context.index(row.answers[0])]))
    until = before + len(subject.dataset.encode(row.answers[0]))
    windows = _windows(subject, row, number)
    held = [min(until, w.end) - max(before, w.begin) for w in windows]
    window = windows[int(np.argmax(held))]
    first = min(max(before, window.begin), window.end - 1)
    last = max(first, min(until, window.end) - 1)
    return window, (first - window.begin, last - window.begin)


def _scores(reader: Reader, windows: Sequence[_Window]) -> list[Tensor]:
    """Scores of begin and end (context ids, 2) of each window."""
    outputs = reader.of_each([window.inputs for window in windows])
    return [
        outputs[i, window.shift : window.shift + window.end - window.begin]
        for i, window in enumerate(windows)
    ]


def _losses(reader: Reader, windows: Sequence[_Window], spans: Sequence[tuple[int, int]]) -> Tensor:
    """Minus log-probability of begin and end (windows,)."""
    found = []
    for scores, (first, last) in zip(_scores(reader, windows), spans, strict=True):
        wanted = torch.tensor([first, last], device=scores.device)
        found.append(F.cross_entropy(scores.T, wanted, reduction="sum"))
    return torch.stack(found)


def _best_span(scores: Tensor, longest: int) -> tuple[float, int, int]:
    """The best begin and end, and their score; the end is not before the begin.

    Scores of several windows compare as they are: a probability would be that within its window.
    """
    both = scores[:, None, 0] + scores[None, :, 1]
    legal = torch.ones_like(both, dtype=torch.bool).triu().tril(longest - 1)
    flat = int(both.where(legal, -torch.inf).argmax())
    first, last = divmod(flat, len(scores))
    return float(both[first, last]), first, last


def _text(subject: Subject, row: Asked, first: int, last: int) -> str:
    return subject.dataset.decode(subject.dataset.encode(row.context)[first : last + 1]).strip("\ufffd ")
