"""Hand a checked plan to Hydra's multirun: one job is one trunk with its cooldowns."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

import hydra
from omegaconf import DictConfig, OmegaConf

from scaling.data.dataset import Dataset
from scaling.launch.pool import Task, train_here, train_in_processes
from scaling.study.compose import config_folder
from scaling.study.config import Parallel, RunConfig, register
from scaling.study.cost import shared_flops
from scaling.study.decide import decide
from scaling.study.plan import Plan, open_corpus
from scaling.training import stop
from scaling.training.device import choose_arithmetic
from scaling.training.observer import Observer


def launch(plan: Plan, overrides: Sequence[str], observer: Observer) -> None:
    """Train every trunk of `plan`: Hydra composes and hands out the jobs, a pool on this machine trains them.

    A trunk that fails has noted it in its folder and does not stop the others; what is missing is read from
    the records afterwards, never from here.

    Raises:
        Stopped: when a signal asked to stop; everything is saved.
    """
    trunks = {trunk.spec.id: trunk for trunk in plan.trunks}
    tasks: dict[str, Task] = {}
    corpora: dict[str, Dataset] = {}  # opening one looks at every file of it: once, not once a job
    workers, threads = share_machine(plan)

    def job(composed: DictConfig) -> None:
        config = OmegaConf.to_object(composed)
        assert isinstance(config, RunConfig)
        key = f"{config.data} {config.cache}"
        if key not in corpora:
            corpora[key] = open_corpus(config.data, config.cache)
        for decided in decide(config, corpora[key]):
            if decided.spec.id not in trunks:
                continue  # beyond what max_flops affords
            trunk = trunks[decided.spec.id]  # with every budget that any job asks of it
            tasks[trunk.spec.id] = Task(
                trunk,
                config.data,
                config.cache,
                plan.folder,
                plan.name,
                config.training.device,
                threads,
                config.training.parallel.value,
            )

    with stop.on_signals():
        run_job(job, overrides)
        # The largest first, so that none is left running alone at the end; under a time limit the cheapest,
        # so that it ends with as many runs as it can.
        in_order = sorted(
            tasks.values(), key=lambda t: shared_flops(t.trunk), reverse=plan.config.max_hours is None
        )
        if workers > 1:
            train_in_processes(in_order, workers, observer)
        else:
            train_here(in_order, observer)


def share_machine(plan: Plan) -> tuple[int, int | None]:
    """How many trunks at a time, and the threads of each (None: the rule in `scaling.training.device`).

    What was asked; else, on a CPU, one trunk a core with one thread where models are small. Two processes of
    one thread gave 1.2 to 1.4 times the tokens of one process of two at widths 16 to 120, and a process of
    two threads comes to a standstill as soon as anything else wants a core. A GPU gets one trunk at a time.
    """
    training, asked = plan.config.training, plan.config.workers
    if training.parallel is not Parallel.none:
        return 1, training.threads
    widest = max(trunk.spec.width for trunk in plan.trunks)
    on_cpu = choose_arithmetic("float32", widest, training.device).device == "cpu"
    small = on_cpu and widest <= 128 and training.threads in (None, 1)
    workers = asked or (len(os.sched_getaffinity(0)) if small else 1)
    workers = min(workers, len(plan.trunks))
    return workers, training.threads or (1 if workers > 1 and on_cpu else None)


def run_job(job: Callable[[DictConfig], None], overrides: Sequence[str]) -> None:
    """Call `job` for every composed config of a sweep, as a Hydra application does."""
    register()
    application = hydra.main(config_path=str(config_folder()), config_name="config", version_base="1.3")(job)
    before = sys.argv
    sys.argv = ["scaling", *overrides]
    try:
        application()
    finally:
        sys.argv = before
