"""Whole files or none, for what this package writes: a reader never sees half of one, whoever is killed."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

WRITING = ".writing-"  # begins the names of files that are not whole yet
ABANDONED = 3600  # seconds after which whoever wrote such a file was killed


def write_whole(path: Path, data: bytes, *, new: bool = False) -> Path:
    """Give a file this content, whole or not at all; makes its folder.

    Args:
        new: the file must not exist yet.

    Raises:
        FileExistsError: where it must not, and does.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=WRITING)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(name, 0o644)
        if new:
            os.link(name, path)
        else:
            os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)
    return path


def sweep(folders: Iterable[Path]) -> None:
    """Remove what killed commands have left half written."""
    for path in (path for folder in folders for path in folder.glob(f"{WRITING}*")):
        with suppress(OSError):  # another command sweeps too
            if time.time() - path.lstat().st_mtime > ABANDONED:
                path.unlink()
