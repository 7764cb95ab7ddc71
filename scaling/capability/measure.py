"""Finished runs → scores beside their records. What has been measured is not measured again."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from scaling.capability.compress import check_setting, compress
from scaling.capability.finished import Subject, open_corpus_of, open_finished, read_done
from scaling.capability.items import NothingToAsk
from scaling.capability.labelled.tuning import Labelled, Tuning
from scaling.capability.score import Score
from scaling.capability.tasks import Questions, Task, define
from scaling.records.evaluation import Evaluation, evaluation_file
from scaling.records.record import StudyRecords
from scaling.records.storage import commit_evaluation, load_evaluation
from scaling.study.extensions import load_extensions, loaded_files
from scaling.study.recorded import read_spec
from scaling.study.spec import EVALUATION_SEQUENCES, DataSpec
from scaling.training.evaluate import evaluate

Setting = dict[str, Any]

INSTEAD = (
    "Train with more text held out (data.heldout_fraction), or ask something else: --tasks NAME:FILE.jsonl "
    "for questions of your own, --loss NAME:FILES for the loss on another text. Of the default tasks, "
    "well_formed and variable_misuse need Python source."
)


@dataclass(frozen=True)
class HeldoutLoss:
    """The loss of the record, asked of a compressed copy."""

    tokens: int

    def score(self, subject: Subject) -> Score:
        rows = subject.dataset.heldout_batches(subject.context, EVALUATION_SEQUENCES, self.tokens)
        found = evaluate(subject.model, subject.objective, rows, subject.dataset, subject.device)
        subject.model.eval()
        details = {} if found.bits_per_byte is None else {"bits_per_byte": found.bits_per_byte}
        chance = math.log(subject.dataset.vocab)
        return Score(found.loss, found.loss_se, chance, found.tokens, "nats/token", details)


@dataclass(frozen=True)
class Asked:
    """One question set under one setting."""

    name: str
    questions: Questions
    definition: str
    setting: Setting

    @property
    def file(self) -> str:
        return evaluation_file(self.name, self.setting, self.definition)

    @property
    def compression(self) -> Setting:
        """What is done to the model before it is asked; what is tuned is compressed after that."""
        return {} if isinstance(self.questions, Labelled) else self.setting


@dataclass(frozen=True)
class EvaluationJob:
    """What one finished run is asked; plain data, so that it can go to another process."""

    folder: Path
    run_id: str
    asked: tuple[Asked, ...]
    cache: str
    device: str
    extensions: tuple[str, ...] = ()  # files that register what the run uses

    def missing(self) -> list[Asked]:
        """What has no believable score yet."""
        return [asked for asked in self.asked if load_evaluation(self.folder, asked.file) is None]

    def measure(self) -> list[Evaluation]:
        """Every score of the job; those that were missing are written now."""
        load_extensions(self.extensions)
        missing = self.missing()
        if missing:
            dataset = _open_corpus(read_spec(read_done(self.folder)).trunk.data, self.cache)
            subject = open_finished(self.folder, dataset=dataset, device=self.device).subject
            model, bits, setting = subject.model, 0.0, None
            for asked in missing:
                if asked.compression != setting:
                    setting = asked.compression
                    model, bits = compress(subject.model, setting)
                started = time.perf_counter()
                score = asked.questions.score(replace(subject, model=model))
                self._commit(asked, score, bits, time.perf_counter() - started)
        scores = [load_evaluation(self.folder, asked.file) for asked in self.asked]
        return [score for score in scores if score is not None]

    def _commit(self, asked: Asked, score: Score, bits: float, seconds: float) -> None:
        evaluation = Evaluation(
            run_id=self.run_id,
            name=asked.name,
            value=score.value,
            se=score.se,
            chance=score.chance,
            items=score.items,
            metric=score.metric,
            definition=asked.definition,
            setting=asked.setting,
            details={**score.details, "bits": bits} if asked.name == "loss" else score.details,
            confusion=score.confusion,
            seconds=seconds,
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        commit_evaluation(self.folder, evaluation)


@dataclass(frozen=True)
class Work:
    """Jobs of a study, largest models first, and what could not be asked."""

    jobs: tuple[EvaluationJob, ...]
    refused: tuple[str, ...]


def plan_work(
    study: StudyRecords,
    tasks: Sequence[Task],
    settings: Sequence[Setting] = (),
    *,
    cache: str,
    device: str = "cpu",
    tunings: Sequence[Tuning] = (Tuning(),),
) -> Work:
    """What every finished run of a study is asked: each task, and under each setting the loss and tasks.

    A task that fine-tunes is asked of runs as trained only: a compressed copy would become another model. One
    of labelled rows is asked by each of the `tunings`, and the tuned model is compressed by each setting.

    Raises:
        ValueError: for a setting out of range, a study without a finished run, or tasks of which no run can
            be asked a single one.
    """
    for setting in settings:
        check_setting(setting)
    if not study.done:
        raise ValueError(f"{study.folder}: no finished run to evaluate. Train first: scaling run study=NAME.")
    made: dict[tuple[str, str], tuple[Questions, str] | None] = {}
    refused: dict[str, None] = {}
    jobs = []
    for record in sorted(study.done, key=lambda record: -record.flops):
        able = []
        for task in tasks:
            try:
                task.check(record.objective)
                able.append(task)
            except ValueError as error:
                refused[f"family {record.family!r}: {error}"] = None
        spec = read_spec(record).trunk.data
        key = record.data_fingerprint
        for task in able:
            if (key, task.name) not in made:
                made[key, task.name] = _questions(task, spec, cache, refused)
        asked = [Asked(task.name, *found, {}) for task in able if (found := made[key, task.name])]
        labelled = [a for a in asked if isinstance(a.questions, Labelled)]
        asked = [a for a in asked if not isinstance(a.questions, Labelled)]
        if settings:
            loss = HeldoutLoss(int(record.spec["evaluation_tokens"]))
            plain = Asked("loss", loss, define(loss), {})
            tuned = {task.name for task in able if task.tunes}
            again = [plain, *(a for a in asked if a.name not in tuned)]
            asked = [*asked, plain, *(replace(a, setting=setting) for setting in settings for a in again)]
        for one in labelled:
            asked += [_tuned(one, replace(t, compression=c)) for t in tunings for c in ({}, *settings)]
        if asked:
            folder = study.folder / record.trunk_id / record.run_id
            jobs.append(EvaluationJob(folder, record.run_id, tuple(asked), cache, device, loaded_files()))
    if not jobs:
        if refused:
            raise ValueError(" ".join([*refused, INSTEAD]))
        raise ValueError("nothing to measure: give --tasks, --quantise or --prune.")
    return Work(tuple(jobs), tuple(refused))


def _questions(
    task: Task, spec: DataSpec, cache: str, refused: dict[str, None]
) -> tuple[Questions, str] | None:
    """The questions of a task and their definition; None, and a reason, where a corpus gives none."""
    try:
        questions = task.make(_open_corpus(spec, cache), spec)
    except NothingToAsk as error:
        refused[str(error)] = None
        return None
    return questions, define(questions)


def _tuned(asked: Asked, tuning: Tuning) -> Asked:
    """Labelled questions, to be learnt in one way.

    Raises:
        ValueError: for more examples than there are.
    """
    assert isinstance(asked.questions, Labelled)
    questions = replace(asked.questions, tuning=tuning)
    questions.check()
    return replace(asked, questions=questions, setting=tuning.setting)


_open_corpus = lru_cache(maxsize=2)(open_corpus_of)  # of this process, which measures run after run
