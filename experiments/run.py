"""`scaling run study=NAME [overrides]`: train what has no record yet, through Hydra's multirun."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from experiments.evaluate import describe as describe_scores
from experiments.evaluate import evaluate_study
from experiments.plan import find_trained, measure, there_already, wall_seconds
from experiments.progress import StudyProgress
from experiments.status import counts, describe
from experiments.terminal import duration
from scaling.capability.tasks import find_tasks
from scaling.launch.devices import share_machine
from scaling.launch.mirror import Mirror
from scaling.launch.multirun import launch
from scaling.records.record import PLAN_FILE, StudyRecords, read_study
from scaling.records.storage import make_folder, write_json
from scaling.records.tracking import open_tracker
from scaling.study.cost import shared_flops
from scaling.study.plan import Plan, plan_study
from scaling.study.spec import Trunk
from scaling.training.adopt import Found
from scaling.training.device import choose_arithmetic
from scaling.training.observer import Observers
from scaling.training.parallel import crew
from scaling.training.stop import Stopped, after
from scaling.training.throughput import learn


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scaling run", description=__doc__)
    parser.add_argument("overrides", nargs="+", help="study=NAME and any Hydra override, sweeps included")
    asked = parser.parse_args(arguments)
    with crew() as leads:  # under torchrun, one of its processes; else alone
        return run_study(asked.overrides).code if leads else 0


@dataclass(frozen=True)
class Outcome:
    """Exit status, the study's folder, and where the time went [s]."""

    code: int
    folder: Path
    planning: float
    training: float = 0.0
    evaluation: float = 0.0


def run_study(overrides: list[str]) -> Outcome:
    """Plan, train what has no record, and say what came of it."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    begin = time.monotonic()
    plan = plan_study(overrides)
    find_tasks(plan.config.tasks)  # refused now, not after hours of training
    save_plan(plan)
    finished = {record.run_id for record in read_study(plan.folder).records}
    asked = {run.id for _, run in plan.runs}
    if asked <= finished:
        print(f"{plan.name}: all {len(asked)} runs are done already; nothing to train.")
        code = measure_tasks(plan)
        print(f"next: scaling report {plan.folder}")
        return Outcome(code, plan.folder, time.monotonic() - begin)
    plan = afford(plan)
    times, arithmetics = measure(plan)
    found = find_trained(plan, arithmetics)
    for line in there_already(found, len(plan.runs)):
        print(f"{plan.name}: {line}")
    tracker = open_tracker(
        plan.config.tracking.value, study=plan.name, folder=plan.folder, project=plan.config.project
    )
    planning = time.monotonic() - begin
    limit = None if plan.config.max_hours is None else 3600 * plan.config.max_hours
    with tracker, StudyProgress(plan, [t.median for t in times], found) as progress, after(limit):
        try:
            launch(plan, overrides, Observers(progress, Mirror(tracker)))
        except Stopped as error:
            if limit is None or time.monotonic() - begin - planning < limit:
                if str(error):  # e.g. which jobs stay in a queue
                    print(error)
                raise KeyboardInterrupt from error
            print(f"{plan.name}: max_hours={plan.config.max_hours:g} are over; everything is saved.")
    workers, _ = share_machine(plan)
    evaluation = progress.evaluation_seconds / workers  # of the wall clock, as they run side by side
    training = time.monotonic() - begin - planning - evaluation
    study = read_study(plan.folder)
    said, took = wall_seconds(progress.seconds, workers), training + evaluation
    print(
        f"\n{describe(study)}\n\nplanning {duration(planning)}, training {duration(training)}, evaluation "
        f"{duration(evaluation)}; the plan said {duration(said)} for both"
        + (f": {took / said - 1:+.0%}" if said else "")
    )
    taken = Counter(r.study for r in study.records if r.run_id in asked - finished and r.study != plan.name)
    for other, runs in taken.items():
        print(f"taken over from study {other}: {runs} {'run' if runs == 1 else 'runs'}")
    if plan.config.stack == 1 and not any(word.startswith("hydra/launcher") for word in overrides):
        seconds = [
            step_seconds(trunk, study) if f == Found() else None
            for trunk, f in zip(plan.trunks, found, strict=True)
        ]
        learn(plan.trunks, arithmetics, seconds, Path(plan.config.cache).expanduser())
    code = measure_tasks(plan)
    number = counts(study)
    if number["failed"] or number["missing"]:
        print(f"next: the same command again trains what is missing; scaling status {plan.folder}")
        return Outcome(1, plan.folder, planning, training, evaluation)
    print(f"next: scaling report {plan.folder}")
    return Outcome(code, plan.folder, planning, training, evaluation)


def step_seconds(trunk: Trunk, study: StudyRecords) -> float | None:
    """What a step of a trunk took on average [s], where one attempt of ours has trained all of it."""
    ids = {run.id for run in trunk.runs}
    records = [record for record in study.records if record.run_id in ids]
    if {(r.status, r.attempts, r.study) for r in records} != {("done", 1, study.name)} or len(records) < len(
        ids
    ):
        return None
    return sum(record.seconds for record in records) / trunk.steps_to_train


def measure_tasks(plan: Plan) -> int:
    """Score finished runs on the tasks that the study asks for; 1 where a score could not be had."""
    if not plan.config.tasks:
        return 0
    study = read_study(plan.folder)
    config = plan.config
    device = choose_arithmetic("float32", 1, config.training.device).device
    scores, failures, refused = evaluate_study(study, config.tasks, cache=config.cache, device=device)
    print(f"\n{describe_scores(study, scores)}")
    for said in (*refused, *failures.values()):
        print(f"not measured: {said}")
    return 1 if failures else 0


def afford(plan: Plan) -> Plan:
    """The part of a plan that its `max_flops` pays for, and a line about the rest.

    Raises:
        ValueError: when not even the cheapest trunk is paid for.
    """
    kept = plan.affordable()
    if not kept.trunks:
        least = min(map(shared_flops, plan.trunks))
        raise ValueError(
            f"max_flops: the cheapest trunk takes {least:.2e} FLOP; got {plan.config.max_flops:.2e}."
        )
    if len(kept.trunks) < len(plan.trunks):
        print(
            f"{plan.name}: max_flops={plan.config.max_flops:.3g} pays for {len(kept.runs)} of "
            f"{len(plan.runs)} runs; the others stay missing."
        )
    return kept


def save_plan(plan: Plan) -> None:
    """Write what is expected.

    Raises:
        OSError: when the runs folder cannot be written, naming it and what to change.
    """
    try:
        make_folder(plan.folder)
        write_json(plan.folder / PLAN_FILE, plan.to_dict())
    except OSError as error:
        raise OSError(
            f"runs folder {plan.folder} cannot be written: {error.strerror or error}. "
            "Choose another with runs=FOLDER."
        ) from error


if __name__ == "__main__":
    from experiments.cli import run_verb

    sys.exit(run_verb("run", sys.argv[1:]))
