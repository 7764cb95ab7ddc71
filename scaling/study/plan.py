"""A study → everything it will train, resolved and checked before the first step.

Every job that cannot be decided is reported, not the first only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scaling.data.corpora import open_dataset
from scaling.data.dataset import Dataset
from scaling.data.options import DataOptions
from scaling.records.record import SCHEMA
from scaling.records.storage import slug
from scaling.study.compose import Composition, Overrides, PlanError, compose_study, report_problems
from scaling.study.config import RunConfig
from scaling.study.decide import decide
from scaling.study.moved import OldIds
from scaling.study.spec import RunSpec, Trunk


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
                "params": trunk.params,
                "tokens": run.tokens,
                "flops": trunk.flops_per_token * run.tokens,
                "learning_rate": trunk.spec.learning_rate,
                "seed": trunk.spec.seed,
            }
            for trunk, run in self.runs
        ]
        return {"study": self.name, "question": self.question, "schema": SCHEMA, "runs": rows}


def plan_study(overrides: Sequence[str]) -> Plan:
    """Compose and decide every run of a study, once.

    Args:
        overrides: as on the command line, e.g. `["study=demo", "seed=0,1"]`.

    Raises:
        PlanError: listing every job that cannot be decided.
    """
    composition = compose_study(overrides)
    opened: dict[DataOptions, Dataset | Exception] = {}
    trunks: dict[str, Trunk] = {}
    asked: dict[str, Overrides] = {}
    first = composition.jobs[0].config
    folder = Path(first.runs) / slug(first.name)
    old = OldIds(folder)
    problems: dict[str, list[Overrides]] = {}
    for job in composition.jobs:
        dataset = _open(job.config, opened)
        if isinstance(dataset, Exception):
            problems.setdefault(str(dataset), []).append(job.overrides)
            continue
        try:
            for trunk in map(old.keep, decide(job.config, dataset)):
                trunks[trunk.spec.id] = _join(trunks.get(trunk.spec.id, trunk), trunk)
                asked.setdefault(trunk.spec.id, job.overrides)
        except ValueError as error:
            problems.setdefault(str(error), []).append(job.overrides)
    if problems:
        raise PlanError(report_problems(problems, [job.overrides for job in composition.jobs]))
    return Plan(
        name=first.name,
        question=first.question,
        folder=folder,
        trunks=tuple(trunks.values()),
        config=first,
        composition=composition,
        asked=asked,
    )


def _open(config: RunConfig, opened: dict[DataOptions, Dataset | Exception]) -> Dataset | Exception:
    """The corpus that a job asks for, or why there is none; each is opened once."""
    options = config.data.options()
    if options not in opened:
        try:
            opened[options] = open_dataset(options, config.cache)
        except (ValueError, OSError, ImportError) as error:
            opened[options] = error
    return opened[options]


def _join(one: Trunk, other: Trunk) -> Trunk:
    """Two jobs may ask for different budgets of the same trunk: it is trained once."""
    runs = sorted({*one.runs, *other.runs}, key=lambda run: run.branch_step)
    longer = max(one, other, key=lambda trunk: trunk.last_step)
    return replace(longer, runs=tuple(runs))
