"""A disk that stops, tears, fills up and loses power: `os` as the storage package sees it.

`Disk` stands in for the module `os` inside scaling.records.storage. It counts every operation that changes
the disk, can fail at any of them, and keeps a log that `Platter` replays with what was not synced thrown
away.
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from scaling.records.storage import checkpoints, files, lock, metrics

MODES = ("before", "torn", "after", "ENOSPC", "EIO")


class Killed(BaseException):
    """The process is gone: no handler may run on, as none does after kill -9."""


@dataclass
class Disk:
    """`os`, with a fault of kind `mode` at operation `at`. Real fsyncs are left out: that only saves time."""

    at: int | None = None
    mode: str = "before"
    before: Callable[[int], None] | None = None  # called ahead of every operation, with its number
    syncs_files: bool = True  # False: a mutant that forgets to
    log: list[tuple[Any, ...]] = field(default_factory=list)
    count: int = 0
    dead: bool = False
    full: bool = False
    _inodes: dict[str, int] = field(default_factory=dict)  # path → inode
    _open: dict[int, int | str] = field(default_factory=dict)  # descriptor → inode, or folder

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    @contextmanager
    def installed(self) -> Iterator[Disk]:
        with pytest.MonkeyPatch.context() as patch:
            for module in (files, lock, metrics, checkpoints):
                patch.setattr(module, "os", self)
            patch.setattr(files, "CHUNK", 64)  # several writes a file
            try:
                yield self
            finally:
                self.end_process()

    def end_process(self) -> None:
        """What the kernel does for a dead process: close its files, free its locks. Its page cache stays."""
        for fd in [*self._open]:
            self.close(fd)
        lock._held.clear()
        self.dead = self.full = False

    def open(self, path: Any, flags: int, mode: int = 0o777) -> int:
        key = str(path)
        if flags & os.O_CREAT and not os.path.exists(path):
            inode = self._inodes[key] = len(self.log)
            return int(self._do(("create", key, inode), lambda: self._opened(key, flags, mode)))
        self._alive()
        return self._opened(key, flags, mode)

    def _opened(self, key: str, flags: int, mode: int) -> int:
        fd = os.open(key, flags, mode)
        self._open[fd] = key if flags & os.O_DIRECTORY else self._inodes.get(key, -1)
        return fd

    def write(self, fd: int, data: Any) -> int:
        data = bytes(data)
        half = data[: len(data) // 2]
        return int(
            self._do(
                ("write", self._open[fd], data),
                lambda: os.write(fd, data),
                torn=lambda: os.write(fd, half),
                torn_entry=("write", self._open[fd], half),
            )
        )

    def fsync(self, fd: int) -> None:
        where = self._open[fd]
        if isinstance(where, int) and not self.syncs_files:
            return
        self._do(("syncdir" if isinstance(where, str) else "fsync", where), lambda: None)

    def ftruncate(self, fd: int, length: int) -> None:
        self._do(("truncate", self._open[fd], length), lambda: os.ftruncate(fd, length))

    def replace(self, source: Any, target: Any) -> None:
        inode = self._inodes.get(str(source), -1)

        def act() -> None:
            os.replace(source, target)
            self._inodes[str(target)] = self._inodes.pop(str(source), -1)

        self._do(("replace", str(source), str(target), inode), act)

    def link(self, source: Any, target: Any) -> None:
        inode = self._inodes.get(str(source), -1)

        def act() -> None:
            os.link(source, target)
            self._inodes[str(target)] = inode

        self._do(("link", str(target), inode), act)

    def unlink(self, path: Any) -> None:
        self._do(("unlink", str(path)), lambda: os.unlink(path))

    def mkdir(self, path: Any) -> None:
        self._do(("mkdir", str(path)), lambda: os.mkdir(path))

    def close(self, fd: int) -> None:
        if self._open.pop(fd, None) is not None:
            os.close(fd)

    def acknowledge(self, what: str, value: Any) -> None:
        self.log.append(("ack", what, value))

    def _alive(self) -> None:
        if self.dead:
            raise Killed

    def _do(
        self,
        entry: tuple[Any, ...],
        act: Callable[[], Any],
        torn: Callable[[], Any] | None = None,
        torn_entry: tuple[Any, ...] | None = None,
    ) -> Any:
        self._alive()
        number, self.count = self.count, self.count + 1
        if self.before is not None:
            self.before(number)
        hit = number == self.at
        if hit and self.mode == "before":
            self.dead = True
            raise Killed
        failing = (hit and self.mode in ("ENOSPC", "EIO")) or (
            self.full and entry[0] in ("create", "write", "mkdir", "link")
        )
        if (hit and self.mode == "torn") or failing:
            if torn is not None:
                torn()
                self.log.append(torn_entry or entry)
            if not failing:
                self.dead = True
                raise Killed
            self.full = self.full or self.mode == "ENOSPC"
            code = errno.ENOSPC if self.full else errno.EIO
            raise OSError(code, os.strerror(code), entry[1] if isinstance(entry[1], str) else None)
        result = act()
        self.log.append(entry)
        if hit and self.mode == "after":
            self.dead = True
            raise Killed
        return result


class Platter:
    """What a power loss leaves: synced content and names, and of the rest whatever chance had written.

    Stricter than ext4: an unsynced rename may be lost while a later unlink in the same folder is kept, and a
    file may have its length without its content (zeros).
    """

    def __init__(self, root: Path, log: list[tuple[Any, ...]]) -> None:
        self.root = str(root)
        self.content: dict[int, bytes] = {}  # inode → synced
        self.unsynced: dict[int, list[tuple[str, Any]]] = {}
        self.names: dict[str, dict[str, int | None]] = {
            self.root: {}
        }  # folder → name → inode, None: a folder
        self.pending: dict[str, list[list[tuple[str, int | None]]]] = {self.root: []}
        for entry in log:
            self._apply(*entry)

    def _apply(self, kind: str, *rest: Any) -> None:
        if kind == "create":
            self.content[rest[1]], self.unsynced[rest[1]] = b"", []
            self._rename([(rest[0], rest[1])])
        elif kind in ("write", "truncate"):
            self.unsynced[rest[0]].append((kind, rest[1]))
        elif kind == "fsync":
            for change in self.unsynced[rest[0]]:
                self.content[rest[0]] = _changed(self.content[rest[0]], *change)
            self.unsynced[rest[0]] = []
        elif kind == "replace":
            self._rename([(rest[0], -1), (rest[1], rest[2])])
        elif kind == "link":
            self._rename([(rest[0], rest[1])])
        elif kind == "unlink":
            self._rename([(rest[0], -1)])
        elif kind == "mkdir":
            self.names[rest[0]], self.pending[rest[0]] = {}, []
            self._rename([(rest[0], None)])
        elif kind == "syncdir" and rest[0] in self.names:  # folders above the root are not ours
            for changes in self.pending[rest[0]]:
                _rename_in(self.names[rest[0]], changes)
            self.pending[rest[0]] = []

    def _rename(self, changes: list[tuple[str, int | None]]) -> None:
        """Set each path to an inode (-1: gone); all of one call are one atomic change of one folder."""
        folder = os.path.dirname(changes[0][0])
        self.pending[folder].append([(os.path.basename(path), inode) for path, inode in changes])

    def lose_power(self, target: Path, rng: random.Random) -> None:
        """Write one possible state after the loss into `target`, a folder that exists."""
        self._folder(self.root, target, rng)

    def _folder(self, folder: str, target: Path, rng: random.Random) -> None:
        names = dict(self.names[folder])
        keep = rng.choice((0.0, 0.5, 1.0))
        for changes in self.pending[folder]:
            if rng.random() < keep:
                _rename_in(names, changes)
        for name, inode in names.items():
            if inode is None:
                (target / name).mkdir()
                self._folder(f"{folder}/{name}", target / name, rng)
            else:
                (target / name).write_bytes(self._file(inode, rng))

    def _file(self, inode: int, rng: random.Random) -> bytes:
        content, unsynced = self.content[inode], self.unsynced[inode]
        kept = rng.randint(0, len(unsynced))
        for change in unsynced[:kept]:
            content = _changed(content, *change)
        if kept < len(unsynced) and unsynced[kept][0] == "write":
            content += unsynced[kept][1][: rng.randint(0, len(unsynced[kept][1]))]
        synced = len(self.content[inode])
        if rng.random() < 0.3 and len(content) > synced:
            content = content[:synced] + bytes(len(content) - synced)
        return content


def _changed(content: bytes, kind: str, value: Any) -> bytes:
    return content + value if kind == "write" else content[:value]


def _rename_in(names: dict[str, int | None], changes: list[tuple[str, int | None]]) -> None:
    for name, inode in changes:
        if inode == -1:
            names.pop(name, None)
        else:
            names[name] = inode
