"""What can be asked of a finished run, by name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from scaling.capability.classify import classify
from scaling.capability.finished import Subject
from scaling.capability.items import Item
from scaling.capability.labelled.read import KINDS, read_labelled
from scaling.capability.likelihood import choice_log_probs
from scaling.capability.next_line import next_line
from scaling.capability.own import read_own
from scaling.capability.recall import recall
from scaling.capability.score import Score, score_choices
from scaling.capability.variable_misuse import variable_misuse
from scaling.capability.well_formed import well_formed
from scaling.capability.write import summarise, translate_pairs
from scaling.data.dataset import Dataset
from scaling.records.seal import canonical_json
from scaling.registry import Registry
from scaling.study.spec import DataSpec

RULE = 1  # part of every definition: raise it when a change in scoring moves a score
Needs = Literal["likelihood", "generation", "training"]
OBJECTIVES: dict[Needs, tuple[str, ...]] = {
    "likelihood": ("causal", "masked", "seq2seq"),
    "generation": ("causal", "seq2seq"),
    "training": ("causal", "masked", "seq2seq"),
}


class Questions(Protocol):
    """What a task asks, made once for all runs on a corpus: plain data, so that it can be sent and hashed."""

    def score(self, subject: Subject) -> Score:
        """Ask a model; changes nothing of it."""


@runtime_checkable
class Identified(Protocol):
    """Questions that hold more than decides the score, such as where they lie."""

    def identity(self) -> dict[str, Any]:
        """What decides the score; plain data."""


@dataclass(frozen=True)
class Choices:
    """Which of several texts continues a prompt."""

    items: tuple[Item, ...]

    def score(self, subject: Subject) -> Score:
        return score_choices(self.items, choice_log_probs(subject, self.items))


@dataclass(frozen=True)
class Task:
    """A task: its name, what it needs of a model, and where its questions come from."""

    name: str
    needs: Needs
    make: Callable[[Dataset, DataSpec], Questions]
    tunes: bool = False  # a copy of the model is trained for it

    def check(self, objective: str) -> None:
        """
        Raises:
            ValueError: for an objective whose models cannot do what the task needs.
        """
        if objective not in OBJECTIVES[self.needs]:
            raise ValueError(
                f"task {self.name!r} needs {self.needs}, which a {objective} model cannot do: it fills gaps "
                f"and continues no text. It can be asked {', '.join(able_to(objective))}."
            )


def able_to(objective: str) -> list[str]:
    """Names of the tasks that models of an objective can be asked."""
    return [task.name for task in TASKS.values() if objective in OBJECTIVES[task.needs]]


def _of_text(make: Callable[[Dataset], list[Item]]) -> Callable[[Dataset, DataSpec], Questions]:
    return lambda dataset, spec: Choices(tuple(make(dataset)))


TASKS: Registry[Task] = Registry(
    "task",
    "tasks",
    {
        task.name: task
        for task in (
            Task("next_line", "likelihood", _of_text(next_line)),
            Task("well_formed", "likelihood", _of_text(well_formed)),
            Task("variable_misuse", "likelihood", _of_text(variable_misuse)),
            Task("recall", "likelihood", _of_text(recall)),
            Task("classify", "training", classify, tunes=True),
            Task("summarise", "generation", summarise, tunes=True),
            Task("translate", "generation", translate_pairs),
        )
    },
)


def find_tasks(asked: Sequence[str]) -> list[Task]:
    """Tasks by name, or of your own: `path.jsonl`, or `name:path.jsonl`, or labelled, `[name:]kind:source`.

    Raises:
        ValueError: for an unknown name, or a name given twice.
        FileNotFoundError: for a file that is not there.
    """
    found: dict[str, Task] = {}
    for text in asked:
        task = TASKS[text] if text in TASKS else _labelled(text) or _own(text)
        if task.name in found:
            raise ValueError(f"tasks: {task.name!r} is asked twice; rename one, as in NAME:{text}.")
        found[task.name] = task
    return list(found.values())


def _labelled(text: str) -> Task | None:
    """A task of a labelled file, `[name:]kind:source`; None for anything else."""
    name, _, rest = "", "", text
    if text.partition(":")[0] not in KINDS:
        name, _, rest = text.partition(":")
    kind, colon, source = rest.partition(":")
    if kind not in KINDS or not colon:
        return None
    if name in TASKS:
        raise ValueError(f"tasks: a task {name!r} already exists; write OTHER:{rest}.")
    questions = read_labelled(kind, source, name)
    needs: Needs = "generation" if KINDS[kind].generates else "training"
    return Task(questions.name, needs, lambda dataset, spec: questions, tunes=True)


def _own(text: str) -> Task:
    name, colon, path = text.rpartition(":")
    if not path.endswith((".jsonl", ".json")):
        raise ValueError(
            f"tasks: no task {text!r}. There are {', '.join(TASKS)}; one of your own is a file NAME.jsonl of "
            'lines {"prompt": …, "choices": [… , …], "answer": 0}, or labelled: '
            f"{', '.join(f'{kind}:FILE' for kind in KINDS)}."
        )
    name = name if colon else Path(path).stem
    if name in TASKS:
        raise ValueError(f"tasks: a task {name!r} already exists; write OTHER:{path}.")
    items = tuple(read_own(path))
    return Task(name, "likelihood", lambda dataset, spec: Choices(items))


def define(questions: Questions) -> str:
    """Digest of everything that is asked, and of the rule of scoring."""
    content = questions.identity() if isinstance(questions, Identified) else asdict(questions)  # type: ignore[call-overload]
    body = [RULE, type(questions).__name__, content]
    return hashlib.sha256(canonical_json(body)).hexdigest()[:16]
