"""What goes on around training: memory, parents, clocks, the mirror. None of it changes a bit."""

from __future__ import annotations

import datetime
import json
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from scaling.launch.job import TRIES, TrunkJob
from scaling.launch.local import train_in_processes
from scaling.records.record import RunRecord, read_study
from scaling.records.storage import Lock, attempts, lock
from scaling.study.plan import plan_study
from scaling.training import train
from scaling.training.observer import Observer
from tests.chaos.kill import finish
from tests.chaos.outcome import differences, leftovers, outcome
from tests.chaos.table import Tally, scaled
from tests.chaos.trainer import REFUSED, Board, Trainer

pytestmark = pytest.mark.chaos
Place = Callable[[TrunkJob, str], TrunkJob]
REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Starved(TrunkJob):
    """A task whose process may have `spare` bytes of memory more than it has as it begins."""

    spare: int = 0

    def train(self, observer: Observer) -> list[RunRecord]:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + self.spare
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        return super().train(observer)


@pytest.mark.battery(14)
def test_running_out_of_memory_takes_no_other_run_along(
    tasks: list[TrunkJob], place: Place, board: Board, tmp_path: Path, tally: Tally
) -> None:
    """One trunk of 40 MB in a pool with small ones; then the same command without the limit."""
    for number in range(scaled(5)):
        large, well = place(tasks[0], f"pool-{number}"), place(tasks[1 + number], f"pool-{number}")
        large = as_large(large, tmp_path)
        starved = Starved(**vars(large), spare=(1 + number) * 6 << 20)
        train_in_processes([starved, well], ["cpu", "cpu"], Observer())
        notes = [json.loads(p.read_bytes()) for p in large.folder.rglob("failures/*.json")]
        trunk = large.home
        untouched = place(tasks[1 + number], f"untouched-{number}")
        finish(untouched, board)
        wrong = differences(outcome(well), outcome(untouched))
        if not 1 <= len(notes) <= TRIES or list(trunk.rglob("record.json")):
            wrong = wrong or f"{len(notes)} notes for {TRIES} tries"
        for note in notes:
            tally.facts[f"noted as {note['kind']}"] += 1
            if note["kind"] not in ("oom", "killed"):
                wrong = wrong or f"noted as {note['kind']}: {note['message'][-300:]}"
        finish(large, board)
        if number == 0:
            finish(replace(large, folder=tmp_path / "large"), board)
        wrong = wrong or differences(outcome(large), outcome(replace(large, folder=tmp_path / "large")))
        tally.case(wrong or leftovers(large.folder))
    assert not tally.failures


def as_large(task: TrunkJob, tmp: Path) -> TrunkJob:
    """The same task with a model of two million parameters and five steps."""
    data = task.trunk.spec.data
    plan = plan_study(
        [
            *("name=large", "model=decoder", "model.params=2e6", "budget.tokens=640", f"cache={task.cache}"),
            *("data=text", f"data.paths={list(data.paths)}", "data.vocab=256", "data.context=32"),
            *("data.heldout_fraction=0.2", "training.sequences=4", "training.warmup_steps=2"),
            *("training.learning_rate=0.003", "training.threads=1", "training.precision=float32"),
            *("training.evaluation_tokens=1024", "training.curve_evaluations=0"),
        ]
    )
    return replace(task, trunk=plan.trunks[0])


def shift_clock(seconds: float, board: Board) -> None:
    """Every module that asks for the date is told another one."""

    class Shifted(datetime.datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.datetime.fromtimestamp(time.time(), tz) + datetime.timedelta(seconds=seconds)

    for module in (lock, attempts, train):
        module.datetime = Shifted  # type: ignore[attr-defined]


@pytest.mark.battery(16)
def test_a_wrong_clock_changes_no_bit(
    tasks: list[TrunkJob], place: Place, board: Board, tally: Tally
) -> None:
    """A day ahead or behind in every attempt, and files dated at random: order is by step."""
    rng, day = random.Random(16), 86_400.0
    for number, task in enumerate(tasks[: scaled(10)]):
        untouched, shifted = place(task, f"untouched-{number}"), place(task, f"shifted-{number}")
        finish(untouched, board)
        for _ in range(3):
            trainer = Trainer(shifted, board, [partial(shift_clock, rng.choice([-day, 0.0, day]))])
            trainer.wait_for_step(rng.randint(1, task.trunk.steps_to_train // 2))
            trainer.send(signal.SIGKILL)
            trainer.end()
            for path in shifted.folder.rglob("*"):
                stamp = time.time() + rng.uniform(-day, day)
                os.utime(path, (stamp, stamp))
        finish(shifted, board, [partial(shift_clock, -day)])
        wrong = differences(outcome(shifted), outcome(untouched)) or leftovers(shifted.folder)
        tally.case(wrong)
    assert not tally.failures


@pytest.mark.battery(16)
@pytest.mark.parametrize("days", [-400, -1, 1, 400])
def test_a_lock_has_no_age(days: int, tasks: list[TrunkJob], place: Place, board: Board) -> None:
    """A live owner keeps its lock whatever date stands in it."""
    task = place(tasks[0], "held")
    path = task.folder / task.id / "lock"
    with Lock(path):
        stamp = time.time() + 86_400 * days
        os.utime(path, (stamp, stamp))
        assert Trainer(task, board, [partial(shift_clock, -86_400.0 * days)]).end() == REFUSED
    assert "LockedError" in board.last_words
    finish(task, board)


# The command itself, from outside.


@dataclass
class Command:
    """`scaling run` in a process of its own; its descendants carry a mark in their environment."""

    mark: str
    process: subprocess.Popen[bytes]

    def descendants(self) -> list[int]:
        """Every process that it has started, directly or not, and that is still there."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                marked = f"CHAOS_MARK={self.mark}\0".encode() in (folder / "environ").read_bytes()
                state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if marked and state not in "ZX" and int(folder.name) != self.process.pid:
                found.append(int(folder.name))
        return found

    def named(self, part: str) -> list[int]:
        """Descendants whose command line has `part`."""
        found = []
        for pid in self.descendants():
            try:
                if part.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(pid)
            except OSError:
                continue
        return found


def start(tasks: list[TrunkJob], folder: Path, *words: str, **environment: str) -> Command:
    """A study of two trunks, each long enough to be interfered with."""
    mark = f"{os.getpid()}-{folder.name}"
    data = tasks[0].trunk.spec.data
    overrides = [
        *("name=outside", "model=decoder", "model.params=6e3,8e3", "budget.tokens=[3e4]"),
        *(
            "data=text",
            f"data.paths={list(data.paths)}",
            "data.vocab=256",
            "data.context=32",
        ),
        *("data.heldout_fraction=0.2", f"cache={tasks[0].cache}", f"runs={folder}"),
        *("training.sequences=4", "training.warmup_steps=4", "training.learning_rate=0.005"),
        *("training.threads=1", "training.precision=float32", "training.evaluation_tokens=2048"),
        *("training.curve_evaluations=3", "training.curve_tokens=1024"),
    ]
    home = folder / "home"
    home.mkdir(parents=True)
    kept = {key: value for key, value in os.environ.items() if not key.startswith("WANDB_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "experiments.cli", "run", *overrides, *words],
        cwd=REPOSITORY,
        env={**kept, "HOME": str(home), "CHAOS_MARK": mark, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    return Command(mark, process)


def wait_until(condition: Callable[[], Any], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.battery(15)
def test_a_killed_command_leaves_no_process_behind(
    tasks: list[TrunkJob], tmp_path: Path, tally: Tally
) -> None:
    """Two workers, their fork server and W&B's core: none a second after SIGKILL."""
    for number in range(scaled(5)):
        folder = tmp_path / f"killed-{number}"
        command = start(tasks, folder, "workers=2", "tracking=offline")
        logs = lambda: list(folder.glob("outside/*/metrics.jsonl"))  # noqa: E731, B023
        started = wait_until(lambda: len(logs()) == 2 and command.named("wandb-core"), 120)  # noqa: B023
        tally.facts["processes"] += len(command.descendants())
        command.process.kill()
        command.process.communicate()
        gone = wait_until(lambda: not command.descendants(), 1.0)  # noqa: B023
        tally.case(
            None
            if started and gone
            else f"started: {started}; left: {[words(pid) for pid in command.descendants()]}"
        )
        for pid in command.descendants():
            os.kill(pid, signal.SIGKILL)
    assert not tally.failures


def words(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()[:200]
    except OSError:
        return "gone meanwhile"


@pytest.fixture
def silent_server() -> Iterator[str]:
    """Takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(100)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def losses(folder: Path) -> dict[str, str]:
    """Loss of each run to the bit, and its log."""
    found = {}
    for record in read_study(folder / "outside").records:
        log = folder / "outside" / record.trunk_id / record.run_id / "metrics.jsonl"
        found[record.run_id] = f"{float(record.loss or 0).hex()} {log.read_bytes().hex()}"
    return found


def kill_core(command: Command) -> bool:
    found = wait_until(lambda: command.named("wandb-core"), 60)
    for pid in command.named("wandb-core"):
        os.kill(pid, signal.SIGKILL)
    return found


def fill_core(command: Command) -> bool:
    """It can write no file of more than 4 KB."""
    found = wait_until(lambda: command.named("wandb-core"), 60)
    for pid in command.named("wandb-core"):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, 4096))
    return found


@pytest.mark.battery(12)
def test_a_mirror_in_trouble_changes_no_bit(
    tasks: list[TrunkJob], tmp_path: Path, silent_server: str, tally: Tally
) -> None:
    """The whole command: exit status 0 and the same bits as without a mirror."""
    untouched = start(tasks, tmp_path / "off", "workers=1", "tracking=off")
    untouched.process.communicate(timeout=300)
    key = {"WANDB_BASE_URL": silent_server, "WANDB_API_KEY": "a" * 40}
    troubles: dict[str, tuple[str, dict[str, str], Callable[[Command], bool]]] = {
        "server silent": ("online", key, lambda command: True),
        "core killed": ("offline", {}, kill_core),
        "core's disk full": ("offline", {}, fill_core),
    }
    for name, (mode, environment, make) in troubles.items():
        folder = tmp_path / name.replace(" ", "-").replace("'", "")
        command = start(tasks, folder, "workers=1", f"tracking={mode}", **environment)
        happened = make(command)
        said = command.process.communicate(timeout=300)[0].decode()
        code = command.process.returncode
        wrong = None if code == 0 and happened else f"exit status {code}, {happened}: {said[-500:]}"
        if losses(folder) != losses(tmp_path / "off"):
            wrong = f"another result: {said[-500:]}"
        tally.case(wrong and f"{name}: {wrong}")
    assert len(losses(tmp_path / "off")) == 2
    assert not tally.failures
