"""Trunks as Slurm jobs through submitit: an array, requeued at its time limit, watched in the queue.

submitit's own waiting asks `sacct`, and without accounting it waits for ever for a job that was killed. Here
a job has ended when it has left its answer, or when `squeue` lists it no more. How it ended is JSON;
submitit's pickle is never opened: whoever can write to the runs folder could have it run code.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import submitit

from scaling.launch.devices import Share
from scaling.launch.job import Kind, Outcome, TrunkJob, work
from scaling.launch.remote import train_remotely
from scaling.records.reading import read_json
from scaling.records.storage import own_folder, write_json
from scaling.study.plan import Plan
from scaling.training.observer import Observer

POLL = 5.0  # seconds between two questions to Slurm's controller, which serves everybody
GRACE = 10.0  # seconds that a shared file system may need to show the answer of a job that has left

logger = logging.getLogger(__name__)


class _Work:
    """What submitit runs. Slurm's warning before the time limit saves, and puts the job back in the queue."""

    def __call__(self, job: TrunkJob, home: str) -> None:
        if job.parallel != "none":  # one model over the job's processes, as under torchrun
            processes = submitit.helpers.TorchDistributedEnvironment()
            processes.export(overwrite=True, set_cuda_visible_devices=False)
        outcome = work(job, home)
        if outcome.kind == "stopped" and outcome.why.startswith("SIGUSR2"):
            signal.raise_signal(signal.SIGUSR2)  # submitit's handler is back: it requeues, and ends this
        here = submitit.JobEnvironment()
        if here.global_rank == 0:
            write_json(_answer(here.paths), asdict(outcome))

    def checkpoint(self, job: TrunkJob, home: str) -> submitit.helpers.DelayedSubmission:
        """What the requeued job does: the same, from the last checkpoint."""
        return submitit.helpers.DelayedSubmission(self, job, home)


def _answer(paths: Any) -> Path:
    return Path(paths.folder) / f"{paths.job_id}_outcome.json"


def _read_answer(paths: Any) -> Outcome:
    """How a job says that it ended. Whether its runs are done, only their records say."""
    try:
        found = Outcome(**read_json(_answer(paths)))
        if found.kind in get_args(Kind):
            return Outcome(found.kind, str(found.why), found.again is True)
        why = f"an unknown kind {found.kind!r}"
    except (OSError, ValueError, TypeError) as error:
        why = str(error)
    return Outcome(
        "lost", f"Slurm job {paths.job_id} left no outcome that can be read ({why}); see {paths.stderr}"
    )


class SlurmLauncher:
    """`hydra/launcher=slurm`: an array of Slurm jobs; settings are submitit's."""

    def __init__(self, **settings: Any) -> None:
        self.settings = {key: value for key, value in settings.items() if value is not None}

    def train(self, plan: Plan, jobs: Sequence[TrunkJob], share: Share, observer: Observer) -> None:
        engine = Slurm(own_folder(plan.folder.absolute(), "slurm"), {"name": plan.name, **self.settings})
        train_remotely(jobs, engine, observer)


class Slurm:
    """An engine for `train_remotely`."""

    def __init__(self, folder: Path, settings: Mapping[str, Any], cluster: str = "slurm") -> None:
        """
        Args:
            folder: for scripts, logs and answers of the jobs; on storage that all machines share.
            settings: submitit's, see conf/hydra/launcher/slurm.yaml.
            cluster: `local` is submitit's stand-in, processes on this machine.
        """
        self.executor = submitit.AutoExecutor(
            folder=folder / "%j",
            cluster=cluster,
            slurm_max_num_timeout=10**6,  # as often as it takes: it goes on each time
        )
        self.executor.update_parameters(**settings)
        self.local = cluster == "local"
        self.jobs: dict[str, submitit.Job[None]] = {}
        self.gone: dict[str, float] = {}  # since when the queue does not list it
        self.asked = 0.0

    def start(self, jobs: Sequence[TrunkJob]) -> list[str]:
        started = self.executor.map_array(_Work(), jobs, [os.getcwd()] * len(jobs))
        self.jobs |= {job.job_id: job for job in started}
        return [job.job_id for job in started]

    def ended(self) -> dict[str, Outcome]:
        now = time.monotonic()
        if now - self.asked < POLL:
            return {}
        self.asked = now
        listed = self._listed()
        over = {}
        for id, job in list(self.jobs.items()):
            if job.paths.result_pickle.exists():  # never read: a pickle runs code, and the folder is shared
                over[id] = _read_answer(job.paths)
            elif listed is None or id in listed:
                self.gone.pop(id, None)
            elif now - self.gone.setdefault(id, now) >= GRACE:
                over[id] = Outcome("lost", f"Slurm job {id} ended without an answer; see {job.paths.stderr}")
        for id in over:
            del self.jobs[id]
        return over

    def leave(self) -> str:
        return (
            f"jobs that stay in the queue and go on without this command: {len(self.jobs)}; "
            f"scancel {' '.join(sorted({id.split('_')[0] for id in self.jobs}))} ends them"
        )

    def _listed(self) -> set[str] | None:
        """Jobs that are waiting or running; None where the controller does not answer."""
        if self.local:
            return {id for id, job in self.jobs.items() if job.state == "RUNNING"}
        mine = ",".join(sorted({id.split("_")[0] for id in self.jobs}))
        command = ["squeue", "--noheader", "--array", "--format=%i", "--jobs", mine]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        if found.returncode and "Invalid job id" not in found.stderr:  # which is said of jobs long over
            logger.warning("squeue: %s", found.stderr.strip())
            return None
        return set(found.stdout.split())
