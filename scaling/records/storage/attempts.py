"""What a trunk's folder remembers of the attempts to train it: spec, numbered attempts, failures, records."""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from scaling.records.reading import read_json, read_small
from scaling.records.record import (
    QUARANTINE,
    RECORD_FILE,
    DamagedRecord,
    RunRecord,
    decode_record,
    encode_record,
    spec_digest,
)
from scaling.records.storage.files import (
    LOCK_FILE,
    encode_json,
    make_folder,
    own_folder,
    quarantine,
    sync_folder,
    write_atomic,
    write_once,
)

SPEC_FILE = "spec.json"
ATTEMPTS = "attempts"
FAILURES = "failures"
SUPERSEDED = "superseded"  # in a trunk's folder: what it held before it was started over, numbered
FRESH = "fresh"  # of an attempt: it started with nothing to go on from
LONGEST_MESSAGE = 20_000  # characters: the end of a traceback says the most

logger = logging.getLogger(__name__)


class StaleAttempt(RuntimeError):
    """A later attempt has taken over: this one must write nothing more."""


def write_spec_once(path: str | Path, spec: Mapping[str, Any]) -> None:
    """Write what was decided; where it is written already, insist that it is the same.

    A folder is named by the hash of its spec. So a spec that does not hash to that name, where ours does, is
    damaged: it is set aside, and written again.

    Raises:
        ValueError: naming every key that differs, its value then and now.
    """
    path = Path(path)
    data = encode_json(spec)
    make_folder(path.parent)
    if write_once(path, data):
        return
    now = json.loads(data)
    try:
        then = read_json(path)
    except DamagedRecord as error:
        damage = str(error)
    else:
        if then == now:
            return
        name = path.parent.name.rpartition("-")[2]
        damage = ""
        if name == spec_digest(now) and not (isinstance(then, dict) and name == spec_digest(then)):
            damage = f"its content does not match the hash in the folder name: {'; '.join(_drift(then, now))}"
    if damage:
        quarantine(path, damage)
        write_spec_once(path, spec)
        return
    if then != now:
        raise ValueError(
            f"{path}: this folder was made with another specification; nothing was changed.\n"
            + "\n".join(_drift(then, now))
            + "\nGo back to the old values, or train into a new folder."
        )


def _drift(then: Any, now: Any, key: str = "") -> list[str]:
    if isinstance(then, dict) and isinstance(now, dict):
        lines = []
        for name in sorted({*then, *now}):
            inner = f"{key}.{name}" if key else name
            lines += _drift(then.get(name, "(absent)"), now.get(name, "(absent)"), inner)
        return lines
    return [] if then == now else [f"  {key or 'spec'}: was {then!r}, now {now!r}"]


def new_attempt(folder: str | Path, facts: Mapping[str, Any]) -> int:
    """Take the next number, 1 on. Of racing workers each gets its own; the highest may commit.

    `facts` (versions, threads, device, …) are kept beside host, pid and time.
    """
    folder = Path(folder)
    make_folder(folder)
    home = own_folder(folder, ATTEMPTS)
    now = {"host": socket.gethostname(), "pid": os.getpid(), "started": datetime.now(UTC).isoformat()}
    number = latest_attempt(folder) + 1
    while not write_once(home / f"{number:06d}.json", encode_json({"attempt": number, **now, **facts})):
        number += 1
    return number


def is_latest_attempt(folder: str | Path, attempt: int) -> bool:
    """Whether nobody has started after `attempt`. Ask before every commit: locks may lie, numbers do not."""
    return latest_attempt(folder) == attempt


def latest_attempt(folder: str | Path) -> int:
    """The highest number taken, 0 where there is none."""
    home = Path(folder) / ATTEMPTS
    names = [path.stem for path in home.glob("*.json")] if home.is_dir() else []
    return max((int(name) for name in names if name.isdigit()), default=0)


def record_failure(folder: str | Path, attempt: int, kind: str, message: str) -> bool:
    """Note why an attempt ended without a record. It may be tried again.

    Returns False, after a log line, where the disk does not take even this: the failure itself matters more.
    """
    body = {
        "attempt": attempt,
        "kind": kind,
        "message": message[-LONGEST_MESSAGE:],
        "host": socket.gethostname(),
        "time": datetime.now(UTC).isoformat(),
    }
    try:
        home = own_folder(folder, FAILURES)
        write_atomic(home / f"{attempt:06d}.json", encode_json(body))
    except OSError as error:
        logger.error(
            "%s: attempt %d failed (%s), and that could not be noted: %s", folder, attempt, kind, error
        )
        return False
    return True


def read_attempts(folder: str | Path) -> list[dict[str, Any]]:
    """What every attempt at what a trunk holds now said of itself, in their order.

    Raises:
        OSError, ValueError: for one that cannot be read.
    """
    return _since_fresh([dict(read_json(path)) for path in _attempt_files(folder)])


def history(folder: str | Path) -> list[dict[str, Any]]:
    """As `read_attempts`, without those that cannot be read, after a log line each."""
    found = []
    for path in _attempt_files(folder):
        try:
            found.append(dict(read_json(path)))
        except (OSError, ValueError, TypeError) as error:
            _say_unreadable(path, str(error))
    return _since_fresh(found)


@cache  # said once, though a trunk's attempts are read at every turn
def _say_unreadable(path: Path, problem: str) -> None:
    logger.warning("%s: unreadable, so it is not known what made it: %s", path, problem)


def _attempt_files(folder: str | Path) -> list[Path]:
    home = Path(folder) / ATTEMPTS
    return sorted(home.glob("*.json")) if home.is_dir() else []


def _since_fresh(attempts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    first = max((i for i, body in enumerate(attempts) if body.get(FRESH)), default=0)
    return attempts[first:]


def supersede(folder: str | Path) -> Path | None:
    """Set aside what a trunk holds, so that it is trained from its first step; hold its lock.

    Nothing is deleted. Attempts stay, because their numbers are never used twice. Returns the new place, None
    where there was nothing to move.
    """
    folder = Path(folder)
    stay = {LOCK_FILE, ATTEMPTS, QUARANTINE, SUPERSEDED, SPEC_FILE}
    moved = sorted(path for path in folder.iterdir() if path.name not in stay)
    if not moved:
        return None
    home = own_folder(folder, SUPERSEDED)
    number = 1 + max((int(path.name) for path in home.iterdir() if path.name.isdigit()), default=0)
    place = own_folder(home, f"{number:06d}")
    for path in moved:
        os.replace(path, place / path.name)
    sync_folder(place)
    sync_folder(folder)
    return place


def commit_record(folder: str | Path, record: RunRecord, attempt: int | None = None) -> bool:
    """Write `folder/<run_id>/record.json`, permanently.

    Args:
        folder: the trunk's.
        attempt: our number, where the record is one that another study has made; else it is the record's.

    True: on the disk, and survives power loss. False: the run has a record already, which stays as it is.

    Raises:
        StaleAttempt: a later attempt has taken over.
        ValueError: the folder is not that of the record's trunk.
    """
    folder = Path(folder)
    if folder.resolve().name != record.trunk_id:
        raise ValueError(
            f"run {record.run_id} is of trunk {record.trunk_id}, but the folder given is {folder}; "
            "give the trunk's folder."
        )
    data = encode_record(record)
    home = own_folder(folder, record.run_id)
    attempt = record.attempts if attempt is None else attempt
    if not is_latest_attempt(folder, attempt):
        raise StaleAttempt(
            f"{folder}: attempt {attempt} was overtaken by attempt {latest_attempt(folder)}; "
            f"its record of run {record.run_id} is not written."
        )
    return write_once(home / RECORD_FILE, data)


def load_record(folder: str | Path, run_id: str) -> RunRecord | None:
    """The believable record of a run of this trunk, or None. A damaged one is set aside, to be made again.

    Hold the lock: this may move a file.
    """
    path = Path(folder) / run_id / RECORD_FILE
    try:
        record = decode_record(read_small(path))
    except FileNotFoundError:
        if path.is_symlink():
            quarantine(path, "a link that leads nowhere")
        return None
    except DamagedRecord as error:
        quarantine(path, str(error))
        return None
    if record.run_id != run_id:
        quarantine(path, f"says it is run {record.run_id}")
        return None
    return record
