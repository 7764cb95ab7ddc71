"""A trunk to train as a launcher gets it: decided, and plain data, so that it can go to another machine."""

from __future__ import annotations

import os
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from scaling.data.corpora import open_dataset, open_heldout
from scaling.records.record import RECORD_FILE, RunRecord
from scaling.records.storage import LockedError, latest_attempt, record_failure
from scaling.study.command import CommandTrunk
from scaling.study.extensions import check_extensions, load_extensions
from scaling.study.parts import trunk_code
from scaling.study.spec import Trunk
from scaling.trainers.command import Place, train_by_command
from scaling.training import stop
from scaling.training.observer import Observer
from scaling.training.parallel import process_group
from scaling.training.provenance import ChangedError, OnChange
from scaling.training.train import failure_kind, message_of, train_trunk

TRIES = 3  # of a trunk that fails, or whose process dies, before it is listed as failed
PASSING = (OSError, RuntimeError, MemoryError)  # failures that another try may not meet again


Kind = Literal["done", "held", "refused", "stopped", "failed", "lost"]


@dataclass(frozen=True)
class Outcome:
    """How a job ended: done, held (by another process), stopped or failed. Lost: nothing was heard of it.

    Refused: it was begun by other code or in other arithmetic; another try cannot help.
    """

    kind: Kind
    why: str = ""
    again: bool = False  # whether another try may help


@dataclass(frozen=True)
class TrunkJob:
    """A trunk to train, and what that needs besides its spec."""

    trunk: Trunk
    cache: str
    folder: Path  # of the study
    study: str
    device: str
    threads: int | None
    parallel: str = "none"
    reuse: bool = False
    on_change: OnChange = "refuse"
    extensions: tuple[str, ...] = ()  # files that register what the trunk uses
    code: str = ""  # digest of the code that a fork server has loaded for it

    @property
    def id(self) -> str:
        """Of its trunk."""
        return self.trunk.spec.id

    @property
    def home(self) -> Path:
        """The folder of its trunk."""
        return self.folder / self.id

    def done(self) -> bool:
        """Whether every run of the trunk has a record."""
        return all((self.home / run.id / RECORD_FILE).exists() for run in self.trunk.runs)

    def code_now(self) -> str:
        """The digest of the code that trains the trunk, as its files are."""
        return trunk_code(self.trunk, self.parallel)["code"]

    def train(self, observer: Observer) -> list[RunRecord]:
        """Train the trunk; see `train_trunk` for what it raises, and `open_dataset`.

        Raises:
            ChangedError: where its code is not what a fork server has loaded.
            ValueError: where an extension has changed since the trunk was planned.
        """
        load_extensions(self.extensions)
        check_extensions(self.trunk.spec.extensions, f"trunk {self.id}")
        if self.code and self.code_now() != self.code:
            raise ChangedError(
                f"trunk {self.id}: its code was edited after this command had begun, and its processes have "
                "the old code loaded. Run the command again."
            )
        dataset = open_dataset(self.trunk.spec.data, self.cache)
        sets = self.trunk.heldout
        return train_trunk(
            self.trunk,
            dataset,
            self.folder,
            heldout=open_heldout(sets, dataset, self.cache) if sets else {},
            study=self.study,
            device=self.device,
            threads=self.threads,
            parallel=self.parallel,
            reuse=self.reuse,
            on_change=self.on_change,
            observer=observer,
        )

    def run(self, observer: Observer) -> Outcome:
        """Train the trunk; a failure of any kind is noted in its folder, and an outcome.

        Raises:
            Stopped: when asked to stop.
        """
        before = latest_attempt(self.home)
        try:
            self.train(observer)
        except stop.Stopped:
            raise
        except LockedError as error:
            return Outcome("held", str(error))
        except ChangedError as error:
            record_failure(self.home, latest_attempt(self.home), "changed", str(error))
            return Outcome("refused", str(error))
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # of any kind: a model may call sys.exit
            if latest_attempt(self.home) == before:  # else `train_trunk` has noted it
                record_failure(self.home, before, failure_kind(error), traceback.format_exc())
            return Outcome("failed", describe_error(error), again=isinstance(error, PASSING))
        return Outcome("done")


@dataclass(frozen=True)
class CommandJob(TrunkJob):
    """A trunk that a command of the user's trains."""

    def code_now(self) -> str:
        """Nothing: the command is a process of its own, and loads its files anew."""
        return ""

    def train(self, observer: Observer) -> list[RunRecord]:
        """Run the command; see `train_by_command` for what it raises."""
        assert isinstance(self.trunk, CommandTrunk)
        place = Place(self.device, self.threads)
        return train_by_command(
            self.trunk,
            self.folder,
            study=self.study,
            place=place,
            observer=observer,
            on_change=self.on_change,
        )


def describe_error(error: BaseException) -> str:
    """The message; with its class where the message alone says little, as that of a KeyError does."""
    said = message_of(error)
    says = isinstance(error, OSError | RuntimeError | ValueError | ModuleNotFoundError) and said
    return said if says else f"{type(error).__name__}: {said}".removesuffix(": ")


def work(job: TrunkJob, home: str) -> Outcome:
    """Train a job on the machine that an engine has chosen. A request to stop saves, as everywhere.

    Args:
        home: the folder where the study was started: relative paths mean what they meant there.
    """
    os.chdir(home)
    with stop.on_signals(), process_group() as leads:
        if not leads:
            return Outcome("done")
        try:
            return job.run(Observer())
        except stop.Stopped as error:
            return Outcome("stopped", f"{stop.asked_by()}: {error}")
