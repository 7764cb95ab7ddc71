"""What a study's folder can spare, and the only way in which anything finished is ever deleted.

Old checkpoints of finished trunks go, of each folder the newest intact one stays: a wider command continues
from it, and a run's is its weights. What was set aside goes by choice. Records, specs and logs always stay.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from scaling.records.record import QUARANTINE, StudyRecords
from scaling.records.storage.attempts import SUPERSEDED
from scaling.records.storage.checkpoints import CHECKPOINTS, NAME
from scaling.records.storage.files import LOCK_FILE
from scaling.records.storage.lock import Lock, LockedError


@dataclass(frozen=True)
class Spare:
    """A regular file that nobody needs again."""

    kind: str
    path: Path
    lock: Path  # to hold while it is removed
    status: os.stat_result = field(repr=False)


def find_old_checkpoints(study: StudyRecords) -> Iterator[Spare]:
    """Find the checkpoints of finished trunks that are older than the newest intact one of their folder."""
    have = {record.run_id for record in study.records}
    trunks: dict[str, list[str]] = defaultdict(list)
    for run_id, row in study.expected.items():
        trunks[str(row.get("trunk_id"))].append(run_id)
    for trunk in _folders(study.folder):
        if trunk.name in trunks and have.issuperset(trunks[trunk.name]):
            for place in [trunk, *_folders(trunk)]:
                yield from _older(place / CHECKPOINTS, trunk / LOCK_FILE)


def find_set_aside(study: StudyRecords) -> Iterator[Spare]:
    """Find damaged files in quarantine, and checkpoints of trunks that were started over."""
    for trunk in _folders(study.folder):
        lock = trunk / LOCK_FILE
        for place in [trunk, *_folders(trunk)]:
            for file, status in _files(place / QUARANTINE):
                yield Spare("in quarantine", file, lock, status)
        for file, status in _files(trunk / SUPERSEDED):
            if NAME.fullmatch(file.name):
                yield Spare("superseded checkpoints", file, lock, status)


def freed(spares: Iterable[Spare]) -> int:
    """Return what removing them frees [bytes]; a file that other studies share lives on under other names."""
    spares = list(spares)
    found = Counter((s.status.st_dev, s.status.st_ino) for s in spares)
    inodes = {(s.status.st_dev, s.status.st_ino): s.status for s in spares}
    return sum(status.st_size for key, status in inodes.items() if found[key] >= status.st_nlink)


def remove_spares(spares: Iterable[Spare]) -> list[str]:
    """Remove files, each under its lock; return a line for each folder that is in use and was left.

    A file that is another one by now, or that a link leads to, is left too.
    """
    left = []
    by_lock: dict[Path, list[Spare]] = defaultdict(list)
    for spare in spares:
        by_lock[spare.lock].append(spare)
    for lock, files in by_lock.items():
        try:
            with Lock(lock):
                for spare in files:
                    _remove(spare)
        except LockedError as error:
            left.append(str(error))
    return left


def _remove(spare: Spare) -> None:
    home = spare.lock.parent
    try:
        status = os.lstat(spare.path)
    except FileNotFoundError:
        return
    same = (status.st_dev, status.st_ino, status.st_size) == (
        spare.status.st_dev,
        spare.status.st_ino,
        spare.status.st_size,
    )
    if same and spare.path.parent.resolve() == home.resolve() / spare.path.parent.relative_to(home):
        os.unlink(spare.path)


def _older(home: Path, lock: Path) -> Iterator[Spare]:
    """Everything older than the newest intact checkpoint; nothing where none is whole."""
    found = [(NAME.fullmatch(path.name), path, status) for path, status in _files(home)]
    ordered = sorted(((int(m[1]), m[2], path, status) for m, path, status in found if m), reverse=True)
    whole = False
    for _, digest, path, status in ordered:
        if whole:
            yield Spare("old checkpoints", path, lock, status)
        elif len(ordered) > 1:
            with path.open("rb") as file:
                whole = hashlib.file_digest(file, "sha256").hexdigest()[:32] == digest


def _folders(path: Path) -> list[Path]:
    """The folders in a folder, links left out."""
    with os.scandir(path) as entries:
        return sorted(Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False))


def _files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """The regular files at and below a folder, links left out; none where it is a link itself."""
    if folder.is_symlink():
        return
    for place, _, names in os.walk(folder):
        for name in sorted(names):
            path = Path(place, name)
            status = os.lstat(path)
            if stat.S_ISREG(status.st_mode):
                yield path, status
