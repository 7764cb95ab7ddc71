"""One worker per trunk, on one machine or on a file system with working locks."""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from scaling.records.reading import printable
from scaling.records.storage.files import make_folder, open_own, write_all

logger = logging.getLogger(__name__)

_held: set[tuple[int, Path]] = set()  # (pid, file): lockf lets one process lock the same file twice


class LockedError(RuntimeError):
    """Somebody else is at work in this folder."""


class Lock:
    """`with Lock(folder / "lock"):` or LockedError at once. The kernel frees it when the process dies.

    `lockf`, not `flock`: a forked child inherits a flock, and holds it after its parent was killed. The file
    is never deleted, because a worker could then lock a file that has no name any more. The lock saves
    compute; that no record is ever written twice rests on `write_once`, also where locks do not work.

    Raises:
        LockedError: naming the host and process that holds it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).absolute()
        self._fd: int | None = None

    def __enter__(self) -> Lock:
        key = (os.getpid(), self.path.resolve())
        # Before opening: closing any descriptor of the file would give the lock of this process away.
        if key in _held:
            raise LockedError(f"{self.path}: this process (pid {key[0]}) holds it already.")
        make_folder(self.path.parent)
        fd = open_own(self.path, os.O_RDWR)
        try:
            self._take(fd)
            os.ftruncate(fd, 0)
            write_all(fd, _owner())
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        _held.add(key)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._fd is not None
        _held.discard((os.getpid(), self.path.resolve()))
        os.close(self._fd)
        self._fd = None

    def _take(self, fd: int) -> None:
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise LockedError(
                    f"{self.path}: held by {_describe(os.pread(fd, 4096, 0))}. "
                    "Wait for that worker to end, or stop it; the lock frees itself."
                ) from None
            if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
                raise
            logger.warning(
                "%s: no locks on this file system (%s); two workers may train the same run, but only one "
                "record stays.",
                self.path,
                error.strerror,
            )


@contextmanager
def waiting_lock(path: str | Path, seconds: float = 10.0) -> Iterator[None]:
    """Hold the lock, once it is free: for what takes a moment.

    Raises:
        LockedError: when it is held for longer than `seconds`.
    """
    patience = time.monotonic() + seconds
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(Lock(path))
                break
            except LockedError:
                if time.monotonic() > patience:
                    raise
                time.sleep(0.02)
        yield


def _owner() -> bytes:
    body = {"host": socket.gethostname(), "pid": os.getpid(), "since": datetime.now(UTC).isoformat()}
    return json.dumps(body).encode() + b"\n"


def _describe(data: bytes) -> str:
    try:
        body = json.loads(data)
        return printable(f"pid {body['pid']} on {body['host']} since {body['since']}")
    except (ValueError, KeyError, TypeError, RecursionError):  # its owner is just writing it
        return "a process that has not yet said which"
