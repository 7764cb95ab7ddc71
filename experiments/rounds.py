"""Rounds of an autopilot: train a study, choose the next runs, put their forecasts in writing, train them, again.

What stands is read from two places and kept nowhere else: the records of the study's folder, and one
registered file a round in its `forecasts/`. That file is written before the first run of the round is
trained, and names every run that was chosen, so a command that was killed goes on with the same choice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from analysis.fitting.bootstrap.replicates import Bootstrap
from analysis.fitting.runs import Runs
from analysis.forecast.advise import Advice, NextRun, advise_runs
from analysis.forecast.predict import fit_basis, forecast_run
from analysis.forecast.register import check_chain, registered_files, write_registered
from analysis.laws.law import FLOPS_PER_PARAM_TOKEN, Array
from analysis.table import RunTable, load_runs, split_comparable
from experiments.commands.next import seeds_of
from scaling.launch.study import StudyResult
from scaling.records.record import read_study
from scaling.records.storage import Lock, LockedError
from scaling.study.compose import PlanError
from scaling.study.plan import Plan, join_plans, plan_jobs

FOLDER = "forecasts"  # of the study's folder; where reports look for registered answers
ROUNDS = 4  # that the money is meant for: a round takes a quarter of it, and at least one run

Train = Callable[[Plan], StudyResult]


@dataclass(frozen=True)
class Goal:
    """What an autopilot is to find out, and for how much."""

    compute: float  # target budget 6 N D [FLOP]
    spend: float  # [FLOP], 6 N D, of all runs together, the study's own included
    tolerance: float = 0.005  # expected waste at which to stop
    rounds: int = ROUNDS
    laws: tuple[str, ...] = ()
    resamples: int = 200
    seed: int = 0
    level: float = 0.95


@dataclass(frozen=True)
class Flight:
    """What came of an autopilot so far."""

    rounds: tuple[dict[str, Any], ...]  # as they were registered
    last: Advice | None  # by all runs; None where some are missing
    spent: float  # [FLOP] by runs that are done or planned
    stop: str  # why it ended
    missing: int = 0  # runs of the last round, or of the study, without a record


def run_rounds(
    plan: Plan, goal: Goal, train: Train, tell: Callable[[dict[str, Any]], None] = lambda _: None
) -> Flight:
    """Train the study and then round after round, until the money or the tolerance is reached.

    Args:
        train: trains what of a plan has no record.
        tell: hears of every round before it is trained.

    Raises:
        ValueError: for a study that is no grid of sizes, budgets and seeds of one recipe, costs more than may
            be spent, or has rounds for another target or other settings; or while another command flies it.
        FitError: for runs that determine no law of N and D.
    """
    check_study(plan)
    own = price_of(plan)
    if own > goal.spend:
        raise ValueError(f"spend: the study's own runs take {own:.3g} FLOP (6 N D); got {goal.spend:.3g}.")
    try:
        with Lock(plan.folder / "autopilot.lock"):
            return _fly(plan, goal, train, tell)
    except LockedError as error:
        raise ValueError(f"study {plan.name} is flown by another command: {error}") from error


def _fly(plan: Plan, goal: Goal, train: Train, tell: Callable[[dict[str, Any]], None]) -> Flight:
    part = (goal.spend - price_of(plan)) / goal.rounds
    rounds = read_rounds(plan.folder, goal.compute)
    flown = plan
    if missing := _missing(plan, train):
        return Flight((), None, price_of(plan), "some runs of the study are missing", missing)
    for number in count(1):
        if number > len(rounds):
            advice, found = _choose(flown, goal, part, number)
            if found is None:
                return Flight(tuple(rounds), advice, price_of(flown), advice.stop)
            rounds.append(found)
        chosen = _plan_round(plan, rounds[number - 1])
        flown = join_plans(flown, chosen)
        tell(rounds[number - 1])
        if missing := _missing(join_plans(replace(plan, trunks=(), asked={}), chosen), train):
            words = f"some runs of round {number} are missing"
            return Flight(tuple(rounds), None, price_of(flown), words, missing)
    raise AssertionError("unreachable")


def check_study(plan: Plan) -> None:
    """
    Raises:
        ValueError: for a study whose runs differ in more than size, budget and seed, or have no size yet.
    """
    jobs = [dict(line.lstrip("+").partition("=")[::2] for line in job.overrides) for job in plan.composition.jobs]
    keys = {key for job in jobs for key, value in job.items() if any(o.get(key) != value for o in jobs)}
    others = sorted(key for key in keys if key not in ("model.params", "seed") and not key.startswith("budget"))
    if plan.composition.axes or others:
        what = ", ".join(others) or ", ".join(axis.key for axis in plan.composition.axes)
        raise ValueError(
            f"autopilot chooses model.params, budget.tokens and seed of one recipe; study {plan.name} also "
            f"varies {what}. Give one value of each."
        )
    if any(trunk.params != trunk.params for trunk in plan.trunks):
        raise ValueError("autopilot needs the size of a run before it is trained; give trainer.params.")


def price_of(plan: Plan) -> float:
    """What the runs of a plan take as branches of their trunks [FLOP], by 6 N D as `scaling next` counts."""
    return float(sum(FLOPS_PER_PARAM_TOKEN * t.params * t.flops / t.flops_per_token for t in plan.trunks))


def read_rounds(folder: Path, compute: float) -> list[dict[str, Any]]:
    """The rounds that were registered for a study, in their order.

    Raises:
        ValueError: for files that were changed or taken away, or rounds for another target.
    """
    place = folder / FOLDER
    files = registered_files(place) if place.is_dir() else {}
    if wrong := check_chain(files):
        raise ValueError(f"{place}: {'; '.join(wrong)}. Rounds rest on what was registered; restore it.")
    rounds = [body["round"] for body in files.values() if body["kind"] == "round"]
    rounds.sort(key=lambda each: int(each["number"]))
    for each in rounds:
        if each["advice"]["compute"] != compute:
            raise ValueError(
                f"compute: the rounds of {folder} were chosen for {each['advice']['compute']:.6g} FLOP; got "
                f"{compute:.6g}. Give that, or another study a name: name={folder.name}-2."
            )
    return rounds


def _missing(plan: Plan, train: Train) -> int:
    """How many runs of a plan have no record, once those that had none were trained."""
    asked = {run.id for _, run in plan.runs}
    try:
        records = read_study(plan.folder)
        done = {record.run_id for record in records.records}
        if asked <= done & set(records.expected):
            return 0
    except FileNotFoundError:  # it has not begun
        pass
    return len(train(plan).missing)


def _choose(
    flown: Plan, goal: Goal, part: float, number: int
) -> tuple[Advice, dict[str, Any] | None]:
    """Choose a round and register it; None where there is none."""
    table = load_runs(flown.folder)
    parts = split_comparable(table)
    if len(parts) > 1:
        raise ValueError(
            f"{flown.folder} holds runs of several recipes: {', '.join(map(repr, parts))}; give this study a "
            f"name of its own: name={flown.name}-2."
        )
    (only,) = parts.values()
    runs = Runs.of_table(only, ("N", "D"))
    basis, warnings = fit_basis(runs, goal.laws, Bootstrap("bayes", goal.resamples, goal.seed, goal.level))
    advice = advise_runs(
        runs,
        goal.compute,
        max(goal.spend - price_of(flown), 1.0),
        basis=basis,
        trunks=_resumable(flown),
        buildable=lambda sizes: _buildable(flown, sizes),
        tolerance=goal.tolerance,
        seed=goal.seed,
        level=goal.level,
    )
    advice = replace(advice, warnings=warnings)
    chosen = _affordable(flown, advice, only, goal.spend, part)
    if not chosen:
        stop = advice.stop if not advice.runs else "stop: what is left pays for none of the runs that would help"
        return replace(advice, stop=stop), None
    before = price_of(flown)
    rows = []
    for run, values, planned in chosen:
        ((trunk, spec),) = planned.runs
        flown = join_plans(flown, [planned])
        said = forecast_run(basis, {"N": float(trunk.params), "D": float(spec.tokens)}, seed=goal.seed)
        rows.append(
            {
                "run_id": spec.id,
                "values": values,
                "N": trunk.params,
                "D": spec.tokens,
                "kind": run.kind,
                "cost": price_of(flown) - before,
                "loss": said.loss.value,
                "low": said.run[0],
                "high": said.run[1],
            }
        )
        before = price_of(flown)
    body = {"number": number, "level": goal.level, "advice": advice.to_dict(), "runs": rows}
    write_registered("round", {"round": body}, table, flown.folder / FOLDER / f"round-{number:02d}.json")
    return advice, body


def _resumable(plan: Plan) -> dict[float, float]:
    """Size → tokens of the longest trunk of the study's first seed that a longer run can go on with."""
    seed = plan.composition.jobs[0].config.seed
    trunks = [t for t in plan.trunks if t.spec.seed == seed and t.spec.schedule_name == "trunk"]
    found: dict[float, float] = {}
    for trunk in trunks:
        longest = float(max(run.tokens for run in trunk.runs))
        found[float(trunk.params)] = max(found.get(float(trunk.params), 0.0), longest)
    return found


def _affordable(
    flown: Plan, advice: Advice, table: RunTable, spend: float, part: float
) -> list[tuple[NextRun, dict[str, Any], Plan]]:
    """The first runs of the advice, new as they can be built, for a round's part of the money: one at least."""
    known = {run.id for _, run in flown.runs}
    chosen: list[tuple[NextRun, dict[str, Any], Plan]] = []
    start, after = price_of(flown), flown
    config = flown.composition.jobs[0].config
    wanted = [_values(config, run, seed) for run, seed in zip(advice.runs, seeds_of(advice.runs, table), strict=True)]
    for run, values, planned in zip(advice.runs, wanted, _plan_each(flown, wanted), strict=True):
        if isinstance(planned, PlanError):  # e.g. a budget shorter than the warm-up of its size
            continue
        ((_, spec),) = planned.runs
        if spec.id in known:  # a budget within a step of one that is there
            continue
        joined = join_plans(after, [planned])
        price = price_of(joined)
        if price > spend:
            continue
        if chosen and price - start > part:
            break
        known.add(spec.id)
        chosen.append((run, values, planned))
        after = joined
    return chosen


def _values(config: Any, run: NextRun, seed: int | None) -> dict[str, Any]:
    """Overrides that ask for one run; what asked for its size or budget in another way is taken back."""
    values: dict[str, Any] = {"model.params": run.N, "budget.tokens": [run.D]}
    for section in ("model", "budget"):
        for key in {"model": ("width", "depth"), "budget": ("tokens_per_param", "compute")}[section]:
            if getattr(getattr(config, section), key) is not None:
                values[f"{section}.{key}"] = None
    return values if seed is None else {**values, "seed": seed}


def _buildable(plan: Plan, sizes: Array) -> Array:
    """The sizes that models nearest to these have; none for a size that no model is near."""
    plans = _plan_each(plan, [{"model.params": float(size)} for size in sizes])
    found = [each.trunks[0].params for each in plans if not isinstance(each, PlanError)]
    return np.array(found, dtype=float)


def _plan_each(plan: Plan, values: Sequence[dict[str, Any]]) -> list[Plan | PlanError]:
    """A plan of each of these jobs, or why there is none."""
    composition = replace(plan.composition, jobs=plan.composition.jobs[:1])
    jobs = composition.with_jobs(values).jobs if values else ()
    found: list[Plan | PlanError] = []
    for job in jobs:
        try:
            found.append(plan_jobs(plan, replace(composition, jobs=(job,))))
        except PlanError as error:
            found.append(error)
    return found


def _plan_round(plan: Plan, registered: dict[str, Any]) -> list[Plan]:
    """A plan of each run of a registered round.

    Raises:
        ValueError: where these settings make other runs than those that were registered.
    """
    plans = []
    for each in _plan_each(plan, [run["values"] for run in registered["runs"]]):
        if isinstance(each, PlanError):
            raise each
        plans.append(each)
    ids = [run.id for each in plans for _, run in each.runs]
    said = [run["run_id"] for run in registered["runs"]]
    if ids != said:
        number = registered["number"]
        raise ValueError(
            f"round {number} of {plan.folder} was chosen for {said[0]} …; these settings make {ids[0]} …. Run "
            f"the command as it was, or give this study a name of its own: name={plan.name}-2."
        )
    return plans

