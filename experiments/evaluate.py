"""`scaling evaluate RUNS`: what finished runs can do, as trained and compressed; a small file a score."""

from __future__ import annotations

import argparse
import ctypes
import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from experiments.terminal import Column, table
from scaling.records.evaluation import Evaluation
from scaling.records.record import StudyRecords, read_study

if TYPE_CHECKING:  # PyTorch takes seconds to import: help does without
    from scaling.capability.measure import Job

DEFAULT = "next_line,well_formed,variable_misuse,recall"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scaling evaluate", description=__doc__)
    parser.add_argument("folder", help="a study's runs folder, e.g. runs/demo")
    parser.add_argument(
        "--tasks",
        type=_words,
        default=_words(DEFAULT),
        help=f"names, or files of one's own as NAME:PATH.jsonl (default {DEFAULT}); none for the loss alone",
    )
    parser.add_argument("--quantise", type=_words, default=[], metavar="BITS", help="e.g. 8,4,3,2")
    parser.add_argument("--prune", type=_words, default=[], metavar="FRACTIONS", help="e.g. 0.25,0.5,0.75")
    parser.add_argument("--cache", default="~/.cache/scaling", help="of the corpus, as for scaling run")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.add_argument("--workers", type=int, help="runs at a time (default: the cores; 1 on a GPU)")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    asked = parser.parse_args(arguments)
    settings: list[dict[str, Any]] = [{"quantise": int(bits)} for bits in asked.quantise]
    settings += [{"prune": float(part)} for part in asked.prune]
    tasks = [name for name in asked.tasks if name != "none"]
    scores, failures, refused = evaluate_study(
        read_study(asked.folder),
        tasks,
        settings,
        cache=asked.cache,
        device=asked.device,
        workers=asked.workers,
    )
    if asked.json:
        body = {"scores": [asdict(score) for score in scores], "failures": failures, "refused": refused}
        print(json.dumps(body, indent=1, allow_nan=False))
    else:
        print(describe(read_study(asked.folder), scores))
        for said in (*refused, *failures.values()):
            print(f"\nnot measured: {said}")
    return 1 if failures else 0


def evaluate_study(
    study: StudyRecords,
    tasks: Sequence[str],
    settings: Sequence[dict[str, Any]] = (),
    *,
    cache: str,
    device: str = "cpu",
    workers: int | None = None,
) -> tuple[list[Evaluation], dict[str, str], list[str]]:
    """Measure what is missing, several runs at a time, each on one thread.

    Returns:
        Every score asked for; run id → why a run could not be measured; and which tasks a family cannot be
        asked.
    """
    from scaling.capability.measure import plan_work
    from scaling.capability.tasks import find_tasks

    work = plan_work(study, find_tasks(tasks), settings, cache=cache, device=device)
    scores: list[Evaluation] = []
    failures: dict[str, str] = {}
    if workers is None:
        workers = 1 if device != "cpu" else len(os.sched_getaffinity(0))
    for job, found in _measure(work.jobs, min(workers, len(work.jobs))):
        if isinstance(found, Exception):
            failures[job.run_id] = f"run {job.run_id}: {found}"
        else:
            scores += found
    order = {asked.file: place for job in work.jobs for place, asked in enumerate(job.asked)}
    return sorted(scores, key=lambda s: (s.run_id, order[s.file])), failures, list(work.refused)


def _measure(jobs: Sequence[Job], workers: int) -> Iterator[tuple[Job, list[Evaluation] | Exception]]:
    """Each job with its scores, or why there are none, as they come."""
    if workers < 2:
        for job in jobs:
            yield job, _try(job)
        return
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", "scaling.capability.measure"])
    with ProcessPoolExecutor(workers, context, _begin) as pool:
        futures = {pool.submit(_try, job): job for job in jobs}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _try(job: Job) -> list[Evaluation] | Exception:
    try:
        return job.measure()
    except (ValueError, OSError, RuntimeError, ModuleNotFoundError) as error:
        return error


def _begin() -> None:
    """A worker has one thread, dies with its parent, and leaves Ctrl-C to it."""
    import torch

    torch.set_num_threads(1)
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def describe(study: StudyRecords, scores: Sequence[Evaluation]) -> str:
    """A row a run and setting, a column a task."""
    names = list(dict.fromkeys(score.name for score in scores))
    cells: dict[tuple[str, str], dict[str, Evaluation]] = {}
    for score in scores:
        cells.setdefault((score.run_id, _say(score.setting)), {})[score.name] = score
    records = {record.run_id: record for record in study.done}
    rows = sorted(cells, key=lambda key: (records[key[0]].flops, key[0]))
    columns = [
        Column("run", [run for run, _ in rows], left=True),
        Column("setting", [setting for _, setting in rows], rank=1, left=True),
    ]
    for name in names:
        shown = [cells[row].get(name) for row in rows]
        columns.append(Column(name, [f"{s.value:.3f} ± {s.se:.3f}" if s else "·" for s in shown]))
    first = {score.name: score for score in scores}
    chance = [f"{name} {first[name].chance:.3g} of {first[name].items}" for name in names if name != "loss"]
    return table(columns) + (f"\n\nby chance: {', '.join(chance)}" if chance else "")


def _say(setting: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in setting.items()) or "as trained"


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


if __name__ == "__main__":
    from experiments.cli import run_verb

    sys.exit(run_verb("evaluate", sys.argv[1:]))
