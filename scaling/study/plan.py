"""A study → everything it will train, resolved and checked before the first step.

Every job that cannot be decided is reported, not the first only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import Any

from scaling.data.corpora import open_dataset
from scaling.data.dataset import Dataset
from scaling.data.options import DataOptions
from scaling.records.record import SCHEMA
from scaling.registry import Registry
from scaling.study.command import CommandSpec, decide_command
from scaling.study.compose import (
    Composition,
    Job,
    Overrides,
    PlanError,
    compose_study,
    one_study_each,
    report_problems,
)
from scaling.study.config import RunConfig
from scaling.study.decide import decide
from scaling.study.old_ids import OldIds
from scaling.study.sources import Sources
from scaling.study.spec import RunSpec, Trunk

OF_A_STUDY = (  # keys that say where and how to run, and so are the same in all jobs of a study
    *("question", "cache", "workers", "reuse", "max_flops", "max_hours", "tasks", "tracking", "project"),
    *("entity", "extensions"),
    *("training.device", "training.parallel", "training.threads"),
)


@dataclass(frozen=True)
class Plan:
    """Every trunk of a study, in the order in which Hydra will launch them."""

    name: str
    question: str
    folder: Path
    trunks: tuple[Trunk, ...]
    config: RunConfig  # of the first job: where and how to run is the same in all
    composition: Composition
    asked: Mapping[str, Overrides]  # trunk id → overrides of the first job that asks for it

    @property
    def runs(self) -> list[tuple[Trunk, RunSpec]]:
        return [(trunk, run) for trunk in self.trunks for run in trunk.runs]

    def affordable(self) -> Plan:
        """The cheapest trunks that `max_flops` pays for together, or all of them.

        Raises:
            ValueError: when not even the cheapest trunk is paid for.
        """
        if self.config.max_flops is None:
            return self
        if any(math.isnan(trunk.flops) for trunk in self.trunks):
            raise ValueError("max_flops: the size of a run is not known before; give trainer.params.")
        kept: set[str] = set()
        left = self.config.max_flops
        for trunk in sorted(self.trunks, key=lambda trunk: trunk.flops):
            left -= trunk.flops
            if left < 0:
                break
            kept.add(trunk.spec.id)
        if not kept:
            least = min(trunk.flops for trunk in self.trunks)
            raise ValueError(
                f"max_flops: the cheapest trunk takes {least:.2e} FLOP; got {self.config.max_flops:.2e}."
            )
        return replace(self, trunks=tuple(trunk for trunk in self.trunks if trunk.spec.id in kept))

    def to_dict(self) -> dict[str, Any]:
        """`plan.json`: what is expected, so that missing runs can be counted."""
        rows = [
            {
                "run_id": run.id,
                "trunk_id": trunk.spec.id,
                "family": trunk.spec.family,
                "params": _known(trunk.params),
                "tokens": run.tokens,
                "flops": _known(trunk.flops_per_token * run.tokens),
                "optimizer": trunk.spec.optimizer,
                "learning_rate": _known(trunk.spec.learning_rate),
                "weight_decay": _known(trunk.spec.weight_decay),
                "tau": trunk.tau(run),
                "seed": trunk.spec.seed,
            }
            for trunk, run in self.runs
        ]
        return {"study": self.name, "question": self.question, "schema": SCHEMA, "runs": rows}


def plan_study(overrides: Sequence[str], sources: Sources | None = None) -> Plan:
    """Compose and decide every run of one study, once.

    Args:
        overrides: as on the command line, e.g. `["study=demo", "seed=0,1"]`.
        sources: where configs are found; `./conf` of the working directory is always searched.

    Raises:
        PlanError: listing every job that cannot be decided; or where several studies are asked for.
    """
    plans = plan_studies(overrides, sources)
    if len(plans) > 1:
        raise PlanError(f"one study is planned here; got {', '.join(str(plan.folder) for plan in plans)}.")
    return plans[0]


def plan_studies(overrides: Sequence[str], sources: Sources | None = None) -> tuple[Plan, ...]:
    """Compose and decide every run of every study: `study=smoke,demo`, and each name that jobs are given.

    Raises:
        PlanError: listing every job that cannot be decided.
    """
    plans: list[Plan] = []
    for asked in one_study_each(overrides):
        composition = compose_study(asked, sources)
        studies: dict[Path, list[Job]] = {}
        for job in composition.jobs:
            studies.setdefault(Path(job.config.runs) / job.config.name, []).append(job)
        for jobs in studies.values():
            _check_alike(jobs)
        trunks = _decide(composition.jobs)
        plans += [_plan(folder, jobs, composition, trunks) for folder, jobs in studies.items()]
    _check_apart(plans)
    return tuple(plans)


def join_plans(plan: Plan, others: Iterable[Plan]) -> Plan:
    """Return `plan` with the trunks and runs of these other plans of the same study."""
    trunks = {trunk.spec.id: trunk for trunk in plan.trunks}
    asked = dict(plan.asked)
    for other in others:
        for trunk in other.trunks:
            trunks[trunk.spec.id] = _join(trunks.get(trunk.spec.id, trunk), trunk)
        asked = {**other.asked, **asked}
    return replace(plan, trunks=tuple(trunks.values()), asked=asked)


def plan_jobs(plan: Plan, composition: Composition) -> Plan:
    """The plan of these jobs under the name of `plan`.

    Raises:
        PlanError: listing every job that cannot be decided.
    """
    return _plan(plan.folder, composition.jobs, composition, _decide(composition.jobs))


def _decide(jobs: Sequence[Job]) -> dict[Overrides, list[Trunk]]:
    """The trunks of each job.

    Raises:
        PlanError: listing every job that cannot be decided.
    """
    opened: dict[DataOptions, Dataset | Exception] = {}
    trunks: dict[Overrides, list[Trunk]] = {}
    problems: dict[str, list[Overrides]] = {}
    for job in jobs:
        try:
            trunks[job.overrides] = TRAINERS[job.config.trainer.kind](job.config, opened)
        except _Unopened as error:
            problems.setdefault(str(error.__cause__), []).append(job.overrides)
        except (ValueError, ImportError) as error:
            problems.setdefault(str(error), []).append(job.overrides)
    if problems:
        raise PlanError(report_problems(problems, [job.overrides for job in jobs]))
    _refuse_alike(trunks)
    return trunks


Opened = dict[DataOptions, Dataset | Exception]


class _Unopened(Exception):
    """A corpus that cannot be opened: the cause says why."""


def _decide_builtin(config: RunConfig, opened: Opened) -> list[Trunk]:
    dataset = _open(config, opened)
    if isinstance(dataset, Exception):
        raise _Unopened from dataset
    return decide(config, dataset)


# What decides the trunks of a job, by who trains them.
TRAINERS: Registry[Callable[[RunConfig, Opened], list[Trunk]]] = Registry(
    "trainer",
    "trainer.kind",
    {"builtin": _decide_builtin, "command": lambda config, opened: decide_command(config)},
)


def _refuse_alike(trunks: Mapping[Overrides, list[Trunk]]) -> None:
    """
    Raises:
        PlanError: for jobs that differ in what their command is not told: it would train one run twice.
    """
    asked: dict[str, Overrides] = {}
    for overrides, found in trunks.items():
        for run in (run for trunk in found if isinstance(trunk.spec, CommandSpec) for run in trunk.runs):
            other = asked.setdefault(run.id, overrides)
            if other != overrides:
                one, two = (
                    " ".join(o for o in x if o not in {*other} & {*overrides}) for x in (other, overrides)
                )
                raise PlanError(
                    f"trainer.command: it receives the same values for {one} and for {two}, so both would be "
                    "one run. Use the name of what differs, e.g. {seed}; scaling plan --names lists all."
                )


def _plan(
    folder: Path, jobs: Sequence[Job], composition: Composition, decided: Mapping[Overrides, list[Trunk]]
) -> Plan:
    trunks: dict[str, Trunk] = {}
    asked: dict[str, Overrides] = {}
    old = OldIds(folder)
    for job in jobs:
        for trunk in map(old.keep, decided[job.overrides]):
            trunks[trunk.spec.id] = _join(trunks.get(trunk.spec.id, trunk), trunk)
            asked.setdefault(trunk.spec.id, job.overrides)
    first = jobs[0].config
    return Plan(
        name=first.name,
        question=first.question,
        folder=folder,
        trunks=tuple(trunks.values()),
        config=first,
        composition=composition,
        asked=asked,
    )


def _check_alike(jobs: Sequence[Job]) -> None:
    """
    Raises:
        PlanError: for jobs of one study that differ in what a study has once.
    """
    for key in OF_A_STUDY:
        found = list(dict.fromkeys(str(attrgetter(key)(job.config)) for job in jobs))
        if len(found) > 1:
            raise PlanError(
                f"{key}: one value per study; study {jobs[0].config.name} got {', '.join(found)}. Run the "
                f"command for each, or give the jobs names: 'name={jobs[0].config.name}-${{{key}}}'."
            )


def _check_apart(plans: Sequence[Plan]) -> None:
    """
    Raises:
        PlanError: for two studies that would share a folder.
    """
    folders = [plan.folder for plan in plans]
    twice = next((folder for folder in folders if folders.count(folder) > 1), None)
    if twice is not None:
        raise PlanError(f"two of these studies have the folder {twice}: name={twice.name} is given for both.")


def _open(config: RunConfig, opened: dict[DataOptions, Dataset | Exception]) -> Dataset | Exception:
    """The corpus that a job asks for, or why there is none; each is opened once."""
    options = config.data.options()
    if options not in opened:
        try:
            opened[options] = open_dataset(options, config.cache)
        except (ValueError, OSError, ImportError) as error:
            opened[options] = error
    return opened[options]


def _known(number: float) -> float | None:
    """None where a number will be known only when a command has ended."""
    return None if math.isnan(number) else number


def _join(one: Trunk, other: Trunk) -> Trunk:
    """Two jobs may ask for different budgets of the same trunk: it is trained once."""
    runs = sorted({*one.runs, *other.runs}, key=lambda run: run.branch_step)
    longer = max(one, other, key=lambda trunk: trunk.last_step)
    return replace(longer, runs=tuple(runs))
