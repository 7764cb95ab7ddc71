"""Hand a checked plan to Hydra's multirun: one job is one trunk with its cooldowns."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import hydra
from hydra.core.plugins import Plugins
from omegaconf import DictConfig, OmegaConf

from scaling.data.dataset import Dataset
from scaling.launch.devices import place, share_machine
from scaling.launch.pool import Task, stack, train_here, train_in_processes
from scaling.study.compose import config_folder
from scaling.study.config import RunConfig, register
from scaling.study.decide import decide
from scaling.study.plan import Plan, open_corpus
from scaling.training import stop
from scaling.training.observer import Observer

PLUGINS = Path(__file__).with_name("plugins")  # what Hydra finds as `hydra_plugins`


def launch(plan: Plan, overrides: Sequence[str], observer: Observer) -> None:
    """Train every trunk of `plan`: Hydra composes the jobs, and the launcher that was asked for trains them.

    A trunk that fails has noted it in its folder and does not stop the others; what is missing is read from
    the records afterwards, never from here.

    Raises:
        Stopped: when a signal asked to stop; everything is saved.
    """
    job = Job(plan, observer)
    with stop.on_signals():
        run_job(job, overrides)
    if job.error is not None:
        raise job.error


class Job:
    """What Hydra calls with every composed config of a sweep.

    The launchers of this project ask it for tasks only, and train those together. Any other launcher of
    Hydra's calls it, in this process or, pickled, in another one, and it trains what it is given there.
    """

    def __init__(self, plan: Plan, observer: Observer) -> None:
        self.plan, self.observer = plan, observer
        self.trunks = {trunk.spec.id: trunk for trunk in plan.trunks}
        self.corpora: dict[str, Dataset] = {}  # opening one looks at every file of it: once, not once a job
        self.error: BaseException | None = None  # of a launcher, past Hydra, which would exit on it

    def __call__(self, composed: DictConfig) -> None:
        config = OmegaConf.to_object(composed)
        assert isinstance(config, RunConfig)
        train_here(self.tasks(config), self.observer)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "observer": Observer(), "corpora": {}}

    def tasks(self, config: RunConfig) -> list[Task]:
        """The trunks of one job, each with every budget that any job asks of it."""
        key = f"{config.data} {config.cache}"
        if key not in self.corpora:
            self.corpora[key] = open_corpus(config.data, config.cache)
        return [
            Task(
                (self.trunks[decided.spec.id],),
                config.data,
                config.cache,
                self.plan.folder,
                self.plan.name,
                config.training.device,
                self.threads,
                config.training.parallel.value,
                config.share,
            )
            for decided in decide(config, self.corpora[key])
            if decided.spec.id in self.trunks  # else beyond what max_flops affords
        ]

    @cached_property
    def threads(self) -> int | None:
        """Of each trunk."""
        return share_machine(self.plan)[1]

    def in_order(self, tasks: Iterable[Task]) -> list[Task]:
        """The largest first, so that none is left running alone at the end; under a time limit the cheapest,
        so that it ends with as many runs as it can.
        """
        dear_first = self.plan.config.max_hours is None
        stacks = stack(list(tasks), self.plan.config.stack)
        return sorted(stacks, key=lambda task: task.flops, reverse=dear_first)

    def train_on_this_machine(self, tasks: list[Task]) -> None:
        """As many at a time, and where, as `scaling.launch.devices` says."""
        places = place(self.plan)
        if len(places) > 1:
            train_in_processes(tasks, places, self.observer)
        else:
            train_here(tasks, self.observer)


def run_job(job: Callable[[DictConfig], None], overrides: Sequence[str]) -> None:
    """Give `job` to Hydra's multirun, as a Hydra application does."""
    register()
    register_launchers()
    application = hydra.main(config_path=str(config_folder()), config_name="config", version_base="1.3")(job)
    before = sys.argv
    sys.argv = ["scaling", *overrides]
    try:
        application()
    finally:
        sys.argv = before


def register_launchers() -> None:
    """Make Hydra know ours, also where it has looked for plugins already."""
    if str(PLUGINS) not in sys.path:
        sys.path.append(str(PLUGINS))
    plugins = Plugins.instance()  # which looks once a process
    ours = importlib.import_module("hydra_plugins.scaling_launchers")
    for plugin in (ours.Pool, ours.Slurm, ours.Ray, ours.Grid):
        plugins.register(plugin)
