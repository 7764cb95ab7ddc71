"""Train by a command of the user's: start it, keep what it prints, wait, and take its result as a record.

The command is started again until it ends well, in the same folder, where it continues from what it has
saved. A record is committed once, and only from its result. A command that was killed or timed out, or whose
result is not one, leaves a note with the end of what it printed.
"""

from __future__ import annotations

import os
import platform
import re
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from scaling.records.record import ACCEPTED, PROGRAM, UNSTATED, RunRecord
from scaling.records.storage import (
    FRESH,
    Lock,
    OutputLog,
    commit_record,
    history,
    load_record,
    make_folder,
    new_attempt,
    quarantine,
    read_tail,
    record_failure,
    safe_child,
    supersede,
    sweep_temps,
    write_spec_once,
)
from scaling.study.code import changed_parts
from scaling.study.command import CommandRun, CommandSpec, CommandTrunk, render
from scaling.trainers import guard
from scaling.trainers.results import ResultError, pick, read_rows
from scaling.trainers.values import MOST, record_fields
from scaling.training import stop
from scaling.training.observer import Observer
from scaling.training.provenance import OnChange, accepted_before, refuse

HOME = "command"  # in the trunk's folder: what the command has printed, and its own folder
OUTPUT, LOG = "out", "log.txt"
GRACE = 20.0  # seconds that a command has to save when it is asked to stop
POLL = 0.05
SHOWN = 12  # last lines of a log, in a note

# Names of variables that hold secrets. A command sees those that trainer.environment names.
SECRET = re.compile(r"(^|_)(KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?|PRIVATE)(_|$|S$|FILE)|APIKEY", re.I)
# Of the harness itself, and of how it was started: a command starts its own processes.
OURS = ("SCALING_", "HYDRA_", "SUBMITIT_", "RAY_", "TORCHELASTIC_")
RANKS = frozenset({"RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"})


class CommandFailed(Exception):
    """A command that ended without a result; the message is why, after the last lines that it printed."""


class CommandKilled(CommandFailed, RuntimeError):
    """One that another try may bring to its end."""


@dataclass(frozen=True)
class Place:
    """Where a command runs."""

    device: str
    threads: int | None


def train_by_command(
    trunk: CommandTrunk,
    study_folder: str | Path,
    *,
    study: str,
    place: Place,
    observer: Observer,
    on_change: OnChange = "refuse",
) -> list[RunRecord]:
    """Run the command of a trunk whose runs have no record yet; return every record.

    Args:
        on_change: what to do where other files than now have begun it.

    Raises:
        ChangedError: where they have, and `on_change` is refuse.
        LockedError: when another process runs it.
        Stopped: when asked to stop; the command was asked to save, and has ended.
        CommandFailed: when it ended without a result; noted.
    """
    folder = make_folder(safe_child(Path(study_folder), trunk.spec.id))
    with Lock(folder / "lock"):
        sweep_temps(folder, skip=(HOME,))
        write_spec_once(folder / "spec.json", trunk.spec.identity())
        if any(load_record(folder, run.id) is None for run in trunk.runs):
            _Attempt(trunk, folder, study, place, observer, _settle(trunk, folder, on_change)).train()
        records = [load_record(folder, run.id) for run in trunk.runs]
    return [record for record in records if record is not None]


def find_script_changes(trunk: CommandTrunk, folder: Path) -> list[str]:
    """Return how the files of a command differ from those that its folder holds the work of."""
    attempts = history(folder) if _has_begun(folder) else []
    return changed_parts(attempts[-1].get("versions") or {}) if attempts else []


def _has_begun(folder: Path) -> bool:
    out = folder / HOME / OUTPUT
    return out.is_dir() and any(out.iterdir())


def _settle(trunk: CommandTrunk, folder: Path, on_change: OnChange) -> dict[str, Any]:
    """Do as `on_change` says where other files have begun this; return what the next attempt must say of it.

    Raises:
        ChangedError: where it says to refuse.
    """
    changes = find_script_changes(trunk, folder)
    if changes and on_change == "refuse":
        raise refuse({trunk.spec.id: changes})
    if changes and on_change == "restart":
        supersede(folder)
    if not _has_begun(folder):
        return {FRESH: True}
    return {ACCEPTED: changes} if changes and on_change == "accept" else {}


class _Attempt:
    """One start of the command."""

    def __init__(
        self,
        trunk: CommandTrunk,
        folder: Path,
        study: str,
        place: Place,
        observer: Observer,
        settled: dict[str, Any],
    ) -> None:
        self.trunk, self.folder, self.study, self.place = trunk, folder, study, place
        self.spec, self.observer = cast(CommandSpec, trunk.spec), observer
        home = make_folder(safe_child(folder, HOME))
        self.log = safe_child(folder, f"{HOME}/{LOG}")
        self.out = make_folder(safe_child(folder, f"{HOME}/{OUTPUT}"))
        assert home.is_dir()
        self.words = self._words()
        self.versions = {
            "python": platform.python_version(),
            PROGRAM: "command",
            **trunk.code,
        }
        facts = {"command": self.words, **asdict(place), "versions": self.versions, **settled}
        self.number = new_attempt(folder, facts)
        if accepted := accepted_before(folder):
            self.versions[ACCEPTED] = "; ".join(accepted)
        self.started, self.begin = _now(), time.monotonic()

    def train(self) -> None:
        """
        Raises:
            Stopped, CommandFailed: as `train_by_command`.
        """
        self.observer.opened(self.spec.id, "trunk", self.spec.to_dict())
        try:
            self._set_aside_result()
            self._run()
            self._take()
        except stop.Stopped:
            raise
        except CommandFailed as error:
            record_failure(self.folder, self.number, "command", str(error))
            raise
        except Exception:
            record_failure(self.folder, self.number, "exception", traceback.format_exc())
            raise
        self.observer.closed(self.spec.id, {"evaluation_seconds": 0.0})

    def _set_aside_result(self) -> None:
        """What an earlier attempt left is no result of this one; of branches, rows say what they are of."""
        path = self.out / self.spec.result
        if path.is_file() and not path.is_symlink() and not self.spec.branches:
            quarantine(path, f"written before attempt {self.number}", "not of this attempt")

    def _words(self) -> list[str]:
        places = {"study": self.study, "device": self.place.device, "threads": self.place.threads or ""}
        values = self.trunk.values(folder=str(self.out), **places)
        words = render(self.spec.command, values)
        found = self.spec.checkpoint is None or any(self.out.glob(self.spec.checkpoint))
        if self.spec.resume and found and any(self.out.iterdir()):
            words += render(self.spec.resume, values)
        return words

    def _run(self) -> None:
        """Start the command and wait for its end."""
        limit = None if self.spec.timeout is None else self.begin + self.spec.timeout
        guarded = [sys.executable, "-I", "-S", guard.__file__, str(os.getpid()), str(GRACE), *self.words]
        with OutputLog(self.log) as log:
            log.write(f"[{self.started} attempt {self.number}] {' '.join(self.words)}\n".encode())
            process = subprocess.Popen(
                guarded,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environment(os.environ, self.place, self.spec.environment),
                start_new_session=True,
            )
            reader = threading.Thread(target=_copy, args=(process, log), daemon=True)
            reader.start()
            try:
                status = self._wait(process, limit)
            finally:
                if process.poll() is None:  # a second Ctrl-C, or an error of ours: at once
                    process.send_signal(guard.AT_ONCE)
                    process.wait()
                reader.join(timeout=5)
                assert process.stdout is not None
                process.stdout.close()
        if status == guard.NOT_STARTED:
            raise self._failed(f"{self.words[0]} could not be started")
        if status:
            number = -status if status < 0 else status - 128  # negative: the guard itself was killed
            why = f"ended by {_signal_name(number)}" if number > 0 else f"exit status {status}"
            raise CommandKilled(self._say(why))

    def _wait(self, process: subprocess.Popen[bytes], limit: float | None) -> int:
        """
        Raises:
            Stopped: when asked to stop; the command has ended.
            CommandFailed: when its time is over.
        """
        while True:
            try:
                return process.wait(POLL)
            except subprocess.TimeoutExpired:
                pass
            late = limit is not None and time.monotonic() > limit
            if late or stop.requested():
                process.terminate()
                process.wait()
                if stop.requested():
                    raise stop.Stopped(f"{self.spec.id}: the command was asked to stop")
                raise self._failed(f"ran longer than trainer.timeout={self.spec.timeout:g} s")

    def _take(self) -> None:
        """Commit a record for each run, by the result."""
        path = self.out / self.spec.result
        try:
            safe_child(self.out, self.spec.result)
            rows = read_rows(path)
            pending = [cast(CommandRun, r) for r in self.trunk.runs if load_record(self.folder, r.id) is None]
            found = [(run, self._record(run, self._row(run, rows, path))) for run in pending]
        except ValueError as error:
            raise self._failed(str(error)) from error
        for run, record in found:
            make_folder(safe_child(self.folder, run.id))
            write_spec_once(self.folder / run.id / "spec.json", run.identity())
            self.observer.opened(run.id, "run", run.to_dict())
            if commit_record(self.folder, record):
                self.observer.closed(run.id, asdict(record))

    def _row(self, run: CommandRun, rows: list[dict[str, Any]], path: Path) -> dict[str, float]:
        reads = dict(self.spec.reads)
        if not self.spec.branches:
            return pick(rows[-1], reads, path)
        for row in reversed(rows):
            found = pick(row, reads, path)
            if found.get("steps", run.steps) == run.steps and _near(found.get("tokens"), run.tokens):
                return found
        raise ResultError(f"{path.name} has no row of {run.steps} steps")

    def _record(self, run: CommandRun, row: Mapping[str, float]) -> RunRecord:
        """
        Raises:
            ResultError: for a size that nobody has told, or tokens far from the budget.
        """
        planned = self.spec.size
        params = row.get("params", planned)
        if params is None:
            raise ResultError(
                "N is not known: give trainer.params, a formula, or trainer.fields.params=THEIRS"
            )
        if params < 1 or params != round(params):
            raise ResultError(f"{dict(self.spec.reads).get('params')} is {params:g}, which is not a count")
        tokens = round(row.get("tokens", run.tokens))
        if not _near(tokens, run.tokens):
            raise ResultError(f"it has seen {tokens:,} tokens of a budget of {run.tokens:,}")
        told = dict(self.spec.told)
        columns = record_fields(
            {**told, "steps": round(row.get("steps", run.steps)), "device": self.place.device}
        )
        columns |= {"threads": self.place.threads, "data": told.get("corpus") or UNSTATED}
        return RunRecord(
            run_id=run.id,
            trunk_id=self.spec.id,
            study=self.study,
            status="done",
            family=self.spec.family,
            params=round(params),
            tokens=tokens,
            flops=row["flops"] if "flops" in row else self.trunk.flops_of(params, tokens),
            flops_6nd=6.0 * params * tokens,
            loss=row["loss"],
            loss_se=row.get("loss_se"),
            bits_per_byte=row.get("bits_per_byte"),
            seed=told.get("seed"),
            seconds=time.monotonic() - self.begin,
            attempts=self.number,
            started=self.started,
            finished=_now(),
            versions=self.versions,
            spec=run.to_dict(),
            **columns,
        )

    def _failed(self, why: str) -> CommandFailed:
        return CommandFailed(self._say(why))

    def _say(self, why: str) -> str:
        return "\n".join([*read_tail(self.log, SHOWN), f"{why}; all that it printed: {self.log}"])


def environment(ours: Mapping[str, str], place: Place, allowed: tuple[str, ...] = ()) -> dict[str, str]:
    """Return the variables that a command gets: the user's, without secrets and what is ours.

    Args:
        allowed: secrets that it may see.
    """
    found = {
        name: value
        for name, value in ours.items()
        if name in allowed or not (SECRET.search(name) or name.startswith(OURS) or name in RANKS)
    }
    found["PYTHONUNBUFFERED"] = "1"  # its log is there when it is killed
    if place.device.startswith("cuda:"):
        seen = [word for word in ours.get("CUDA_VISIBLE_DEVICES", "").split(",") if word]
        index = int(place.device.partition(":")[2])
        found["CUDA_VISIBLE_DEVICES"] = seen[index] if index < len(seen) else str(index)
    if place.threads:
        found |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(place.threads))
    return found


def _copy(process: subprocess.Popen[bytes], log: OutputLog) -> None:
    assert process.stdout is not None
    while data := os.read(process.stdout.fileno(), 1 << 16):
        log.write(data)


def _near(seen: float | None, planned: int) -> bool:
    return seen is None or abs(seen / planned - 1) <= MOST


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
