"""Trunks as Ray tasks, on an existing cluster or on one of this machine alone.

A worker that dies takes its own task along and no other's result; it is started again from the last
checkpoint.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import ray as engine
from ray.exceptions import RayError

from scaling.launch.devices import Share
from scaling.launch.job import Outcome, TrunkJob, work
from scaling.launch.remote import train_remotely
from scaling.study.plan import Plan
from scaling.training.observer import Observer

PATIENCE = 60.0  # seconds for running trunks to save when asked to stop


class RayLauncher:
    """`hydra/launcher=ray`; see `Ray` for its settings."""

    def __init__(self, address: str | None, cpus: float, gpus: float) -> None:
        self.settings = (address, cpus, gpus)

    def train(self, plan: Plan, jobs: Sequence[TrunkJob], share: Share, observer: Observer) -> None:
        engine = Ray(*self.settings)
        try:
            train_remotely(jobs, engine, observer)
        finally:
            engine.close()


class Ray:
    """An engine for `train_remotely`."""

    def __init__(self, address: str | None, cpus: float, gpus: float) -> None:
        """
        Args:
            address: of a cluster; None is `RAY_ADDRESS`, else a cluster of this machine that ends with it.
            cpus: of one trunk, as Ray counts them.
            gpus: of one trunk; a fraction lets several share a device.
        """
        self.started = not engine.is_initialized()
        if self.started:
            path = os.pathsep.join(filter(None, sys.path))
            engine.init(
                address=address,
                log_to_driver=False,
                logging_level="ERROR",
                runtime_env={"env_vars": {"PYTHONPATH": path}},
            )
        # Ray's own retries would run before the failure is noted; `train_remotely` does them.
        self.work = engine.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0)(work)
        self.jobs: dict[str, Any] = {}

    def start(self, jobs: Sequence[TrunkJob]) -> list[str]:
        references = [self.work.remote(job, os.getcwd()) for job in jobs]
        self.jobs |= {reference.hex(): reference for reference in references}
        return [reference.hex() for reference in references]

    def ended(self) -> dict[str, Outcome]:
        ready, _ = engine.wait(list(self.jobs.values()), num_returns=len(self.jobs), timeout=0)
        over = {}
        for reference in ready:
            del self.jobs[reference.hex()]
            try:
                over[reference.hex()] = engine.get(reference)
            except RayError as error:
                over[reference.hex()] = Outcome("lost", f"its Ray worker died: {error}")
        return over

    def leave(self) -> str:
        for reference in self.jobs.values():
            engine.cancel(reference)
        engine.wait(list(self.jobs.values()), num_returns=len(self.jobs), timeout=PATIENCE)
        return f"{len(self.jobs)} Ray tasks were asked to save and end"

    def close(self) -> None:
        if self.started:
            engine.shutdown()
