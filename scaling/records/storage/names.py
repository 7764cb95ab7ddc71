"""Names that came from outside, before they become paths."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

LONGEST = 80  # characters; file systems stop at 255 bytes, and ids add a hash


def slug(name: str) -> str:
    """`name` with only letters, digits, dot, dash and underscore, safe as one path component.

    Two names may share a slug: where that matters, add a hash.

    Raises:
        ValueError: when nothing is left of it.
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    short = re.sub(r"[^A-Za-z0-9._-]+", "-", plain).lstrip(".-_")[:LONGEST].rstrip(".-_")
    if not short:
        raise ValueError(
            f"name {name!r} has no letter or digit (ASCII) to make a folder name of; give another."
        )
    return short


def safe_child(root: str | Path, name: str) -> Path:
    """root/name, resolved, certainly inside `root`.

    Raises:
        ValueError: when `name` is empty or absolute, climbs out with `..`, or passes through a symbolic link
            that leads out.
    """
    root = Path(root).resolve()
    if "\0" in name:
        raise ValueError(f"name {name!r} holds a NUL character; give one without.")
    path = (root / name).resolve()
    if path == root or not path.is_relative_to(root):
        raise ValueError(f"name {name!r} leads to {path}, which is not inside {root}; give a plain name.")
    return path
