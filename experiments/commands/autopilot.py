"""`scaling autopilot study=NAME compute=C spend=F`: train, fit, choose the next runs, and repeat.

It ends when the FLOPs are spent or the expected waste is below the tolerance. The same command continues
where it stopped.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import Any

from analysis.laws import law_names
from analysis.report.decisions import round_rows
from analysis.table import load_runs
from experiments.commands.arguments import StudyParser, show
from experiments.commands.forecast import number
from experiments.commands.run import run_plan, stopped_as_interrupted
from experiments.rounds import FOLDER, ROUNDS, Flight, Goal, run_rounds
from experiments.terminal import Column, plural, table, wrapped
from scaling.launch.study import StudyResult, run_study
from scaling.study.plan import Plan, plan_study
from scaling.study.sources import Sources
from scaling.training.parallel import process_group

WORDS = ("compute", "spend")


def main(arguments: list[str]) -> int:
    parser = StudyParser("autopilot", __doc__)
    parser.usage = "scaling autopilot study=NAME compute=C spend=F [KEY=VALUE …] [options]"
    parser.add_argument(
        "--tolerance", type=float, default=Goal.tolerance, help="waste at which to stop (default .005)"
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=ROUNDS,
        help=f"split the FLOPs among this many rounds (default {ROUNDS}), or more where runs cost less",
    )
    parser.add_argument(
        "--law",
        action="append",
        default=[],
        metavar="NAME",
        help=f"law to fit, one of {', '.join(law_names())}",
    )
    parser.add_argument("--level", type=float, default=0.95, help="level of every interval (default 0.95)")
    parser.add_argument("--resamples", type=int, default=200, help="bootstrap replicates (default 200)")
    parser.add_argument(
        "--bootstrap-seed", type=int, default=0, metavar="N", help="seed of the bootstrap (default 0)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    asked = parser.parse(arguments)
    if show(asked):
        return 0
    goal, overrides = goal_of(asked)
    with process_group() as leads:
        if not leads:
            return 0
        plan = plan_study(overrides, Sources.here(asked.config_dir, asked.config_name))
        tell = (lambda _: None) if asked.json else _announce
        train = run_study if asked.json else train_loudly
        with stopped_as_interrupted():
            flight = run_rounds(plan, goal, train, tell)
    body = to_dict(plan, goal, flight)
    print(json.dumps(body, indent=1, allow_nan=False) if asked.json else describe(plan, goal, flight))
    return int(bool(flight.missing))


def goal_of(asked: Any) -> tuple[Goal, list[str]]:
    """What is wanted, from the words compute= and spend= among the overrides; and the overrides left.

    Raises:
        ValueError: for a word that is missing, or a number out of range.
    """
    given = {word.partition("=")[0]: word.partition("=")[2] for word in asked.overrides}
    if missing := [name for name in WORDS if not given.get(name)]:
        raise ValueError(
            f"{' and '.join(missing)}: not given. Write compute=C, the budget 6 N D [FLOP] whose best size "
            "is wanted, and spend=F, the FLOPs of all runs together."
        )
    numbers = {name: number(given[name]) for name in WORDS}
    for name, value in {**numbers, "--tolerance": asked.tolerance, "--rounds": float(asked.rounds)}.items():
        if not 0 < value < float("inf"):
            raise ValueError(f"{name}: a positive number; got {value:g}.")
    if not 0 < asked.level < 1:
        raise ValueError(f"--level: between 0 and 1; got {asked.level:g}.")
    goal = Goal(
        **numbers,
        tolerance=asked.tolerance,
        rounds=asked.rounds,
        laws=tuple(asked.law),
        resamples=asked.resamples,
        seed=asked.bootstrap_seed,
        level=asked.level,
    )
    return goal, [word for word in asked.overrides if word.partition("=")[0] not in WORDS]


def train_loudly(plan: Plan) -> StudyResult:
    """Train as `scaling run` does, with its progress and its table of runs."""
    begin = time.monotonic()
    return run_plan(plan, time.monotonic() - begin)


def _announce(each: dict[str, Any]) -> None:
    now = each["advice"]["now"]
    runs = ", ".join(f"N {run['N']:,} D {run['D']:,} ({run['kind']})" for run in each["runs"])
    print(
        wrapped(
            f"\nround {each['number']}: best N {now['N']['value']:.4g} [{now['N']['low']:.4g}, "
            f"{now['N']['high']:.4g}], expected waste {100 * now['regret']:.2g} %; it trains {runs}"
        ),
        flush=True,
    )


def describe(plan: Plan, goal: Goal, flight: Flight) -> str:
    """Every round: what was chosen, its price, what was said and what came; then where it stands."""
    lines = [f"\n{plan.name}: {plural(len(flight.rounds), 'round')} for a run of {goal.compute:.4g} FLOP"]
    if flight.rounds:
        header, rows = round_rows(flight.rounds, load_runs(plan.folder))
        cells = [[_cell(row[i]) for row in rows] for i in range(len(header))]
        columns = [
            Column(name, found, left=name in ("kind", "inside"))
            for name, found in zip(header, cells, strict=True)
        ]
        lines[0] += f"\n{table(columns)}"
    if flight.last is not None:
        now = flight.last.now
        lines.append(f"best N {now.N}, expected waste {100 * now.regret:.2g} %")
        lines += [f"! {warning.code}: {warning.message}" for warning in flight.last.warnings]
    lines.append(f"{flight.stop}; {flight.spent:.3g} of {goal.spend:.3g} FLOP (6 N D)")
    if flight.missing:
        lines.append(f"next: repeat the same command to train what is missing; scaling status {plan.folder}")
    else:
        more = f"; scaling forecasts {plan.folder / FOLDER}" if flight.rounds else ""
        lines.append(f"next: scaling report {plan.folder}{more}")
    return "\n".join([lines[0], *map(wrapped, lines[1:])])


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def to_dict(plan: Plan, goal: Goal, flight: Flight) -> dict[str, Any]:
    """The same as plain data."""
    return {
        "study": plan.name,
        "folder": str(plan.folder),
        "goal": asdict(goal),
        "rounds": list(flight.rounds),
        "now": None if flight.last is None else asdict(flight.last.now),
        "spent": flight.spent,
        "stop": flight.stop,
        "missing": flight.missing,
    }


if __name__ == "__main__":
    import sys

    from experiments.cli import run_verb

    sys.exit(run_verb("autopilot", sys.argv[1:]))
