"""A trainer in a process that can be killed: forked from a server that has imported PyTorch, in 0.1 CPU-s.

What the process is up to stands on a `Board`, memory that it shares with whoever kills it: how many steps it
has done, and whether it is inside a save. A page of a file outlives the process that wrote to it.
"""

from __future__ import annotations

import ctypes
import faulthandler
import mmap
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy.ma  # noqa: F401  loaded by the first batch

import scaling.launch.preload  # noqa: F401  whatever the fork server has imported costs a fork nothing
from scaling.training import segment, stop, train
from scaling.training.observer import Observer
from scaling.training.state import LocalState

STOPPED = 3  # exit code of a trainer that was asked to stop and has saved
REFUSED = 4  # of one that could not go on: its last words are in the file beside its board

# Of the trainer's code, ahead of training: a mutant, a limit, a wrong clock.
Change = Callable[["Board"], None]


class Board:
    """Counters that survive the process that keeps them; times in microseconds of its CPU."""

    NAMES = ("steps", "saving", "saves", "signalled", "steps_after", "longest_step", "cpu", "quota")

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            path.write_bytes(bytes(8 * len(self.NAMES)))
        with path.open("r+b") as file:
            self.memory = memoryview(mmap.mmap(file.fileno(), 0)).cast("q")

    def __getitem__(self, name: str) -> int:
        return self.memory[self.NAMES.index(name)]

    def __setitem__(self, name: str, value: int) -> None:
        self.memory[self.NAMES.index(name)] = value

    def wipe(self) -> None:
        for name in self.NAMES:
            self[name] = 0

    @property
    def last_words(self) -> str:
        path = self.path.with_suffix(".txt")
        return path.read_text()[-3000:] if path.exists() else ""


class Trains(Protocol):
    """A `TrunkJob`, or several."""

    def train(self, observer: Observer) -> object: ...


class Trainer:
    """One attempt at a task: a process."""

    def __init__(self, task: Trains, board: Board, changes: Sequence[Change] = ()) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["__main__", "tests.chaos.trainer"])
        board.wipe()
        self.board = board
        self.process: Any = context.Process(target=_train, args=(task, board.path, changes), daemon=True)
        self.process.start()

    def wait_for_step(self, step: int) -> None:
        """Return when that many steps are done in this attempt, or the process is."""
        while self.board["steps"] < step and self.process.exitcode is None:
            time.sleep(0.002)

    def send(self, number: signal.Signals) -> None:
        if self.process.exitcode is None:
            os.kill(self.process.pid, number)

    def cpu(self) -> int:
        """What the process has used so far [µs], in steps of 10 ms; 0 where it has ended."""
        try:
            words = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0
        return round(1e6 * (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK"))

    def end(self, seconds: float = 600.0) -> int:
        """Its exit code, minus the signal that killed it."""
        self.process.join(seconds)
        if self.process.exitcode is None:
            self.send(signal.SIGUSR1)  # says where it stands
            self.process.join(5.0)
            self.process.kill()
            self.process.join()
            raise TimeoutError(f"a trainer did not end in {seconds} s: {self.board.last_words}")
        return int(self.process.exitcode)


def _train(task: Trains, board_path: Path, changes: Sequence[Change]) -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: never outlives the battery
    signal.pthread_sigmask(signal.SIG_UNBLOCK, stop.SIGNALS)  # a pool may have started this fork server
    board = Board(board_path)
    words = board_path.with_suffix(".txt").open("w")
    faulthandler.register(signal.SIGUSR1, words)
    segment.CHECKPOINT_SECONDS = 0.03  # a save every few steps
    watch(board)
    for change in changes:
        change(board)
    code = 0
    with stop.on_signals():
        try:
            task.train(Observer())
        except stop.Stopped:
            code = STOPPED
        except Exception:
            words.write(traceback.format_exc())
            words.flush()
            code = REFUSED
    board["cpu"] = int(1e6 * time.process_time())
    sys.exit(code)


def watch(board: Board) -> None:
    """Keep the board: count steps, and say when a save begins and ends.

    Nor is the model of every attempt counted: that took as long as all else that it starts with.
    """
    save, train_step = segment.save_checkpoint, LocalState.train_step

    def saving(*arguments: Any, **named: Any) -> Path:
        board["saving"] = 1
        path = save(*arguments, **named)
        board["saving"] = 0
        board["saves"] += 1
        return path

    def stepping(self: LocalState, *arguments: Any) -> Any:
        start = time.process_time()
        result = train_step(self, *arguments)
        board["longest_step"] = max(board["longest_step"], int(1e6 * (time.process_time() - start)))
        board["steps"] += 1
        board["steps_after"] += board["signalled"]
        return result

    train.check_counts = lambda *arguments: None
    segment.save_checkpoint = saving  # type: ignore[assignment]
    LocalState.train_step = stepping  # type: ignore[method-assign]
