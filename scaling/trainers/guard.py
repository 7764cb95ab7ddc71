"""Runs a command so that nothing of it outlives us: `python guard.py PARENT GRACE WORD …`.

A program of its own, of the standard library alone, because it must be there when the harness is not: the
kernel tells it when its parent dies, however that was. Asked to stop (SIGTERM), it asks the command and waits
a while. In the end it kills every process that descends from it, those in other sessions included, as the
workers of torchrun are.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from typing import NoReturn

SUBREAPER, DEATHSIG = 36, 1  # of prctl(2), which only Linux has
NOT_STARTED = 125  # exit status: the command could not be started; standard error says why
AT_ONCE = signal.SIGUSR1  # end everything now, without waiting for the command to save
ASK = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2)
HEARD = {*ASK, AT_ONCE, signal.SIGCHLD}


def main() -> int:
    parent, grace, words = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
    signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)  # they wait until they are asked for: none is missed
    _control(SUBREAPER, 1)  # orphans of the command become children of this process
    _control(DEATHSIG, AT_ONCE)
    if os.getppid() != parent:  # it died before it could be watched
        return 1
    child = os.fork()
    if child == 0:
        _become(words)
    status = _watch(child, grace)
    _end_all()
    if status is None:
        return 128 + signal.SIGKILL
    return status if status >= 0 else 128 - status


def _become(words: list[str]) -> NoReturn:
    """The child: the command, in a process group of its own and with signals as programs expect them."""
    try:
        os.setpgid(0, 0)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HEARD)
        _control(DEATHSIG, signal.SIGKILL)
        os.execvp(words[0], words)
    except OSError as error:
        print(f"{words[0]}: {error.strerror}", file=sys.stderr, flush=True)
    finally:
        os._exit(NOT_STARTED)


def _watch(child: int, grace: float) -> int | None:
    """Wait until the command ends, and return its status; None once its time to save is over."""
    deadline = None
    while True:
        status = _reap(child)
        if status is not None:
            return status
        number = _next_signal(1.0 if deadline is None else deadline - time.monotonic())
        if number == AT_ONCE:
            return None
        if number in ASK:
            with contextlib.suppress(OSError):
                os.killpg(child, signal.SIGTERM)
            deadline = time.monotonic() + grace if deadline is None else deadline
        if deadline is not None and time.monotonic() >= deadline:
            return None


def _reap(child: int) -> int | None:
    """Take every child that has ended, orphans too; the status of the command, if it is one of them."""
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == child:
                return os.waitstatus_to_exitcode(status)
            if pid == 0:
                break
    return None


def _next_signal(seconds: float) -> int:
    """Wait so long for a signal; 0 where none came."""
    if hasattr(signal, "sigtimedwait"):
        found = signal.sigtimedwait(HEARD, max(0.0, seconds))
        return found.si_signo if found else 0
    time.sleep(min(0.05, max(0.0, seconds)))  # macOS
    waiting = signal.sigpending() & HEARD
    return int(signal.sigwait(waiting)) if waiting else 0


def _end_all() -> None:
    """Kill every descendant, until there is none."""
    for _ in range(500):
        found = _descendants(os.getpid())
        for pid in found:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        _reap(0)
        if not found:
            return
        time.sleep(0.01)


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    waiting = [pid]
    while waiting:
        at = waiting.pop()
        children: list[int] = []
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{at}/task"):
                with contextlib.suppress(OSError), open(f"/proc/{at}/task/{thread}/children") as file:
                    children += map(int, file.read().split())
        found += children
        waiting += children
    return found


def _control(what: int, value: int) -> None:
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(what, value)


if __name__ == "__main__":
    sys.exit(main())
