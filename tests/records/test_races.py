"""Several writers: real processes, every interleaving of two, and locks whose owner was killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from scaling.records.storage import Lock, LockedError, files, new_attempt, write_once
from tests.records.disk import Disk

REPOSITORY = Path(__file__).parents[2]


def test_of_many_processes_one_wins(tmp_path: Path) -> None:
    (tmp_path / "once").mkdir()
    racers, rounds = 4, 200
    start = time.time() + 1.0
    command = [sys.executable, "-m", "tests.records.racer", str(tmp_path)]
    processes = [
        subprocess.Popen(
            [*command, str(me), str(rounds), str(start)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
        )
        for me in range(racers)
    ]
    results = [json.loads(process.communicate(timeout=60)[0]) for process in processes]
    assert sorted(n for result in results for n in result["won"]) == list(range(rounds))
    for me, result in enumerate(results):
        assert all((tmp_path / "once" / str(n)).read_text() == str(me) for n in result["won"])
        for number in result["numbers"]:
            body = json.loads((tmp_path / "trunk" / "attempts" / f"{number:06d}.json").read_bytes())
            assert (body["racer"], body["attempt"]) == (str(me), number)
        assert result["held"] == rounds // 10
    numbers = sorted(n for result in results for n in result["numbers"])
    assert numbers == list(range(1, racers * (rounds // 4) + 1))


def interleaved(first: Callable[[Path], Any], second: Callable[[Path], Any], tmp: Path) -> Iterator[Any]:
    """(folder, result of first, result of second): `second` runs whole ahead of each operation of `first`."""
    for at in range(100):
        folder = tmp / str(at)
        folder.mkdir()
        disk, results = Disk(), []
        disk.before = partial(
            _cut_in, at, disk, lambda folder=folder, got=results: got.append(second(folder))
        )
        with disk.installed():
            result = first(folder)
        if not results:  # `first` has no such operation any more
            return
        yield folder, result, results[0]


def _cut_in(at: int, disk: Disk, act: Callable[[], None], number: int) -> None:
    if number == at:
        disk.before = None  # the second is not cut into itself
        act()


def overwritten(tmp: Path) -> list[str]:
    """Where two writers of one record were not told the truth."""
    wrong = []
    for folder, first, second in interleaved(
        lambda folder: write_once(folder / "record.json", b"first"),
        lambda folder: write_once(folder / "record.json", b"second"),
        tmp,
    ):
        found = (folder / "record.json").read_bytes()
        if (first, second, found) not in [(True, False, b"first"), (False, True, b"second")]:
            wrong.append(f"first {first}, second {second}, on disk {found!r}")
    assert int(folder.name) >= 4, "too few operations to be the real thing"
    return wrong


def test_no_interleaving_overwrites_a_record(tmp_path: Path) -> None:
    assert overwritten(tmp_path) == []


def test_looking_before_replacing_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutant: `if not exists: replace`, which overwrote 139 of 2,000 acknowledged records."""

    def look_then_replace(self: Any, path: Path) -> bool:
        if path.exists():
            return False
        self.replace(path)
        return True

    monkeypatch.setattr(files._Staged, "link", look_then_replace)
    assert overwritten(tmp_path) != []


def test_interleaved_attempts_get_two_numbers(tmp_path: Path) -> None:
    def attempt(folder: Path) -> int:
        return new_attempt(folder / "trunk", {})

    pairs = [{first, second} for _, first, second in interleaved(attempt, attempt, tmp_path)]
    assert len(pairs) > 8
    assert all(pair == {1, 2} for pair in pairs)


HOLD = """
import os, sys, time
from scaling.records.storage import Lock
with Lock(sys.argv[1]):
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    print(child, flush=True)
    time.sleep(60)
"""


def test_a_killed_owner_frees_the_lock_though_its_child_lives(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    owner = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    child = int(owner.stdout.readline())
    try:
        with pytest.raises(
            LockedError, match=rf"held by pid {owner.pid} on .* since .*the lock frees itself"
        ):
            Lock(path).__enter__()
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        with Lock(path):
            os.kill(child, 0)  # still there
    finally:
        os.kill(child, signal.SIGKILL)
        owner.stdout.close()
        if owner.poll() is None:
            owner.kill()
            owner.wait()


def test_a_forked_child_does_not_hold_what_its_parent_holds(tmp_path: Path) -> None:
    code = """
import os, sys
from scaling.records.storage import Lock, LockedError
with Lock(sys.argv[1]):
    child = os.fork()
    if child == 0:
        try:
            Lock(sys.argv[1]).__enter__()
        except LockedError as error:
            os._exit(0 if f"held by pid {os.getppid()}" in str(error) else 1)
        os._exit(2)
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "lock")], cwd=REPOSITORY, check=False)
    assert done.returncode == 0


def test_an_owner_that_has_not_signed_yet_is_reported_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = (
        "import fcntl, os, sys; fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT);"
        "fcntl.lockf(fd, fcntl.LOCK_EX); print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        owner.stdout.readline()
        with pytest.raises(LockedError, match="a process that has not yet said which"):
            Lock(path).__enter__()
