"""A polite request to stop: training saves at the next step and raises. Rerunning continues from there."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# Ctrl-C, schedulers, a terminal that is closed, Slurm's warning.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2)

_asked = threading.Event()
_signal: signal.Signals | None = None  # that asked


class Stopped(Exception):
    """Training was asked to stop, and has saved."""


def requested() -> bool:
    """Whether somebody asked. Read once per step."""
    return _asked.is_set()


def asked_by() -> str:
    """The name of the signal that asked, or nothing."""
    return _signal.name if _signal else ""


@contextmanager
def after(seconds: float | None) -> Iterator[None]:
    """While inside, and when it has lasted so long, ask."""
    timer = threading.Timer(seconds or 0, _asked.set)
    timer.daemon = True
    if seconds is not None:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()
        _asked.clear()


@contextmanager
def on_signals(*, patient: bool = False) -> Iterator[None]:
    """While inside, the first signal asks and the second interrupts at once.

    Args:
        patient: the second only asks, too: a worker hears of a signal to its process group twice.
    """

    def ask(number: int, frame: FrameType | None) -> None:
        global _signal
        if _asked.is_set() and not patient:
            raise KeyboardInterrupt
        _signal = signal.Signals(number)
        _asked.set()

    # nohup has a hang-up ignored, and that stays.
    heard = [s for s in SIGNALS if s != signal.SIGHUP or signal.getsignal(s) != signal.SIG_IGN]
    before = {number: signal.signal(number, ask) for number in heard}
    try:  # a request that is there already stands: a time limit may be over before training starts
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _asked.clear()
