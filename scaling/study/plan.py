"""A study → everything it will train, resolved and checked before the first step.

Hydra composes every job exactly as its multirun will, and every bad one is reported, not the first only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from scaling.data.dataset import Dataset, open_dataset
from scaling.records.record import SCHEMA
from scaling.study.config import DataConfig, RunConfig, register
from scaling.study.decide import decide
from scaling.study.spec import RunSpec, Trunk


class PlanError(ValueError):
    """What was asked cannot be decided. The message lists every job that is wrong, and why."""


@dataclass(frozen=True)
class Job:
    """One Hydra job as composed: its overrides and its config."""

    overrides: tuple[str, ...]
    config: RunConfig


@dataclass(frozen=True)
class Plan:
    """Every trunk of a study, in the order in which Hydra will launch them."""

    name: str
    question: str
    folder: Path
    trunks: tuple[Trunk, ...]

    @property
    def runs(self) -> list[tuple[Trunk, RunSpec]]:
        return [(trunk, run) for trunk in self.trunks for run in trunk.runs]

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


def config_folder() -> Path:
    """`conf/` of a checkout, or the copy that a wheel carries.

    Raises:
        FileNotFoundError: when neither is there.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "conf", package.parent / "conf"):
        if (folder / "config.yaml").is_file():
            return folder
    raise FileNotFoundError(f"no conf/config.yaml in {package} or beside it: the installation is incomplete.")


def compose_jobs(overrides: Sequence[str]) -> list[Job]:
    """Every job of the sweep that these overrides and the study they name ask for.

    Raises:
        PlanError: for unknown keys, wrong types, values out of range; all jobs are tried first.
    """
    register()
    parser = OverridesParser.create()
    jobs: dict[tuple[str, ...], RunConfig] = {}
    problems: dict[str, list[str]] = {}
    with initialize_config_dir(str(config_folder()), version_base="1.3", job_name="scaling"):
        try:
            parsed = parser.parse_overrides(list(overrides))
            fixed = [str(o.input_line) for o in parsed if not o.is_sweep_override()]
            base = compose("config", fixed, return_hydra_config=True)
            swept = [f"{key}={value}" for key, value in (base.hydra.sweeper.params or {}).items()]
            batches = BasicSweeper.split_arguments(parser.parse_overrides(swept + list(overrides)), None)
        except (HydraException, OmegaConfBaseException) as error:
            raise PlanError(_explain(error)) from error
        for job in batches[0]:
            try:
                config = OmegaConf.to_object(compose("config", list(job)))
                assert isinstance(config, RunConfig)
                jobs[tuple(job)] = config
            except (HydraException, OmegaConfBaseException, ValueError) as error:
                problems.setdefault(_explain(error), []).append(" ".join(job) or "the defaults")
    if problems:
        raise PlanError(_report(problems, len(batches[0])))
    return [Job(overrides=key, config=config) for key, config in jobs.items()]


def open_corpus(data: DataConfig, cache: str) -> Dataset:
    """The corpus that a config asks for; built in `cache` on first use."""
    return open_dataset(
        data.corpus,
        vocab=int(data.vocab),
        cache=Path(cache).expanduser(),
        paths=tuple(data.paths),
        field=data.field,
        limit_bytes=None if data.limit_bytes is None else int(data.limit_bytes),
        heldout_fraction=data.heldout_fraction,
        subset=data.subset,
        split=data.split,
        revision=data.revision,
    )


def plan_study(overrides: Sequence[str]) -> Plan:
    """Decide every run of a study.

    Args:
        overrides: as on the command line, e.g. `["study=demo", "seed=0,1"]`.

    Raises:
        PlanError: listing every job that cannot be decided.
    """
    jobs = compose_jobs(overrides)
    opened: dict[str, Dataset | Exception] = {}
    trunks: dict[str, Trunk] = {}
    problems: dict[str, list[str]] = {}
    for job in jobs:
        key = f"{job.config.data} {job.config.cache}"
        if key not in opened:
            try:
                opened[key] = open_corpus(job.config.data, job.config.cache)
            except (ValueError, OSError, ImportError) as error:
                opened[key] = error
        dataset = opened[key]
        if isinstance(dataset, Exception):
            problems.setdefault(str(dataset), []).append(" ".join(job.overrides))
            continue
        try:
            for trunk in decide(job.config, dataset):
                trunks[trunk.spec.id] = _join(trunks.get(trunk.spec.id, trunk), trunk)
        except ValueError as error:
            problems.setdefault(str(error), []).append(" ".join(job.overrides))
    if problems:
        raise PlanError(_report(problems, len(jobs)))
    first = jobs[0].config
    return Plan(
        name=first.name,
        question=first.question,
        folder=Path(first.runs) / first.name,
        trunks=tuple(trunks.values()),
    )


def _join(one: Trunk, other: Trunk) -> Trunk:
    """Two jobs may ask for different budgets of the same trunk: it is trained once."""
    runs = sorted({*one.runs, *other.runs}, key=lambda run: run.branch_step)
    longer = max(one, other, key=lambda trunk: trunk.last_step)
    return replace(longer, runs=tuple(runs))


def _explain(error: Exception) -> str:
    """The message that says what is wrong: Hydra wraps it, sometimes twice."""
    inner: BaseException = error
    while inner.__cause__ is not None:
        inner = inner.__cause__
    text = str(inner).strip()
    outer = str(error).strip()
    return text if text in outer or not outer else f"{outer}\n{text}"


def _report(problems: dict[str, list[str]], total: int) -> str:
    bad = sum(len(jobs) for jobs in problems.values())
    lines = [f"{bad} of {total} jobs cannot be decided; nothing was trained."]
    for message, jobs in problems.items():
        where = jobs[0] if len(jobs) == 1 else f"{jobs[0]} and {len(jobs) - 1} more"
        lines.append(f"- {where}:\n  " + message.replace("\n", "\n  "))
    return "\n".join(lines)
