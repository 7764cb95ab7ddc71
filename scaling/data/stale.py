"""Token sets of a cache that nobody has opened for a long time and no finished run was trained on."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from scaling.data.corpora import identify
from scaling.data.tokenset import META_FILE, DamagedSet, read_set
from scaling.records.storage.files import LOCK_FILE
from scaling.records.storage.spare import Spare

SET = re.compile(r"\w+-\d+-[0-9a-f]{16}")  # as `cache` names a folder
DAY = 86_400.0


def find_stale_sets(cache: Path, fingerprints: Collection[str], days: float) -> Iterator[Spare]:
    """Find the files of sets that can go: they are made again where they are asked for again.

    Args:
        fingerprints: of the data of finished runs, whose text may have changed since; their sets stay.
        days: a set stays that was read or written since then. Sets that were never finished go at once.
    """
    if not cache.is_dir():
        return
    for folder in sorted(cache.iterdir()):
        if not SET.fullmatch(folder.name) or folder.is_symlink() or not folder.is_dir():
            continue
        files = [(path, os.lstat(path)) for path in sorted(folder.iterdir()) if path.name != LOCK_FILE]
        used = max((max(s.st_atime, s.st_mtime) for _, s in files), default=0.0)
        if (folder / META_FILE).is_file() and time.time() - used < days * DAY:
            continue
        if _fingerprint(folder) in fingerprints:
            continue
        for path, status in files:
            if stat.S_ISREG(status.st_mode):
                yield Spare("stale token sets", path, folder / LOCK_FILE, status)


def _fingerprint(folder: Path) -> str | None:
    try:
        found, _ = read_set(folder)
    except (FileNotFoundError, DamagedSet):
        return None
    return identify(found.content, found.vocab, found.tokenizer_digest)
