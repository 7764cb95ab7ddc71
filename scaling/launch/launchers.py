"""Hand a plan's decided trunks to the launcher that was asked for: ours, a stranger's, or one of Hydra's."""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from hydra.core.hydra_config import HydraConfig
from hydra.plugins.launcher import Launcher as HydraPlugin
from omegaconf import DictConfig

from scaling.launch.devices import Share, begun, threads_of
from scaling.launch.job import CommandJob, TrunkJob
from scaling.launch.local import train_here
from scaling.study.command import CommandTrunk
from scaling.study.compose import launch_by_hydra
from scaling.study.plan import Plan
from scaling.study.spec import Trunk
from scaling.training import stop
from scaling.training.observer import Observer
from scaling.training.provenance import OnChange

EXTRAS = {"submitit": "slurm", "ray": "ray"}  # package → the extra that installs it


class Launcher(Protocol):
    """What `_target_` of a file in conf/hydra/launcher names; the other keys there are its arguments."""

    def train(self, plan: Plan, jobs: Sequence[TrunkJob], share: Share, observer: Observer) -> None:
        """Train every job. Whatever happens to one: what is missing is read from the records afterwards.

        Raises:
            Stopped: when asked to stop; everything is saved.
        """


def launch(plan: Plan, share: Share, observer: Observer, on_change: OnChange = "refuse") -> None:
    """Train every trunk of `plan`. One that fails has noted it in its folder and does not stop the others.

    Args:
        share: how they share this machine.
        on_change: what to do with trunks that were begun by other code or in other arithmetic.

    Raises:
        Stopped: when a signal asked to stop; everything is saved.
    """
    config, launcher = plan.config, make_launcher(plan.composition.launcher)
    # The largest first, so that none is left running alone at the end; under a time limit the cheapest, so
    # that it ends with as many runs as it can.
    ordered = sorted(plan.trunks, key=_size, reverse=config.max_hours is None)
    jobs = [
        (CommandJob if isinstance(trunk, CommandTrunk) else TrunkJob)(
            trunk,
            config.cache,
            plan.folder,
            plan.name,
            config.training.device,
            share.threads if isinstance(trunk, CommandTrunk) else threads_of(plan, share, begun(plan, trunk)),
            config.training.parallel.value,
            config.reuse,
            on_change,
            plan.composition.extensions,
        )
        for trunk in ordered
    ]
    with stop.on_signals():
        launcher.train(plan, jobs, share, observer)


def _size(trunk: Trunk) -> float:
    """What a trunk takes [FLOP]; where its N is not known yet, by its tokens."""
    return sum(run.tokens for run in trunk.runs) if math.isnan(trunk.flops) else trunk.flops


def make_launcher(settings: dict[str, Any]) -> Launcher:
    """Make the launcher of a composed `hydra.launcher`.

    Raises:
        ModuleNotFoundError: naming the extra that installs what it needs.
        ValueError: for a setting that it does not have.
    """
    module, _, name = str(settings["_target_"]).rpartition(".")
    try:
        kind = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        extra = EXTRAS.get(str(error.name))
        if extra is None:
            raise
        raise ModuleNotFoundError(
            f"hydra/launcher={extra} needs the package {error.name}: pip install 'scaling-harness[{extra}]'."
        ) from error
    if issubclass(kind, HydraPlugin):
        return HydraLauncher()
    try:
        launcher: Launcher = kind(**{key: value for key, value in settings.items() if key != "_target_"})
    except TypeError as error:
        raise ValueError(f"hydra.launcher has a setting that {name} does not take: {error}.") from error
    return launcher


class HydraLauncher:
    """Any launcher of Hydra's: it composes each job's config; the job's name says which trunk to train."""

    def train(self, plan: Plan, jobs: Sequence[TrunkJob], share: Share, observer: Observer) -> None:
        named = [(*plan.asked[job.id], f"hydra.job.name={job.id}") for job in jobs]
        launch_by_hydra(plan.composition, named, _TrainNamed({job.id: job for job in jobs}, observer))


@dataclass
class _TrainNamed:
    """What Hydra calls in each of its jobs, in this process or, pickled, in another one."""

    jobs: dict[str, TrunkJob]
    observer: Observer

    def __call__(self, config: DictConfig) -> None:
        train_here([self.jobs[HydraConfig.get().job.name]], self.observer)

    def __getstate__(self) -> dict[str, Any]:
        return {"jobs": self.jobs, "observer": Observer()}
