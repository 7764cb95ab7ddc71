"""Checkpoints that carry the hash of their content in their name.

Neither torch nor safetensors notices a flipped bit (of 2,000 torch loaded 1,959): only the name can tell.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, TypeVar, cast

from scaling.records.storage.files import CHUNK, own_folder, quarantine, staged, sync_folder

CHECKPOINTS = "checkpoints"
NAME = re.compile(r"step-(\d{8,})-([0-9a-f]{32})\.pt")

T = TypeVar("T")


def save_checkpoint(
    folder: str | Path, step: int, write: Callable[[BinaryIO], object], keep: int = 2
) -> Path:
    """Commit what `write` writes, e.g. `lambda file: torch.save(state, file)`, as the checkpoint of `step`.

    Older ones go only once the new one is on the disk; the newest `keep` up to `step` stay, later ones too.

    Raises:
        OSError: the disk's own error; the checkpoints that were there still are.
    """
    if step < 0 or keep < 1:
        raise ValueError(f"checkpoint: needs step >= 0 and keep >= 1; got step={step}, keep={keep}.")
    home = own_folder(folder, CHECKPOINTS)
    with staged(home) as file:
        write(cast(BinaryIO, file))
        digest = file.sync()
        path = home / f"step-{step:08d}-{digest[:32]}.pt"
        file.replace(path)
    earlier = [(s, p) for s, _, p in _find(home) if s <= step and p != path]
    spare = [p for s, p in earlier if s < step][: keep - 1]
    for _, old in earlier:
        if old not in spare:
            os.unlink(old)
    return path


def load_checkpoint(
    folder: str | Path, read: Callable[[BinaryIO], T], at_most: int | None = None
) -> tuple[int, T] | None:
    """(step, what `read` made of it) of the newest intact checkpoint up to step `at_most`; None without one.

    One whose content does not match its name goes to quarantine, and the one before it is taken. `read` sees
    only content that matches; give it `torch.load(file, weights_only=True)`, which runs no code.
    """
    for step, digest, path in _find(Path(folder) / CHECKPOINTS):
        if at_most is not None and step > at_most:
            continue
        with path.open("rb") as file:
            try:
                found = hashlib.file_digest(file, "sha256").hexdigest()[:32]
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                found = f"nothing: {error.strerror}"
            if found == digest:
                file.seek(0)
                return step, read(file)
        quarantine(path, f"its name says sha256 {digest}, its content gives {found}")
    return None


def checkpoint_steps(folder: str | Path) -> list[int]:
    """The steps that have a checkpoint by name, newest first; whether they are whole only reading tells."""
    return [step for step, _, _ in _find(Path(folder) / CHECKPOINTS)]


def peek_checkpoint(
    folder: str | Path, read: Callable[[BinaryIO], T], at_most: int, above: int = -1
) -> tuple[Path, T] | None:
    """The newest intact checkpoint past `above` and up to `at_most` of a folder that is not ours.

    Nothing changes there: what is damaged, or goes away meanwhile, is passed over.
    """
    for step, digest, path in _find(Path(folder) / CHECKPOINTS):
        if not above < step <= at_most:
            continue
        try:
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest()[:32] == digest:
                    file.seek(0)
                    return path, read(file)
        except OSError:
            continue
    return None


def reuse_checkpoint(path: Path, folder: str | Path) -> bool:
    """Give a checkpoint that `peek_checkpoint` found a name in `folder` too: a link, or else a copy.

    False where it is gone, or no longer intact.

    Raises:
        OSError: of our own disk.
    """
    home = own_folder(folder, CHECKPOINTS)
    try:
        os.link(path, home / path.name)
    except FileExistsError:
        pass
    except OSError:  # another file system, or another owner
        if not _copy(path, home):
            return False
    sync_folder(home)
    return True


def _copy(path: Path, home: Path) -> bool:
    with staged(home) as copy:
        try:
            with path.open("rb") as file:
                shutil.copyfileobj(file, copy, CHUNK)
        except OSError:
            if copy.error is not None:  # ours
                raise
            return False
        if copy.sync()[:32] != path.stem.rpartition("-")[2]:
            return False
        copy.replace(home / path.name)
    return True


def _find(home: Path) -> list[tuple[int, str, Path]]:
    """(step, digest, path) of every checkpoint, newest first. Pipes and devices are none; nor is a folder of
    checkpoints followed that is a link: what is set aside or deleted there would not be ours.
    """
    if home.is_symlink() or not home.is_dir():
        return []
    matches = [(NAME.fullmatch(path.name), path) for path in home.iterdir() if path.is_file()]
    return sorted(((int(m[1]), m[2], path) for m, path in matches if m), reverse=True)
