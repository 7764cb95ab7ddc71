"""Hydra composes: command-line overrides → the config of every job, exactly as its multirun will."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from scaling.study.config import RunConfig, register

Overrides = tuple[str, ...]

FIELDS = tuple(field.name for field in fields(RunConfig))


class PlanError(ValueError):
    """What was asked cannot be decided. The message lists every job that is wrong, and why."""


@dataclass(frozen=True)
class Job:
    """One Hydra job as composed: its overrides and its config."""

    overrides: Overrides
    config: RunConfig


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
    composer = Composer()
    jobs: dict[Overrides, RunConfig] = {}
    problems: dict[str, list[Overrides]] = {}
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
                jobs[tuple(job)] = composer.compose(job)
            except (HydraException, OmegaConfBaseException, ValueError) as error:
                problems.setdefault(_explain(error), []).append(tuple(job))
    if problems:
        raise PlanError(report_problems(problems, [tuple(job) for job in batches[0]]))
    return [Job(overrides=key, config=config) for key, config in jobs.items()]


class Composer:
    """Composes each choice of config groups once, and each section's settings once: 30 ms a job become 0.1.

    To be used while Hydra is initialised. A section is one field of `RunConfig`, e.g. `training`. Unless
    something refers to elsewhere (`${seed}`), what a job sets in one says nothing about another.
    """

    def __init__(self) -> None:
        parser = OverridesParser.create()
        self.groups = {path.name for path in config_folder().iterdir() if path.is_dir()}
        self.parse = cache(lambda line: parser.parse_override(line))
        self.composed = cache(lambda chosen: compose("config", list(chosen)))
        self.apart = cache(lambda chosen: "$" not in str(self.composed(chosen)))
        self.section = cache(self._section)

    def compose(self, overrides: Sequence[str]) -> RunConfig:
        """The config of one job.

        Raises:
            HydraException, OmegaConfBaseException, ValueError: for what cannot be composed.
        """
        parsed = [self.parse(line) for line in overrides]
        chosen = tuple(str(o.input_line) for o in parsed if self._chooses(o))
        set_values = [o for o in parsed if not self._chooses(o)]
        try:
            if self.apart(chosen) and all(map(_plain, set_values)):
                lines: dict[str, Overrides] = dict.fromkeys(FIELDS, ())
                for o in set_values:
                    lines[_field(o)] += (str(o.input_line),)
                return RunConfig(**{name: self.section(chosen, name, said) for name, said in lines.items()})
        except (HydraException, OmegaConfBaseException, ValueError):
            pass  # said below, as Hydra says it
        config = copy.deepcopy(self.composed(chosen))
        ConfigLoaderImpl._apply_overrides_to_config(set_values, config)
        whole = OmegaConf.to_object(config)
        assert isinstance(whole, RunConfig)
        return whole

    def _section(self, chosen: Overrides, name: str, lines: Overrides) -> Any:
        """What a section holds once these lines have set their values in it."""
        config = self.composed(chosen)
        before = copy.deepcopy(config[name])
        try:
            ConfigLoaderImpl._apply_overrides_to_config([self.parse(line) for line in lines], config)
            found = config[name]
            return OmegaConf.to_object(found) if OmegaConf.is_config(found) else found
        finally:
            config[name] = before

    def _chooses(self, override: Override) -> bool:
        key = override.key_or_group
        return key in self.groups or "/" in key or key.startswith("hydra.")


def _plain(override: Override) -> bool:
    """Whether it sets one field, as `training.clip=2` does, and nothing else."""
    if override.type is not OverrideType.CHANGE or "$" in str(override.input_line):
        return False
    return _field(override) in FIELDS


def _field(override: Override) -> str:
    return override.key_or_group.partition(".")[0]


def _explain(error: Exception) -> str:
    """The message that says what is wrong: Hydra wraps it, sometimes twice."""
    inner: BaseException = error
    while inner.__cause__ is not None:
        inner = inner.__cause__
    text = str(inner).strip()
    outer = str(error).strip()
    return text if text in outer or not outer else f"{outer}\n{text}"


def report_problems(problems: dict[str, list[Overrides]], jobs: Sequence[Overrides]) -> str:
    """Every message once, with the jobs it is about, named by what tells them apart from the others."""
    shared = set.intersection(*map(set, jobs)) if len(jobs) > 1 else set()
    bad = sum(map(len, problems.values()))
    lines = [f"{bad} of {len(jobs)} jobs cannot be decided; nothing was trained."]
    for message, about in problems.items():
        names = [" ".join(o for o in job if o not in shared) or "the defaults" for job in about]
        where = "all jobs" if len(names) == len(jobs) > 1 else ", ".join(names[:3])
        more = f" and {len(names) - 3} more" if 3 < len(names) < len(jobs) else ""
        lines.append(f"- {where}{more}:\n  " + message.replace("\n", "\n  "))
    return "\n".join(lines)
