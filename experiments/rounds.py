"""Rounds of an autopilot: train a study, choose the next runs, register their forecasts, train them, repeat.

What stands is read from two places and kept nowhere else: the records of the study's folder, and one
registered file per round in its `forecasts/`. That file is written before the first run of the round is
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
from analysis.fitting.runs import FitError, Runs
from analysis.forecast.advise import Advice, NextRun, advise_runs, seeds_of
from analysis.forecast.candidates import SHORTER
from analysis.forecast.design import PRIOR
from analysis.forecast.predict import fit_basis, forecast_run
from analysis.forecast.register import check_chain, registered_files, write_registered
from analysis.forecast.select import Ensemble
from analysis.laws.law import FLOPS_PER_PARAM_TOKEN, Array
from analysis.table import RunTable, load_runs, split_comparable
from experiments.terminal import plural
from scaling.launch.study import StudyResult
from scaling.records.record import read_study
from scaling.records.storage import Lock, LockedError
from scaling.study.command import CommandTrunk
from scaling.study.compose import PlanError
from scaling.study.decide import shortest_budget
from scaling.study.plan import Plan, join_plans, plan_jobs

FOLDER = "forecasts"  # of the study's folder; where reports look for registered answers
REHEARSED_NOISE, REHEARSED_DRAWS = 0.002, 20  # of the fit that is tried before anything is trained
ROUNDS = 4  # that the money is meant for: a round takes a quarter of it, and at least one run

Train = Callable[[Plan], StudyResult]
Values = dict[str, Any]  # key of the config → value
Registered = dict[str, Any]  # a round as it was put in writing


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

    rounds: tuple[Registered, ...]
    last: Advice | None  # by all runs; None where some are missing
    spent: float  # [FLOP] by runs that are done or planned
    stop: str  # why it ended
    missing: int = 0  # runs of the last round, or of the study, without a record


def run_rounds(
    plan: Plan, goal: Goal, train: Train, tell: Callable[[Registered], None] = lambda _: None
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
    _rehearse(plan, goal)
    try:
        with Lock(plan.folder / "autopilot.lock"):
            return _fly(plan, goal, train, tell)
    except LockedError as error:
        raise ValueError(f"study {plan.name}: another autopilot is running it: {error}") from error


def _fly(plan: Plan, goal: Goal, train: Train, tell: Callable[[Registered], None]) -> Flight:
    planner, flown = _Planner(plan), plan
    share = (goal.spend - price_of(plan)) / goal.rounds
    rounds = read_rounds(plan.folder, goal.compute)
    if missing := _missing(plan, train):
        return Flight((), None, price_of(plan), "some runs of the study are missing", missing)
    for number in count(1):
        if number > len(rounds):
            advice, found = _choose(flown, goal, share, number, planner)
            if found is None:
                return Flight(tuple(rounds), advice, price_of(flown), advice.stop)
            rounds.append(found)
        tell(rounds[number - 1])
        chosen = planner.again(rounds[number - 1])
        flown = join_plans(flown, chosen)
        if missing := _missing(join_plans(replace(plan, trunks=(), asked={}), chosen), train):
            words = f"some runs of round {number} are missing"
            return Flight(tuple(rounds), None, price_of(flown), words, missing)
    raise AssertionError("rounds never end")


def check_study(plan: Plan) -> None:
    """
    Raises:
        ValueError: for a study whose runs differ in more than size, budget and seed, or have no size yet.
    """
    lines = [[line.lstrip("+").partition("=") for line in job.overrides] for job in plan.composition.jobs]
    jobs = [{key: value for key, _, value in job} for job in lines]
    keys = {key for job in jobs for key, value in job.items() if any(o.get(key) != value for o in jobs)}
    others = sorted(k for k in keys if k not in ("model.params", "seed") and not k.startswith("budget."))
    if plan.composition.axes or others:
        what = ", ".join(others or [axis.key for axis in plan.composition.axes])
        raise ValueError(
            f"autopilot chooses model.params, budget.tokens and seed of one recipe; study {plan.name} also "
            f"varies {what}. Give one value of each."
        )
    if any(np.isnan(trunk.params) for trunk in plan.trunks):
        raise ValueError("autopilot needs the size of a run before it is trained; give trainer.params.")


def _rehearse(plan: Plan, goal: Goal) -> None:
    """Fit once as if the study were trained, with losses of the `PRIOR` law.

    Raises:
        FitError: where runs of these sizes and budgets determine no law, whatever their losses.
    """
    pairs = np.array([(trunk.params, run.tokens) for trunk, run in plan.runs], dtype=float)
    inputs = {"N": pairs[:, 0], "D": pairs[:, 1]}
    loss = PRIOR.sample(np.random.default_rng(0), relative_noise=REHEARSED_NOISE, **inputs)
    try:
        fit_basis(Runs.of(inputs, loss), goal.laws, Bootstrap("bayes", REHEARSED_DRAWS))
    except FitError as error:
        raise FitError(
            f"nothing was trained: {plural(len(pairs), 'run')} of study {plan.name} would determine no law: "
            f"{error} Give more values of model.params and budget.tokens."
        ) from error


def price_of(plan: Plan) -> float:
    """What the runs of a plan take as branches of their trunks [FLOP], by 6 N D as `scaling next` counts."""
    return float(sum(FLOPS_PER_PARAM_TOKEN * t.params * t.flops / t.flops_per_token for t in plan.trunks))


def read_rounds(folder: Path, compute: float) -> list[Registered]:
    """The rounds that were registered for a study, in their order.

    Raises:
        ValueError: for files that were changed or taken away, or rounds for another target.
    """
    place = folder / FOLDER
    files = registered_files(place) if place.is_dir() else {}
    if wrong := check_chain(files):
        raise ValueError(f"{place}: {'; '.join(wrong)}. Rounds rest on what was registered; restore it.")
    rounds = [body["round"] for body in files.values() if body["kind"] == "round"]
    for each in rounds:
        if each["advice"]["compute"] != compute:
            raise ValueError(
                f"compute: the rounds of {folder} were chosen for {each['advice']['compute']:.6g} FLOP; got "
                f"{compute:.6g}. Give that, or another study a name: name={folder.name}-2."
            )
    return sorted(rounds, key=lambda each: int(each["number"]))


def _missing(plan: Plan, train: Train) -> int:
    """How many runs of a plan have no record, once those that had none were trained."""
    try:
        records = read_study(plan.folder)
        done = {record.run_id for record in records.records} & set(records.expected)
        if done.issuperset(run.id for _, run in plan.runs):
            return 0
    except FileNotFoundError:  # it has not begun
        pass
    return len(train(plan).missing)


def _choose(
    flown: Plan, goal: Goal, share: float, number: int, planner: _Planner
) -> tuple[Advice, Registered | None]:
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
        buildable=planner.buildable,
        shortest=planner.shortest,
        tolerance=goal.tolerance,
        seed=goal.seed,
        level=goal.level,
    )
    advice = replace(advice, warnings=warnings)
    chosen = _affordable(flown, advice, planner.plan_runs(advice.runs, only), goal.spend, share)
    if not chosen:
        stop = (
            "stop: the spend left pays for none of the runs that would help" if advice.runs else advice.stop
        )
        return replace(advice, stop=stop), None
    rows = _said(flown, chosen, basis, goal.seed)
    body = {"number": number, "level": goal.level, "advice": advice.to_dict(), "runs": rows}
    write_registered("round", {"round": body}, table, flown.folder / FOLDER / f"round-{number:02d}.json")
    return advice, body


def _said(flown: Plan, chosen: Sequence[_Chosen], basis: Ensemble, seed: int) -> list[Values]:
    """What is put in writing of each run: how to ask for it, its price, and the loss that it will have."""
    rows = []
    for one in chosen:
        ((trunk, run),) = one.plan.runs
        before, flown = price_of(flown), join_plans(flown, [one.plan])
        said = forecast_run(basis, {"N": float(trunk.params), "D": float(run.tokens)}, seed=seed)
        known = {"run_id": run.id, "values": one.values, "N": trunk.params, "D": run.tokens}
        known |= {"kind": one.run.kind, "cost": price_of(flown) - before}
        rows.append({**known, "loss": said.loss.value, "low": said.run[0], "high": said.run[1]})
    return rows


def _resumable(plan: Plan) -> dict[float, float] | None:
    """Size → tokens of the trunk of the study's first seed that a longer run can go on with.

    None where none can: of commands, of schedules with a horizon, and where the rate depends on the budget.
    """
    seed = plan.composition.jobs[0].config.seed
    trunks = [trunk for trunk in plan.trunks if trunk.spec.seed == seed]
    if any(isinstance(t, CommandTrunk) or t.spec.schedule_name != "trunk" for t in trunks):
        return None
    found = {float(trunk.params): float(max(run.tokens for run in trunk.runs)) for trunk in trunks}
    return found if len(found) == len(trunks) else None


@dataclass(frozen=True)
class _Chosen:
    """A run that is worth training, the overrides that ask for it, and the plan that trains it alone."""

    run: NextRun
    values: Values
    plan: Plan


def _affordable(
    flown: Plan, advice: Advice, wanted: Sequence[_Chosen], spend: float, share: float
) -> list[_Chosen]:
    """The first runs of the advice that are new, for a share of the money together: one at least."""
    known = {run.id for _, run in flown.runs}
    start = price_of(flown)
    chosen: list[_Chosen] = []
    for one in wanted:
        ((_, run),) = one.plan.runs
        joined = join_plans(flown, [one.plan])
        price = price_of(joined)
        if run.id in known or price > spend:  # known: a budget within a step of one that is there
            continue
        if chosen and price - start > share:
            break
        known.add(run.id)
        chosen.append(one)
        flown = joined
    return chosen


class _Planner:
    """Plans single runs of a study's recipe. Each is composed once: that takes longer than all else."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.composition = replace(plan.composition, jobs=plan.composition.jobs[:1])
        self.config = plan.composition.jobs[0].config
        self.made: dict[str, Plan | PlanError] = {}
        least = min(run.tokens for _, run in plan.runs) / SHORTER
        command = self.config.trainer.kind != "builtin"
        self.shortest = least if command else max(least, shortest_budget(self.config))

    def each(self, values: Sequence[Values]) -> list[Plan | PlanError]:
        """A plan of each of these jobs, or why there is none: e.g. no model is near that size."""
        new = {str(one): one for one in values if str(one) not in self.made}
        jobs = self.composition.with_jobs(new.values()).jobs if new else ()
        for name, job in zip(new, jobs, strict=True):
            try:
                self.made[name] = plan_jobs(self.plan, replace(self.composition, jobs=(job,)))
            except PlanError as error:
                self.made[name] = error
        return [self.made[str(one)] for one in values]

    def buildable(self, sizes: Array) -> Array:
        """The sizes that models nearest to these have; none for a size that no model is near.

        None far below those that the study began with either: what money is left after a round always pays
        for something smaller, so that rounds would go down to a single parameter.
        """
        least = min(trunk.params for trunk in self.plan.trunks) / SHORTER
        plans = self.each([self._sized(float(size)) for size in sizes if size >= least])
        return np.array([p.trunks[0].params for p in plans if not isinstance(p, PlanError)], dtype=float)

    def plan_runs(self, runs: Sequence[NextRun], table: RunTable) -> list[_Chosen]:
        """Those of the runs that can be planned, each alone."""
        wanted = []
        for run, seed in zip(runs, seeds_of(runs, table), strict=True):
            values = {**self._sized(run.N), "budget.tokens": [run.D]}
            values |= {
                f"budget.{key}": None for key in ("tokens_per_param", "compute") if self._set("budget", key)
            }
            wanted.append(values if seed is None else {**values, "seed": seed})
        plans = self.each(wanted)
        every = zip(runs, wanted, plans, strict=True)
        return [_Chosen(run, values, plan) for run, values, plan in every if not isinstance(plan, PlanError)]

    def again(self, registered: Registered) -> list[Plan]:
        """A plan of each run of a registered round.

        Raises:
            ValueError: where these settings make other runs than those that were registered.
        """
        plans = []
        for found in self.each([run["values"] for run in registered["runs"]]):
            if isinstance(found, PlanError):
                raise found
            plans.append(found)
        ids = [run.id for each in plans for _, run in each.runs]
        said = [run["run_id"] for run in registered["runs"]]
        if ids != said:
            raise ValueError(
                f"round {registered['number']} of {self.plan.folder} was chosen for {said[0]} …; these "
                f"settings make {ids[0]} …. Run the command as it was, or give this study a name of its own: "
                f"name={self.plan.name}-2."
            )
        return plans

    def _sized(self, size: float) -> Values:
        """What asks for a size; a shape that was asked for is taken back."""
        shape = {f"model.{key}": None for key in ("width", "depth") if self._set("model", key)}
        return {"model.params": size, **shape}

    def _set(self, section: str, key: str) -> bool:
        return getattr(getattr(self.config, section), key) is not None
