"""Disks that fill up, refuse, turn read-only or rot under the real trainer."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import resource
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from scaling.launch.job import TrunkJob
from scaling.records.record import decode_record
from scaling.records.storage import files, metrics
from scaling.training import segment
from tests.chaos.kill import finish
from tests.chaos.outcome import differences, leftovers, outcome
from tests.chaos.table import Tally, scaled
from tests.chaos.trainer import REFUSED, Board, Trainer
from tests.records.test_corruption import damages

pytestmark = pytest.mark.chaos
Place = Callable[[TrunkJob, str], TrunkJob]
ROOM = 4 << 20  # bytes of the small disk: ten times what a task needs


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own. `chmod` would prove nothing to root."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "chaos", str(folder)]
    if os.geteuid() or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs the right to mount a tmpfs; RLIMIT_FSIZE below does not")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def state_of(folder: Path) -> str | None:
    """What is wrong with a folder that training has just been thrown out of."""
    for path in folder.rglob("checkpoints/step-*.pt"):
        if hashlib.sha256(path.read_bytes()).hexdigest()[:32] != path.stem.split("-")[2]:
            return f"{path.name} is damaged"
    for path in folder.rglob("record.json"):
        decode_record(path.read_bytes())
    return leftovers(folder)


def refused(trainer: Trainer, board: Board, said: str) -> str | None:
    """How an attempt ended otherwise than with this reason."""
    code = trainer.end()
    if code == REFUSED and said in board.last_words.splitlines()[-1]:
        return None
    return f"exit code {code} instead of {said!r}: {board.last_words[-300:] if code else ''}"


def kinds(folder: Path) -> set[str]:
    """Why attempts failed, as noted where the disk had room for a note."""
    return {json.loads(path.read_bytes())["kind"] for path in folder.rglob("failures/*.json")}


def check_end(task: TrunkJob, untouched: TrunkJob, board: Board) -> str | None:
    """Run the same command on a disk that is well again."""
    finish(task, board)
    return differences(outcome(task), outcome(untouched)) or leftovers(task.folder)


def untouched_ones(tasks: list[TrunkJob], place: Place, board: Board) -> list[tuple[TrunkJob, TrunkJob]]:
    """Each task with its copy that nothing happens to."""
    pairs = [(task, place(task, "untouched")) for task in tasks]
    for _, untouched in pairs:
        finish(untouched, board)
    return pairs


@pytest.mark.battery(9)
def test_a_full_disk_changes_no_bit(
    tasks: list[TrunkJob], place: Place, board: Board, small_disk: Path, tally: Tally
) -> None:
    """The disk fills up at a random step, to less than the next checkpoint takes."""
    rng = random.Random(28)
    pairs = untouched_ones(tasks[: scaled(5)], place, board)
    for number in range(scaled(25)):
        task, untouched = pairs[number % len(pairs)]
        task = replace(task, folder=small_disk / str(number))
        trainer = Trainer(task, board)
        trainer.wait_for_step(rng.randint(0, task.trunk.steps_to_train * 3 // 4))
        filler = small_disk / "filler"
        fill(filler, leave=rng.randrange(0, 40_000))
        wrong = refused(trainer, board, os.strerror(errno.ENOSPC)) or state_of(task.folder)
        noted = kinds(task.folder)
        filler.unlink()
        wrong = wrong or (f"noted as {noted}" if noted - {"enospc"} else None)
        tally.facts["noted as enospc"] += noted == {"enospc"}
        tally.case(wrong or check_end(task, untouched, board))
        subprocess.run(["rm", "-r", str(task.folder)], check=True)
    assert not tally.failures


def fill(path: Path, leave: int) -> None:
    """Take all the room there is but `leave` bytes, while somebody else writes."""

    def write_until_refused() -> None:
        with path.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    with pytest.raises(OSError, match="No space left"):
        write_until_refused()
    os.truncate(path, max(0, path.stat().st_size - leave))


@pytest.mark.battery(9)
def test_a_read_only_disk_changes_no_bit(
    tasks: list[TrunkJob], place: Place, board: Board, small_disk: Path, tally: Tally
) -> None:
    """Between two attempts: Linux makes no disk read-only while a file on it is being written."""
    rng = random.Random(30)
    pairs = untouched_ones(tasks[: scaled(5)], place, board)
    for number in range(scaled(25)):
        task, untouched = pairs[number % len(pairs)]
        task = replace(task, folder=small_disk / str(number))
        task.folder.mkdir()
        if number % 5:  # else read-only from the start
            trainer = Trainer(task, board)
            trainer.wait_for_step(rng.randint(0, task.trunk.steps_to_train))
            trainer.send(signal.SIGKILL)
            trainer.end()
        before = listing(task.folder)
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
        wrong = refused(Trainer(task, board), board, os.strerror(errno.EROFS))
        changed = None if listing(task.folder) == before else "something changed"
        subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
        tally.case(wrong or changed or check_end(task, untouched, board))
        subprocess.run(["rm", "-r", str(task.folder)], check=True)
    assert not tally.failures


def listing(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def limit_files(size: int, board: Board) -> None:
    """No file may grow beyond `size` bytes. The kernel refuses, for root too."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def watch_quota(bytes_left: int | None, board: Board) -> None:
    """The quota of a user ends after so many bytes, as `write` would say it; None counts what is written.

    What is counted is the least that a run writes: no checkpoint for the time that has passed.
    """
    board["quota"] = 0
    if bytes_left is None:
        segment.CHECKPOINT_SECONDS = float("inf")

    class Quota:
        def __getattr__(self, name: str) -> Any:
            return getattr(os, name)

        def write(self, fd: int, data: Any) -> int:
            board["quota"] += len(data)
            if bytes_left is not None and board["quota"] > bytes_left:
                raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
            return os.write(fd, data)

    files.os = metrics.os = Quota()  # type: ignore[assignment]


@pytest.mark.battery(9)
def test_a_quota_changes_no_bit(tasks: list[TrunkJob], place: Place, board: Board, tally: Tally) -> None:
    """A limit on the size of a file by the kernel, and a quota as the file system would report it.

    Both are chosen by what the run writes at least, so that they strike on a machine of any speed.
    """
    rng = random.Random(122)
    pairs = []
    for task in tasks[: scaled(5)]:
        untouched = place(task, "untouched")
        finish(untouched, board, [partial(watch_quota, None)])
        largest = min(path.stat().st_size for path in untouched.folder.rglob("step-*.pt"))
        pairs.append((task, untouched, board["quota"], largest))
    for number in range(scaled(25)):
        task, untouched, written, largest = pairs[number % len(pairs)]
        task = place(task, f"limited-{number}")
        if number % 2:
            change, code = partial(limit_files, rng.randrange(largest // 3, largest)), errno.EFBIG
        else:
            change = partial(watch_quota, rng.randrange(written // 100, written * 9 // 10))
            code = errno.EDQUOT
        wrong = refused(Trainer(task, board, [change]), board, os.strerror(code)) or state_of(task.folder)
        if code == errno.EDQUOT and kinds(task.folder) - {"quota"}:
            wrong = wrong or f"noted as {kinds(task.folder)}"
        tally.case(wrong or check_end(task, untouched, board))
    assert not tally.failures


@pytest.mark.battery(8)
def test_damage_between_attempts_changes_no_bit(
    tasks: list[TrunkJob], place: Place, board: Board, tally: Tally
) -> None:
    """A bit, a cut or a page of zeros in a checkpoint or record of a killed run: set aside, made again."""
    rng = random.Random(8)
    for number, (task, untouched) in enumerate(untouched_ones(tasks[: scaled(20)], place, board)):
        for damage in range(3):
            hurt = place(task, f"hurt-{number}-{damage}")
            trainer = Trainer(hurt, board)
            trainer.wait_for_step(rng.randint(task.trunk.steps_to_train // 4, task.trunk.steps_to_train))
            trainer.send(signal.SIGKILL)
            trainer.end()
            newest = max(hurt.folder.rglob("step-*.pt"), key=lambda path: path.stat().st_mtime_ns)
            # What will be read again: not the last checkpoint of a run that has its record.
            done = (newest.parent.parent / "record.json").exists()
            target = rng.choice([*([] if done else [newest]), *hurt.folder.rglob("record.json")])
            content = target.read_bytes()
            target.write_bytes(damages(content, rng, *(int(damage == kind) for kind in range(3)))[0])
            finish(hurt, board)
            aside = [path.name for path in hurt.folder.rglob("quarantine/*") if path.suffix != ".reason"]
            wrong = differences(outcome(hurt), outcome(untouched))
            tally.case(wrong and f"{target.name}: {wrong}")
            tally.facts["set aside"] += len(aside)
            # One that nobody had to read any more, of a segment that is done, stays where it is.
            tally.facts["never read"] += not aside
    assert not tally.failures
    assert tally.facts["set aside"] >= tally.cases // 2
