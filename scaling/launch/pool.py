"""Work in processes of this machine, each piece in a process of its own, several at a time.

A process for each: what one does to its memory or itself never reaches another.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, Protocol, TypeVar

from scaling.training import stop

Send = Callable[[Any], None]
LEFT_TO_PARENT = (signal.SIGINT, signal.SIGHUP)  # by workers; the fork server hears no request to stop


class Work(Protocol):
    """What a process does; plain data, so that it can be sent there."""

    def __call__(self, place: str, send: Send) -> Any:
        """Do it at `place`; `send` passes a message on to the parent, what is returned ends it.

        Raises:
            Stopped: when asked to stop.
        """


W = TypeVar("W", bound=Work)


@dataclass(frozen=True)
class Message:
    """What a process has sent on its way."""

    content: Any


@dataclass(frozen=True)
class Ended:
    """A process is over: what its work returned, or why it returned nothing."""

    result: Any = None
    lost: str = ""  # e.g. "its process was ended by SIGKILL"


class ProcessPool(Generic[W]):
    """Pieces of work, one at a time on each of `places`, in the order in which they were added.

    Args:
        places: names that may repeat, e.g. devices.
        preload: modules that the fork server imports once; a fork then starts in 0.1 s, not 5.
    """

    def __init__(self, places: Iterable[str], preload: Sequence[str]) -> None:
        self.free = deque(places)
        self.waiting: deque[W] = deque()
        self.context = multiprocessing.get_context("forkserver")
        # A program that was started with -m is not preloaded as `__main__`; every fork would import it anew.
        program = getattr(sys.modules["__main__"], "__spec__", None)
        named = [program.name] if program else []
        self.context.set_forkserver_preload(["__main__", *preload, *named])

    def add(self, work: W) -> None:
        """Put a piece of work behind those that wait."""
        self.waiting.append(work)

    def events(self) -> Generator[tuple[W, Message | Ended], None, None]:
        """Start the work and yield what happens, until nothing runs or waits. Closing it ends every process.

        Raises:
            Stopped: when asked to stop; every process has then saved and ended.
        """
        running: dict[Connection, _Child[W]] = {}
        asked = False
        _start_server(self.context)
        try:
            while running or (self.waiting and not asked):
                while self.waiting and self.free and not asked:
                    work, place = self.waiting.popleft(), self.free.popleft()
                    try:
                        child = _Child(self.context, work, place)
                    except (OSError, EOFError) as error:  # the fork server died; the next start makes another
                        self.free.append(place)
                        yield work, Ended(lost=f"its process could not be started: {error!r}")
                        continue
                    running[child.reader] = child
                for reader in wait(list(running), timeout=0.2):
                    child = running[reader]  # type: ignore[index]
                    event = child.receive()
                    if isinstance(event, Ended):
                        del running[child.reader]
                        self.free.append(child.place)
                    if not (asked and isinstance(event, Ended)):
                        yield child.work, event
                if stop.requested() and not asked:
                    asked = True
                    for child in running.values():
                        child.process.terminate()
        finally:
            for child in running.values():
                child.process.kill()
        if asked:
            raise stop.Stopped


def _start_server(context: Any) -> None:
    """Start the fork server, and wait until it has loaded what every process needs, a few seconds.

    In a thread that takes no Ctrl-C, as the server then takes none either: one that came while it imports
    would end it with a traceback, and every trunk with it. Here a request to stop is heard all the same.

    Raises:
        Stopped: when asked to stop.
    """

    def start() -> None:
        resource_tracker.ensure_running()  # it unblocks signals when it has begun
        signal.pthread_sigmask(signal.SIG_BLOCK, stop.SIGNALS)
        first = context.Process(target=_nothing, daemon=True)
        with contextlib.suppress(OSError, EOFError):  # whoever starts a process next will meet it
            first.start()
            first.join()

    thread = threading.Thread(target=start, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.1)
        if stop.requested():
            raise stop.Stopped


def _nothing() -> None:
    """The work of the first process."""


class _Child(Generic[W]):
    """A process that does one piece of work, and the end of the pipe that reads what it sends."""

    def __init__(self, context: Any, work: W, place: str) -> None:
        self.work, self.place = work, place
        self.result: Ended | None = None
        self.reader, writer = context.Pipe(duplex=False)
        self.process: BaseProcess = context.Process(target=_run, args=(work, place, writer), daemon=True)
        try:
            self.process.start()
        except BaseException:
            self.reader.close()
            raise
        finally:
            writer.close()

    def receive(self) -> Message | Ended:
        """The next message; `Ended` once the process is over."""
        while True:
            try:
                event = self.reader.recv()
            except (EOFError, OSError):
                return self._reap()
            if isinstance(event, Message):
                return event
            self.result = event

    def _reap(self) -> Ended:
        self.reader.close()
        self.process.join()
        code = self.process.exitcode or 0
        if code < 0:
            return Ended(lost=f"its process was ended by {signal.Signals(-code).name}")
        return self.result or Ended(lost=f"its process ended with exit status {code} and no result")


def _run(work: Work, place: str, writer: Connection) -> None:
    """What a process does. It dies with its parent, and leaves Ctrl-C and a closed terminal to it."""
    with contextlib.suppress(AttributeError):  # only Linux has it
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():  # killed while this process was born
        os._exit(1)

    def send(event: Message | Ended) -> None:
        try:
            writer.send(event)
        except OSError:  # the parent is gone: that is no failure of the work
            os._exit(1)

    with stop.on_signals(patient=True):
        for number in LEFT_TO_PARENT:
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, stop.SIGNALS)  # what a command starts may want them
        try:
            result = work(place, lambda content: send(Message(content)))
        except stop.Stopped:
            return
        send(Ended(result))
