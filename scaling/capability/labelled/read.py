"""`KIND:FILE` → a task: rows read and checked, one by one, before anything trains."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from scaling.capability.finished import Subject
from scaling.capability.labelled.answer import Answer, answer_text, read_asked
from scaling.capability.labelled.classify import Classify, label_text, read_text
from scaling.capability.labelled.rows import FEWEST, Bad, Row, hold_out, read_split
from scaling.capability.labelled.tag import Tag, read_sentence, tag_text
from scaling.capability.labelled.tuning import Labelled, Tuned, Tuning
from scaling.capability.labelled.write import Write, read_pair
from scaling.capability.reader import Reader
from scaling.models.derived import restore


class Kind(NamedTuple):
    """What a kind of file holds."""

    questions: type[Labelled[Any]]
    read: Callable[[dict[str, Any]], Any]
    key: Callable[[Any], str]  # rows that agree in it are never on both sides of the split
    columns: str
    generates: bool = False


KINDS: dict[str, Kind] = {
    "classify": Kind(Classify, read_text, lambda row: row.text, "text,label"),
    "tag": Kind(Tag, read_sentence, lambda row: " ".join(row.tokens), "tokens,tags"),
    "answer": Kind(Answer, read_asked, lambda row: row.context, "context,question,answers"),
    "write": Kind(Write, read_pair, lambda row: row.source, "source,target", generates=True),
}


SAYS: dict[str, Callable[[Tuned, str], str]] = {
    "classify": label_text,
    "tag": tag_text,
    "answer": answer_text,
}


def read_labelled(kind: str, source: str, name: str = "") -> Labelled[Any]:
    """Questions of a labelled file, checked to the last row.

    Raises:
        FileNotFoundError: for a file that is not there.
        ValueError: naming file and line, and what is wrong with it; or for too few rows.
    """
    of = KINDS[kind]
    train, test = read_split(source)
    rows = _read(of, train)
    held = _read(of, test) if test is not None else None
    if held is None:
        rows, held = hold_out(rows, of.key)
    else:
        held_keys = {of.key(row) for row in held}
        both = sum(of.key(row) in held_keys for row in rows)
        if both:
            raise ValueError(
                f"tasks: {both} of {len(rows)} rows of {source!r} to learn from are held out too, so that "
                "their answers would leak. Remove them from one of the two."
            )
    if min(len(rows), len(held)) < FEWEST:
        raise ValueError(
            f"tasks: {source!r} gives {len(rows)} rows to learn from and {len(held)} held out; at least "
            f"{FEWEST} of each are needed."
        )
    name = name or Path(source.partition("+")[0]).stem
    found = of.questions(name, tuple(rows), tuple(held))
    found.check()
    return found


def _read(kind: Kind, rows: Sequence[Row]) -> list[Any]:
    found = []
    for where, cells in rows:
        try:
            found.append(kind.read(cells))
        except Bad as error:
            raise ValueError(f"{where}: {error}. A row has {kind.columns}.") from error
    return found


def tune_model(
    subject: Subject, task: str, examples: int | None = None, lora: int | None = None
) -> tuple[Subject, Tuned | None]:
    """The subject with a model that has learnt KIND:FILE, and what it says; None where it writes text.

    Raises:
        ValueError: for an unknown kind, a model that cannot write, or too few rows.
    """
    kind, _, source = task.partition(":")
    if kind not in KINDS or not source:
        raise ValueError(f"--tune: {', '.join(f'{name}:FILE' for name in KINDS)}; got {task!r}.")
    if KINDS[kind].generates and subject.objective not in ("causal", "seq2seq"):
        raise ValueError(f"--tune: a {subject.objective} model cannot generate text.")
    questions = read_labelled(kind, source)
    questions = replace(questions, tuning=Tuning(examples=examples, lora=lora, seeds=1))
    questions.check()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = questions.tune(subject, 0)
    if not isinstance(model, Reader):
        return replace(subject, model=model), None
    restore(model.model)
    return replace(subject, model=model.model), questions.tuned(model)


def say(tuned: Tuned, prompt: str) -> str:
    """What a tuned model says of a text: its label, a line a token, or the answer.

    Raises:
        ValueError: for a prompt that holds no question.
    """
    with torch.inference_mode():
        return SAYS[tuned.kind](tuned, prompt)
