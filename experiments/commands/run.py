"""`scaling run study=NAME [overrides]`: train what has no record yet."""

from __future__ import annotations

import argparse
import logging
import time

from experiments.commands.evaluate import describe as describe_scores
from experiments.commands.status import counts, describe, made_by
from experiments.progress import StudyProgress
from experiments.terminal import duration
from scaling.launch.study import StudyResult, run_study
from scaling.study.plan import Plan, plan_study
from scaling.training.parallel import process_group
from scaling.training.provenance import OnChange
from scaling.training.stop import Stopped


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scaling run", description=__doc__)
    parser.add_argument("overrides", nargs="+", help="study=NAME and any Hydra override, sweeps included")
    changed = parser.add_mutually_exclusive_group()
    changed.add_argument(
        "--restart", action="store_true", help="train trunks that other code has begun from their first step"
    )
    changed.add_argument(
        "--accept-change", action="store_true", help="resume them nevertheless; records and fits say so"
    )
    parser.add_argument(
        "--retrain-changed", action="store_true", help="train finished runs again that other code has made"
    )
    asked = parser.parse_args(arguments)
    on_change: OnChange = "restart" if asked.restart else "accept" if asked.accept_change else "refuse"
    with process_group() as leads:  # under torchrun, one of its processes; else alone
        if not leads:
            return 0
        return exit_code(run(asked.overrides, on_change, asked.retrain_changed))


def run(overrides: list[str], on_change: OnChange = "refuse", retrain_changed: bool = False) -> StudyResult:
    """Plan and run a study, and print what came of it.

    Raises:
        KeyboardInterrupt: when a signal asked to stop; everything is saved.
    """
    begin = time.monotonic()
    plan = plan_study(overrides)
    return run_plan(plan, time.monotonic() - begin, on_change, retrain_changed)


def run_plan(
    plan: Plan, planning: float = 0.0, on_change: OnChange = "refuse", retrain_changed: bool = False
) -> StudyResult:
    """Run a study whose plan took so many seconds; else as `run`."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    try:
        with StudyProgress(plan) as progress:
            result = run_study(plan, progress, on_change=on_change, retrain_changed=retrain_changed)
    except Stopped as error:
        if str(error):  # e.g. which jobs stay in a queue
            print(error)
        raise KeyboardInterrupt from error
    print("\n".join(report(result, planning)))
    return result


def exit_code(result: StudyResult) -> int:
    """1 where a run is failed or missing, or a score could not be had."""
    number = counts(result.records)
    unscored = result.scores is not None and result.scores.failures
    return int(bool(number["failed"] or number["missing"] or unscored))


def report(result: StudyResult, planning: float) -> list[str]:
    """What came of a study, and what to do next; `planning` is what the plan took before [s]."""
    plan, number = result.plan, counts(result.records)
    lines: list[str] = []
    if result.nothing_to_train:
        lines.append(f"{plan.name}: all {len(plan.runs)} runs are done already; nothing to train.")
    else:
        took, said = result.training + result.evaluation, result.expected
        if result.timed_out:
            lines.append(f"{plan.name}: max_hours={plan.config.max_hours:g} are over; everything is saved.")
        lines += [
            f"\n{describe(result.records)}\n",
            f"planning {duration(planning + result.planning)}, training {duration(result.training)}, "
            f"evaluation {duration(result.evaluation)}; the plan said {duration(said)} for both"
            + (f": {took / said - 1:+.0%}" if said else ""),
            *(
                f"taken over from study {other}: {runs} {'run' if runs == 1 else 'runs'}"
                for other, runs in result.reused.items()
            ),
        ]
    if result.nothing_to_train:
        lines += made_by(result.records)
    if result.scores is not None:
        lines.append(f"\n{describe_scores(result.records, result.scores.found)}")
        reasons = (*result.scores.refused, *result.scores.failures.values())
        lines += [f"not measured: {reason}" for reason in reasons]
    if not result.nothing_to_train and (number["failed"] or number["missing"]):
        again = f"next: the same command again trains what is missing; scaling status {plan.folder}"
        return [*lines, again]
    return [*lines, f"next: scaling report {plan.folder}"]
