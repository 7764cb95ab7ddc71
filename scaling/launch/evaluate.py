"""Score finished runs on tasks, several runs at a time, each on one thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch

from scaling.capability.heldout import loss_task
from scaling.capability.labelled.tuning import Tuning
from scaling.capability.measure import EvaluationJob, plan_work
from scaling.capability.tasks import find_tasks
from scaling.launch.job import describe_error
from scaling.launch.pool import Ended, ProcessPool, Send
from scaling.models.settings import own_settings
from scaling.records.evaluation import Evaluation
from scaling.records.record import StudyRecords
from scaling.training.device import usable_cores
from scaling.training.stop import Stopped

PRELOAD = ["scaling.capability.measure"]


@dataclass(frozen=True)
class Scores:
    """Every score that was asked for, why runs could not be measured, and what families cannot be asked."""

    found: tuple[Evaluation, ...]
    failures: dict[str, str]  # by run id
    refused: tuple[str, ...]


def evaluate_study(
    study: StudyRecords,
    tasks: Sequence[str],
    settings: Sequence[dict[str, Any]] = (),
    *,
    sets: Sequence[str] = (),
    cache: str,
    device: str = "cpu",
    workers: int | None = None,
    tunings: Sequence[Tuning] = (Tuning(),),
    heard: Callable[[str, int, int], None] | None = None,
) -> Scores:
    """Measure what is missing.

    Args:
        sets: held-out sets that the loss is also measured on, each NAME:PATHS or NAME:CORPUS.
        tunings: how labelled tasks are learnt.
        workers: runs at a time; None is one a core, and on a GPU one.
        heard: is told the id of each run that was measured, how many were, and of how many; at first of none.

    Raises:
        ValueError: for what cannot be asked of any run; see `plan_work`.
    """
    asked = [*find_tasks(tasks), *(loss_task(text, cache) for text in sets)]
    work = plan_work(study, asked, settings, cache=cache, device=device, tunings=tunings)
    scores: list[Evaluation] = []
    failures: dict[str, str] = {}
    if workers is None:
        workers = 1 if device != "cpu" else usable_cores()
    if heard and work.jobs:
        heard("", 0, len(work.jobs))
    for number, (job, found) in enumerate(_measure(work.jobs, min(workers, len(work.jobs))), 1):
        if heard:
            heard(job.run_id, number, len(work.jobs))
        if isinstance(found, str):
            failures[job.run_id] = f"run {job.run_id}: {found}"
        else:
            scores += found
    order = {asked.file: place for job in work.jobs for place, asked in enumerate(job.asked)}
    scores.sort(key=lambda score: (score.run_id, order[score.file]))
    return Scores(tuple(scores), failures, work.refused)


def _measure(
    jobs: Sequence[EvaluationJob], workers: int
) -> Iterator[tuple[EvaluationJob, list[Evaluation] | str]]:
    """Each job with its scores, or why there are none, as they come."""
    if workers < 2:
        for job in jobs:
            yield job, _try(job)
        return
    pool: ProcessPool[_Measure] = ProcessPool(["cpu"] * workers, PRELOAD)
    for job in jobs:
        pool.add(_Measure(job))
    with closing(pool.events()) as events:
        for work, event in events:
            if isinstance(event, Ended):
                yield work.job, event.lost or event.result


def _try(job: EvaluationJob) -> list[Evaluation] | str:
    try:
        with own_settings():
            return job.measure()
    except Stopped:
        raise
    except Exception as error:  # of any kind, of one run: the others are measured
        return describe_error(error)


@dataclass(frozen=True)
class _Measure:
    """A job as work of a process."""

    job: EvaluationJob

    def __call__(self, place: str, send: Send) -> list[Evaluation] | str:
        torch.set_num_threads(1)
        return _try(self.job)
