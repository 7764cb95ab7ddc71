"""Hydra composes: command-line overrides → the config of every job.

The only file that touches Hydra's private API: `PRIVATE` lists what of it, and a test fails by name when a
release of Hydra moves any of it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from scaling.study.config import RunConfig, register

PRIVATE = (
    "hydra._internal.callbacks:Callbacks",
    "hydra._internal.config_loader_impl:ConfigLoaderImpl._apply_overrides_to_config",
    "hydra._internal.core_plugins.basic_sweeper:BasicSweeper.split_arguments",
    "hydra._internal.core_plugins.bash_completion:BashCompletion._query",
    "hydra.core.plugins:Plugins.instantiate_launcher",
)
GRID = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"  # every combination of the comma lists

Overrides = tuple[str, ...]

FIELDS = tuple(field.name for field in fields(RunConfig))


class PlanError(ValueError):
    """What was asked cannot be decided. The message lists every job that is wrong, and why."""


@dataclass(frozen=True)
class Job:
    """One Hydra job as composed: its overrides and its config."""

    overrides: Overrides
    config: RunConfig


@dataclass(frozen=True)
class Composition:
    """Every job of a sweep, and the config that they share, Hydra's own part of it included."""

    jobs: tuple[Job, ...]
    shared: DictConfig

    @property
    def launcher(self) -> dict[str, Any]:
        """`hydra.launcher`: its class under `_target_`, and its settings."""
        found: dict[str, Any] = OmegaConf.to_container(self.shared.hydra.launcher, resolve=True)  # type: ignore[assignment]
        return found

    def to_yaml(self) -> str:
        """The shared config as Hydra writes it into `multirun.yaml`."""
        return OmegaConf.to_yaml(self.shared)


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


@contextmanager
def _hydra() -> Iterator[None]:
    """Have Hydra initialised with our schema and `conf/` while inside."""
    register()
    with initialize_config_dir(str(config_folder()), version_base="1.3", job_name="scaling"):
        yield


def compose_study(overrides: Sequence[str]) -> Composition:
    """Compose every job of the sweep that these overrides and the study they name ask for.

    Raises:
        PlanError: for unknown keys, wrong types, values out of range; all jobs are tried first.
    """
    with _hydra():
        try:
            shared, batch = _split(overrides)
        except (HydraException, OmegaConfBaseException) as error:
            raise PlanError(_explain(error)) from error
        composer = Composer()
        jobs: dict[Overrides, RunConfig] = {}
        problems: dict[str, list[Overrides]] = {}
        for job in batch:
            try:
                jobs[job] = composer.compose(job)
            except (HydraException, OmegaConfBaseException, ValueError) as error:
                problems.setdefault(_explain(error), []).append(job)
    if problems:
        raise PlanError(report_problems(problems, batch))
    return Composition(tuple(Job(job, config) for job, config in jobs.items()), shared)


def _split(overrides: Sequence[str]) -> tuple[DictConfig, list[Overrides]]:
    """What all jobs of a sweep share, and the overrides of each job.

    Raises:
        PlanError: for a sweeper that is not the grid.
        HydraException, OmegaConfBaseException: for what Hydra cannot compose.
    """
    parser = OverridesParser.create()
    parsed = parser.parse_overrides(list(overrides))
    fixed = [str(o.input_line) for o in parsed if not o.is_sweep_override()]
    shared = compose("config", fixed, return_hydra_config=True)
    if shared.hydra.sweeper._target_ != GRID:
        raise PlanError(
            f"hydra/sweeper: only Hydra's basic sweeper is used here; got {shared.hydra.sweeper._target_}. "
            "Leave hydra/sweeper out, and sweep by comma lists."
        )
    swept = [f"{key}={value}" for key, value in (shared.hydra.sweeper.params or {}).items()]
    (batch,) = BasicSweeper.split_arguments(parser.parse_overrides(swept + list(overrides)), None)
    return shared, [tuple(job) for job in batch]


def launch_by_hydra(
    shared: DictConfig, jobs: Sequence[Overrides], task: Callable[[DictConfig], None]
) -> None:
    """Have the launcher of `shared.hydra.launcher`, Hydra's own or a plugin's, call `task` for each job.

    Raises:
        Exception: what the first job that failed has raised.
    """
    with _hydra():
        context = HydraContext(GlobalHydra.instance().config_loader(), Callbacks(shared))
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=context, task_function=task, config=shared
        )
        for result in launcher.launch([list(job) for job in jobs], initial_job_idx=0):
            _ = result.return_value  # raises what the job has raised


def complete(line: str) -> list[str]:
    """What Hydra knows of the configuration that may follow `line`, the overrides so far."""
    from hydra._internal.core_plugins.bash_completion import BashCompletion

    with _hydra():
        plugin = BashCompletion(GlobalHydra.instance().config_loader())
        return sorted(plugin._query(config_name="config", line=line))


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
