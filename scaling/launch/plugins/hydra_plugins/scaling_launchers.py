"""Hydra's `hydra/launcher=pool | slurm | ray`: each takes the jobs of a sweep and trains their trunks.

Hydra accepts a launcher only from the namespace package `hydra_plugins`, of which this folder is a part once
`scaling.launch.multirun` has put it on the path.
"""

from __future__ import annotations

import importlib
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from scaling.launch.multirun import Job
from scaling.launch.pool import Task
from scaling.launch.remote import train_remotely
from scaling.study.compose import Composer


class Grid(BasicSweeper):
    """Hydra's own sweeper, but for its trial of every job: 0.2 s each, and the plan has made it."""

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        return


class _Together(Launcher):
    """Composes every job here, and trains what they ask for together: two may ask for one trunk."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        assert isinstance(task_function, Job)
        self.job = task_function

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        composer = Composer()
        tasks: dict[str, Task] = {}
        for overrides in job_overrides:
            found = self.job.tasks(composer.compose(overrides))
            tasks |= {trunk.spec.id: task for task in found for trunk in task.trunks}
        try:
            self.train(self.job.in_order(tasks.values()))
        except BaseException as error:
            self.job.error = error
        return []

    @abstractmethod
    def train(self, tasks: list[Task]) -> None:
        """Whatever happens to one: what is missing afterwards is read from the records."""


class Pool(_Together):
    """Processes on this machine."""

    def train(self, tasks: list[Task]) -> None:
        self.job.train_on_this_machine(tasks)


class Slurm(_Together):
    """An array of Slurm jobs."""

    def __init__(self, **settings: Any) -> None:
        given = {key: value for key, value in settings.items() if value is not None}
        self.settings = {k: OmegaConf.to_object(v) if OmegaConf.is_config(v) else v for k, v in given.items()}

    def train(self, tasks: list[Task]) -> None:
        engine = _import("slurm", "submitit").Slurm
        folder = self.job.plan.folder.absolute() / "slurm"
        settings = {"name": self.job.plan.name, **self.settings}
        train_remotely(tasks, engine(folder, settings), self.job.observer)


class Ray(_Together):
    """Tasks of a Ray cluster."""

    def __init__(self, address: str | None, cpus: float, gpus: float) -> None:
        self.settings = (address, cpus, gpus)

    def train(self, tasks: list[Task]) -> None:
        engine = _import("ray", "ray").Ray(*self.settings)
        try:
            train_remotely(tasks, engine, self.job.observer)
        finally:
            engine.close()


def _import(engine: str, package: str) -> Any:
    try:
        return importlib.import_module(f"scaling.launch.{engine}")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"hydra/launcher={engine} needs the package {package}: pip install 'scaling-harness[{engine}]'."
        ) from error
