"""Several processes, one result: the same bits, one record per run, and none taken along by a crash."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest

from scaling.launch.devices import Device, Share, needed_bytes, share_machine
from scaling.launch.job import TrunkJob
from scaling.launch.local import train_here, train_in_processes
from scaling.launch.pool import Send
from scaling.records.record import RunRecord, read_study
from scaling.records.storage import Lock
from scaling.study.plan import plan_study
from scaling.training import stop
from scaling.training.observer import Observer


def tasks(overrides: list[str], folder: Path) -> list[TrunkJob]:
    plan = plan_study(overrides)
    config = plan.config
    return [TrunkJob(t, config.cache, folder, "tiny", "cpu", 1) for t in plan.trunks]


def losses(folder: Path) -> dict[str, float | None]:
    return {record.run_id: record.loss for record in read_study(folder).records}


class Listener(Observer):
    """Remembers what ended, and may act on the first training row of a trunk."""

    def __init__(self, act: Any = None) -> None:
        self.ended: list[str] = []
        self.act = act

    def logged(self, id: str, row: Mapping[str, Any]) -> None:
        act, self.act = self.act, None
        if act:
            act(id)

    def closed(self, id: str, summary: Mapping[str, Any]) -> None:
        self.ended.append(id)


def test_two_processes_give_the_bits_of_one(tiny_study: list[str], tmp_path: Path) -> None:
    train_here(tasks(tiny_study, tmp_path / "here"), Observer())
    listener = Listener()
    train_in_processes(tasks(tiny_study, tmp_path / "apart"), ["cpu", "cpu"], listener)
    assert len(losses(tmp_path / "here")) == 4
    assert losses(tmp_path / "apart") == losses(tmp_path / "here")
    assert set(losses(tmp_path / "here")) < set(listener.ended)  # and the trunks


@pytest.mark.chaos
def test_a_killed_process_is_started_again_and_changes_no_bit(tiny_study: list[str], tmp_path: Path) -> None:
    train_here(tasks(tiny_study, tmp_path / "here"), Observer())

    def kill(id: str) -> None:
        owner = (tmp_path / "apart" / id / "lock").read_text()
        pid = next(int(word) for word in owner.replace('"', " ").replace(",", " ").split() if word.isdigit())
        os.kill(pid, signal.SIGKILL)

    train_in_processes(tasks(tiny_study, tmp_path / "apart"), ["cpu", "cpu"], Listener(kill))
    assert losses(tmp_path / "apart") == losses(tmp_path / "here")
    (note,) = (tmp_path / "apart").glob("*/failures/*.json")
    assert "ended by SIGKILL" in note.read_text()


@pytest.mark.chaos
def test_a_killed_fork_server_is_noted_and_followed_by_another(
    tiny_study: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its children die with it. Nor does it end the study where a process is just being started."""
    train_here(tasks(tiny_study, tmp_path / "here"), Observer())

    def kill(id: str) -> None:
        os.kill(forkserver._forkserver._forkserver_pid, signal.SIGKILL)  # type: ignore[attr-defined]

    train_in_processes(tasks(tiny_study, tmp_path / "apart"), ["cpu", "cpu"], Listener(kill))
    assert losses(tmp_path / "apart") == losses(tmp_path / "here")
    notes = list((tmp_path / "apart").glob("*/failures/*.json"))
    assert notes
    assert all('"killed"' in note.read_text() for note in notes)

    start, refusals = ForkServerProcess.start, [ConnectionRefusedError("no fork server"), EOFError()]

    def refused(self: ForkServerProcess) -> None:
        if refusals:
            raise refusals.pop()
        start(self)

    monkeypatch.setattr(ForkServerProcess, "start", refused)
    train_in_processes(tasks(tiny_study, tmp_path / "refused"), ["cpu"], Observer())
    assert losses(tmp_path / "refused") == losses(tmp_path / "here")


class SlowlyBorn:
    """Work whose process takes half a second until it is there."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        (self.place / "pid").write_text(str(os.getpid()))
        time.sleep(0.5)

    def __call__(self, place: str, send: Send) -> None:
        (self.place / "at work").touch()
        time.sleep(30)


@pytest.mark.chaos
def test_a_parent_that_is_killed_at_the_birth_of_a_worker_leaves_none(tmp_path: Path) -> None:
    code = f"""
import pathlib
from scaling.launch.pool import ProcessPool
from tests.launch.test_pool import SlowlyBorn
pool = ProcessPool(["cpu"], [])
pool.add(SlowlyBorn(pathlib.Path({str(tmp_path)!r})))
list(pool.events())
"""
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2])
    pid = tmp_path / "pid"
    until(lambda: pid.exists() and bool(pid.read_text()))
    worker = int(pid.read_text())
    parent.kill()
    parent.wait()
    time.sleep(1.5)
    assert not (tmp_path / "at work").exists()
    assert not Path(f"/proc/{worker}/environ").exists() or "Z" in Path(f"/proc/{worker}/stat").read_text()


@pytest.mark.parametrize(
    "heard", [True, pytest.param(False, marks=pytest.mark.chaos)], ids=["asked", "not heard"]
)
def test_ctrl_c_while_the_fork_server_imports_is_left_to_the_parent(heard: bool, tmp_path: Path) -> None:
    """Nobody else says a word, whether the parent ends or does not care."""
    (tmp_path / "slow.py").write_text(
        f"import pathlib, time\npathlib.Path({str(tmp_path / 'begun')!r}).touch()\ntime.sleep(2)\n"
    )
    code = f"""
import contextlib, pathlib, signal
from scaling.launch.pool import Ended, ProcessPool
from scaling.training import stop
from tests.launch.test_pool import One
if not {heard}:
    signal.signal(signal.SIGINT, lambda *_: None)
with stop.on_signals() if {heard} else contextlib.nullcontext():
    pool = ProcessPool(["cpu"], ["slow"])
    pool.add(One())
    try:
        print([event for _, event in pool.events()])
    except stop.Stopped:
        print("stopped", pathlib.Path({str(tmp_path / "begun")!r}).exists())
"""
    command = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    until(lambda: (tmp_path / "begun").exists())
    os.killpg(command.pid, signal.SIGINT)
    said = command.communicate(timeout=60)[0]
    assert said == ("stopped True\n" if heard else "[Ended(result=1, lost='')]\n")


class One:
    """Work that is done at once."""

    def __call__(self, place: str, send: Send) -> int:
        return 1


def until(there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not there() and time.monotonic() < deadline:
        time.sleep(0.01)


def test_a_trunk_that_another_process_holds_is_left_to_it(
    tiny_study: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    todo = tasks(tiny_study, tmp_path)
    held = tmp_path / todo[0].id
    held.mkdir()
    with Lock(held / "lock"):
        train_in_processes(todo, ["cpu", "cpu"], Observer())
    assert "another process trains it" in caplog.text
    assert {r.trunk_id for r in read_study(tmp_path).records} == {todo[1].id}


def test_a_request_to_stop_saves_and_ends_every_process(tiny_study: list[str], tmp_path: Path) -> None:
    long = [*tiny_study, "budget.tokens=[4e5]"]
    listener = Listener(lambda _: os.kill(os.getpid(), signal.SIGTERM))
    assert threading.current_thread() is threading.main_thread()
    with stop.on_signals(), pytest.raises(stop.Stopped):
        train_in_processes(tasks(long, tmp_path), ["cpu", "cpu"], listener)
    with pytest.raises(FileNotFoundError):
        read_study(tmp_path)  # no record yet, and no plan here
    assert len(list(tmp_path.glob("*/checkpoints/*.pt"))) >= 1
    assert not list(tmp_path.glob("*/failures/*"))


def test_records_are_finished_by_a_rerun_after_a_stop(tiny_study: list[str], tmp_path: Path) -> None:
    train_here(tasks(tiny_study, tmp_path / "untouched"), Observer())
    with stop.on_signals(), pytest.raises(stop.Stopped):
        train_here(
            tasks(tiny_study, tmp_path / "stopped"), Listener(lambda _: os.kill(os.getpid(), signal.SIGTERM))
        )
    done: list[RunRecord] = []
    train_here(tasks(tiny_study, tmp_path / "stopped"), Observer())
    done.extend(read_study(tmp_path / "stopped").records)
    assert {r.run_id: r.loss for r in done} == losses(tmp_path / "untouched")


def test_small_models_on_a_cpu_share_the_cores(tiny_study: list[str]) -> None:
    free = [word for word in tiny_study if not word.startswith(("workers", "training.threads"))]
    cores = len(os.sched_getaffinity(0))
    assert share_machine(plan_study(free)) == Share(("auto",) * min(cores, 2), 1 if cores > 1 else None)
    assert share_machine(plan_study([*free, "workers=1"])) == Share(("auto",), None)
    assert share_machine(plan_study([*free, "workers=9", "training.threads=3"])) == Share(("auto",) * 2, 3)
    wide = [*free, "model.params=null", "model.depth=2", "model.width=160,192"]
    assert share_machine(plan_study(wide)) == Share(("auto",), None)


def test_models_are_placed_on_devices_by_memory(
    tiny_study: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))
    free = [word for word in tiny_study if not word.startswith("workers")]
    plan = plan_study([*free, f"seed={','.join(map(str, range(8)))}"])  # 16 trunks
    need = max(map(needed_bytes, plan.trunks))
    small, large = Device("cuda:0", 2.5 * need), Device("cuda:1", 100 * need)
    places = ("cuda:1", "cuda:0", "cuda:1", "cuda:0", "cuda:1", "cuda:1")
    assert share_machine(plan, [small, large]) == Share(places, 1)
    few = share_machine(plan_study([*free, "workers=3"]), [Device("cuda:0", 0.0)])
    assert few.places == ("cuda:0",) * 2
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    assert share_machine(plan, [small, large]).places == (
        "cuda:1",
        "cuda:0",
    )  # a core launches the kernels of one process
