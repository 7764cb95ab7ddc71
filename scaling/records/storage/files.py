"""Whole files or none: temp in the same folder, hash while writing, fsync, one atomic rename or link, fsync.

Every system call that changes the disk is spelled `os.<call>` here, in `lock` or in `metrics`, so that a test
can stop the world, tear a write or fill the disk at each of them.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import logging
import os
import secrets
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

from scaling.records.record import QUARANTINE

TEMP_PREFIX = ".tmp-"
LOCK_FILE = "lock"
KINDS = ("checkpoints", "attempts", "failures", "evaluations")  # folders in that of a trunk or run
CHUNK = 1 << 20  # bytes gathered before a write: torch.save writes many pieces of 64 bytes

logger = logging.getLogger(__name__)


class _Staged(io.RawIOBase):
    """A temporary file being written: hashes what passes and remembers the first error of a write.

    `torch.save` on a full disk raises `RuntimeError: unexpected pos`, never OSError: its C++ writer drops the
    exception, so that the reason is only known here.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.path = folder / f"{TEMP_PREFIX}{os.getpid()}-{secrets.token_hex(8)}"
        self.named = True
        self.error: OSError | None = None
        self._sha256 = hashlib.sha256()
        self._gathered = bytearray()
        self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._refuse_after_error()
        view = memoryview(data).cast("B")
        self._sha256.update(view)
        if len(view) + len(self._gathered) < CHUNK:
            self._gathered += view
        else:  # a large tensor is not copied
            self._drain()
            self._put(view)
        return len(view)

    def sync(self) -> str:
        """Put everything written on the disk; returns its sha256, in hex."""
        self._refuse_after_error()
        self._drain()
        os.fsync(self._fd)
        return self._sha256.hexdigest()

    def replace(self, path: Path) -> None:
        """Take the final name, over whatever has it."""
        os.replace(self.path, path)
        self.named = False
        sync_folder(path.parent)

    def link(self, path: Path) -> bool:
        """Take the final name as well, unless something has it."""
        try:
            os.link(self.path, path)
        except FileExistsError:
            # On NFS a retransmitted link that succeeded reports that the name exists: the count tells.
            made = os.fstat(self._fd).st_nlink > 1
        else:
            made = True
        sync_folder(path.parent)  # also for the file of another: it may have died between link and fsync
        return made

    def discard(self) -> None:
        """Close, and remove the temporary name where there still is one."""
        os.close(self._fd)
        if self.named:
            with suppress(FileNotFoundError):  # swept by a worker that did not see our lock
                os.unlink(self.path)

    def _drain(self) -> None:
        self._put(bytes(self._gathered))
        self._gathered.clear()

    def _put(self, data: bytes | memoryview) -> None:
        try:
            write_all(self._fd, data)
        except OSError as error:
            self.error = error
            raise

    def _refuse_after_error(self) -> None:
        if self.error is not None:  # and whoever was writing swallowed it
            raise self.error


@contextmanager
def staged(folder: Path) -> Iterator[_Staged]:
    """A temporary file in `folder`, gone at the end unless it was given a name.

    Raises:
        OSError: the first error of a write, whatever exception the writing code turned it into.
        KeyboardInterrupt: likewise.
    """
    file = _Staged(folder)
    try:
        yield file
    except Exception as error:
        if file.error is not None and error is not file.error:
            raise file.error from error
        if isinstance(error.__context__, KeyboardInterrupt):  # a second Ctrl-C in the middle of `torch.save`
            raise error.__context__ from error
        raise
    finally:
        file.discard()


@contextmanager
def atomic_file(path: str | Path) -> Iterator[BinaryIO]:
    """A binary file to write that appears under `path`, whole and on the disk, when the block ends.

    Where the block raises, or the process dies, `path` is what it was before.

    Raises:
        OSError: the disk's own error (full, quota, read-only, failing), also where the writing code hid it.
    """
    path = Path(path)
    with staged(path.parent) as file:
        yield cast(BinaryIO, file)
        file.sync()
        file.replace(path)


def write_atomic(path: str | Path, data: bytes) -> None:
    """Replace the content of `path` by `data`: whole, or not at all."""
    with atomic_file(path) as file:
        file.write(data)


def write_once(path: str | Path, data: bytes) -> bool:
    """Create `path` with `data`; False, and nothing changed, if it exists. Of many writers one gets True."""
    path = Path(path)
    with staged(path.parent) as file:
        file.write(data)
        file.sync()
        return file.link(path)


def write_json(path: str | Path, value: Any) -> None:
    """Replace `path` by readable JSON, atomically; makes its folder.

    Raises:
        ValueError: for NaN or infinity, which JSON has no number for.
        TypeError: for anything that is not plain data.
    """
    path = Path(path)
    data = encode_json(value)
    make_folder(path.parent)
    write_atomic(path, data)


def encode_json(value: Any) -> bytes:
    return json.dumps(value, indent=1, allow_nan=False).encode() + b"\n"


def make_folder(folder: str | Path) -> Path:
    """Make a folder and what is missing above it, each durable in its parent."""
    folder = Path(folder)
    if not folder.parent.exists():
        make_folder(folder.parent)
    try:
        os.mkdir(folder)
    except FileExistsError:
        if not folder.is_dir():
            raise
    # Also where it exists: whoever made it may have died before this line.
    sync_folder(folder.parent)
    return folder


def own_folder(home: str | Path, name: str) -> Path:
    """Make a folder of ours in one that may have come from elsewhere.

    Raises:
        OSError: also for a symbolic link in its place: what is written would leave the runs folder.
    """
    path = Path(home) / name
    refuse_link(path)
    return make_folder(path)


def refuse_link(path: str | Path) -> None:
    """
    Raises:
        OSError: for a symbolic link, naming it and what to do.
    """
    if os.path.islink(path):
        raise OSError(
            errno.ELOOP,
            "is a symbolic link, and nothing is written through one; remove it, or put a copy of what it "
            "leads to in its place",
            str(path),
        )


def open_own(path: Path, flags: int) -> int:
    """Open a file of ours to write, made where it is missing; the descriptor.

    Raises:
        OSError: also for a symbolic link, a pipe or a device in its place.
    """
    refuse_link(path)
    fd = os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "is not a regular file; move it away", str(path))
    return fd


def quarantine(path: str | Path, reason: str, what: str = "damaged") -> Path:
    """Set a file aside that is damaged or not to be used, with a note that says why.

    It goes into `quarantine/` of its trunk or run folder; what lies in a folder for its kind goes one level
    up first. Returns the new place. Nothing is ever deleted, and a name that is taken gets a number.
    """
    path = Path(path)
    refuse_link(path.parent)
    home = path.parent.parent if path.parent.name in KINDS else path.parent
    folder = own_folder(home, QUARANTINE)
    target, number = folder / path.name, 1
    while os.path.lexists(target):
        number += 1
        target = folder / f"{path.stem}.{number}{path.suffix}"
    logger.warning("%s: %s (%s); set aside as %s", path, what, reason, target)
    write_atomic(target.with_name(target.name + ".reason"), reason.encode() + b"\n")
    os.replace(path, target)
    sync_folder(folder)
    sync_folder(path.parent)
    return target


def sweep_temps(folder: str | Path, skip: Collection[str] = ()) -> int:
    """Remove what killed writers left in a trunk's folder, while holding its lock; returns how many.

    Called on a study it leaves the trunks alone: a folder below `folder` that has a lock may be in use.

    Args:
        skip: names of folders whose files are not ours.
    """
    swept = 0
    for place, folders, names in os.walk(folder):
        folders[:] = [
            name for name in folders if name not in skip and not os.path.exists(f"{place}/{name}/{LOCK_FILE}")
        ]
        for name in names:
            if name.startswith(TEMP_PREFIX):
                os.unlink(f"{place}/{name}")
                swept += 1
    return swept


def remove_folder(folder: str | Path) -> None:
    """Remove a folder that holds nothing that anybody needs again. Links are removed, never followed."""
    if os.path.islink(folder):
        os.unlink(folder)
        return
    for place, folders, names in os.walk(folder, topdown=False):
        for name in names:
            os.unlink(f"{place}/{name}")
        for name in folders:
            path = f"{place}/{name}"
            os.unlink(path) if os.path.islink(path) else os.rmdir(path)
    with suppress(FileNotFoundError, NotADirectoryError):
        os.rmdir(folder)


def write_all(fd: int, data: bytes | memoryview) -> None:
    """`os.write` until everything is written: a full disk first takes a part of it."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable: without it a power loss takes a renamed or linked file away."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
