"""`scaling run study=NAME [overrides]`: train the runs that have no record yet."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from experiments.commands.arguments import StudyParser, show
from experiments.commands.evaluate import describe as describe_scores
from experiments.commands.status import describe, made_by
from experiments.progress import StudyProgress
from experiments.terminal import duration, plural, printable, spell_out_controls
from scaling.launch.search import SearchResult, Train, run_search
from scaling.launch.study import StudyResult, run_study
from scaling.launch.tensorboard import FOLDER
from scaling.records.tracking import sync_command, waiting_runs
from scaling.study.axes import say
from scaling.study.config import Tracking
from scaling.study.plan import Plan, plan_studies
from scaling.study.sources import FOUND_RATES, Sources
from scaling.training.parallel import process_group
from scaling.training.stop import Stopped


def main(arguments: list[str]) -> int:
    parser = StudyParser("run", __doc__)
    parser.add_argument(
        "--replace-plan",
        action="store_true",
        help="replace the plan of earlier commands; by default, this command's runs are added to it",
    )
    changed = parser.add_mutually_exclusive_group()
    changed.add_argument(
        "--restart",
        action="store_true",
        help="train again, from their first step, the trunks that were begun by other code",
    )
    changed.add_argument(
        "--accept-change",
        action="store_true",
        help="resume such trunks anyway; records and fits say so",
    )
    parser.add_argument(
        "--retrain-changed", action="store_true", help="train again the finished runs that other code made"
    )
    parser.add_argument(
        "--trust",
        action="store_true",
        help="run training commands in a folder where somebody else's have run",
    )
    asked = parser.parse(arguments)
    if show(asked):
        return 0
    train = partial(
        run_study,
        on_change="restart" if asked.restart else "accept" if asked.accept_change else "refuse",
        retrain_changed=asked.retrain_changed,
        replace_plan=asked.replace_plan,
        trust=asked.trust,
    )
    with process_group() as leads:  # under torchrun, one of its processes; else alone
        if not leads:
            return 0
        return run(asked.overrides, Sources.here(asked.config_dir, asked.config_name), train)


def run(overrides: list[str], sources: Sources | None = None, train: Train = run_study) -> int:
    """Plan and run every study that is asked for, and print what came of each; the exit status.

    Args:
        train: `run_study` with the options of this command.

    Raises:
        KeyboardInterrupt: when a signal asked to stop; everything is saved.
    """
    begin = time.monotonic()
    plans = plan_studies(overrides, sources)
    planning = (time.monotonic() - begin) / len(plans)
    code = 0
    for number, plan in enumerate(plans):
        if number:
            print()
        code |= search(plan, train) if plan.composition.axes else exit_code(run_plan(plan, planning, train))
    return code


def run_plan(plan: Plan, planning: float = 0.0, train: Train = run_study) -> StudyResult:
    """Run a study whose plan took so many seconds; else as `run`."""
    with stopped_as_interrupted(), StudyProgress(plan) as progress:
        result = train(plan, progress)
    print(printable("\n".join(report(result, planning, progress.error()))))
    return result


def search(plan: Plan, train: Train = run_study) -> int:
    """Search as a study with `hydra/sweeper=optuna` asks; the exit status."""
    with stopped_as_interrupted():
        result = run_search(plan, StudyProgress, lambda now: print(describe_last(now)), train)
    print(printable("\n".join(report_search(result))))
    return int(any(trial.record is None for trial in result.trials))


@contextmanager
def stopped_as_interrupted() -> Iterator[None]:
    """Raise KeyboardInterrupt where a signal stopped training: everything is saved."""
    spell_out_controls()
    try:
        yield
    except Stopped as error:
        if str(error):  # e.g. which jobs stay in a queue
            print(error)
        raise KeyboardInterrupt from error


def exit_code(result: StudyResult) -> int:
    """1 where a run that was asked for is failed or missing, or a score could not be had."""
    unscored = result.scores is not None and result.scores.failures
    return int(bool(result.missing or unscored))


def report(result: StudyResult, planning: float, eta: Sequence[str] = ()) -> list[str]:
    """What came of a study, and what to do next.

    Args:
        planning: what the plan took before [s].
        eta: a line on how far off the time left was, if it is known.
    """
    plan = result.plan
    lines: list[str] = []
    if result.nothing_to_train:
        runs = "1 run is" if len(plan.runs) == 1 else f"all {len(plan.runs)} runs are"
        lines.append(f"{plan.name}: {runs} done already; nothing to train.")
    else:
        took, said = result.training + result.evaluation, result.expected
        if result.timed_out:
            lines.append(f"{plan.name}: reached max_hours={plan.config.max_hours:g}; progress is saved.")
        lines += [
            f"\n{describe(result.records)}\n",
            f"planning {duration(planning + result.planning)}, training {duration(result.training)}, "
            f"evaluation {duration(result.evaluation)}"
            + (f"; the plan said {duration(said)} for both: {took / said - 1:+.0%}" if said > 0 else ""),
            *eta,
            *(f"reused from study {other}: {plural(runs, 'run')}" for other, runs in result.reused.items()),
            *watched(plan),
        ]
    if result.nothing_to_train:
        lines += made_by(result.records)
    if result.scores is not None:
        lines.append(f"\n{describe_scores(result.records, result.scores.found)}")
        reasons = (*result.scores.refused, *result.scores.failures.values())
        lines += [f"not measured: {reason}" for reason in reasons]
    if result.missing_elsewhere:
        lines.append(
            f"{plural(result.missing_elsewhere, 'run')} of other commands of study {plan.name} "
            f"{'is' if result.missing_elsewhere == 1 else 'are'} missing: scaling status {plan.folder}; "
            "with --replace-plan, the study has only this command's runs"
        )
    if result.unpaid:
        left_out = plural(len(result.unpaid), "run")
        lines.append(
            f"max_flops={plan.config.max_flops:.3g} leaves out {left_out}: raise it to train the rest"
        )
    if len(result.missing) > len(result.unpaid):
        return [
            *lines,
            f"next: repeat the same command to train what is missing; scaling status {plan.folder}",
        ]
    return [*lines, f"next: scaling report {plan.folder}"]


def watched(plan: Plan) -> list[str]:
    """Where to look at the study with W&B or TensorBoard: what waits to be sent, or which folder to open."""
    if plan.config.tracking is Tracking.tensorboard:
        return [f"watch it: tensorboard --logdir {shlex.quote(str(plan.folder / FOLDER))}"]
    waiting = waiting_runs(plan.folder)
    if not waiting or plan.config.tracking is Tracking.off:
        return []
    return [
        f"W&B: {plural(waiting, 'run')} {'waits' if waiting == 1 else 'wait'}: {sync_command(plan.folder)}"
    ]


def describe_last(result: SearchResult) -> str:
    """A line a trial of those that were tried last, and the best so far."""
    last = {run.id for _, run in result.last.plan.runs} if result.last else set()
    lines = [
        f"trial {trial.number:>{len(str(len(result.trials)))}}: {say(trial.values)}: "
        + ("no record" if trial.record is None else f"loss {trial.loss:.4f}")
        for trial in result.trials
        if trial.run_id in last
    ]
    best = result.best
    return "\n".join([*lines, f"best so far: loss {best.loss:.4f}, trial {best.number}"] if best else lines)


def report_search(result: SearchResult) -> list[str]:
    """What was found, and how to use it."""
    plan, best = result.plan, result.best
    lost = sum(trial.record is None for trial in result.trials)
    lines = [
        f"\n{plan.name}: {plural(len(result.trials), 'trial')}"
        + (f", {lost} without a record" if lost else "")
    ]
    if result.timed_out:
        lines.append(f"reached max_hours={plan.config.max_hours:g}; progress is saved")
    if result.unused:
        lines.append(
            f"not used: {plural(result.unused, 'trial')} of earlier commands: other ranges or another recipe"
        )
    if best is None:
        return [*lines, f"next: scaling status {plan.folder}"]
    rest = [f"{key}={value}" for key, value in best.values.items()]
    if (plan.folder / FOUND_RATES).is_file():  # not of commands: their rates follow no rule of ours
        rest = [f"rates={plan.name}", *(o for o in rest if not o.startswith("training.learning_rate="))]
    wide = "; ".join(edges(result))
    return [
        *lines,
        f"best: loss {best.loss:.4f}, trial {best.number}: {say(best.values)}",
        *([f"at the edge of what was searched: {wide}; widen it"] if wide else []),
        f"next: scaling run study=NAME {' '.join(rest)}",
    ]


def edges(result: SearchResult) -> list[str]:
    """Keys whose best value is the least or the greatest that was allowed, or close to it."""
    found = []
    for axis in result.plan.composition.axes:
        value = result.best.values[axis.key] if result.best and axis.key in result.best.values else None
        if isinstance(value, int | float) and axis.near_edge(value):
            found.append(f"{axis.key} = {value:g}")
    return found
