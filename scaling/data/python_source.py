"""The corpus that every machine has: Python source that came with the interpreter and the locked packages.

No download, real structure, and the same bytes wherever the same interpreter and packages are installed.
"""

from __future__ import annotations

import csv
import importlib.metadata
import os
import platform
import re
import sysconfig
import tomllib
from collections.abc import Iterator
from pathlib import Path

from scaling.data.source import Document, FileStamp, Source, position

PROJECT = "scaling-harness"
_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9._-]+)\s*(?:\[([^\]]*)\])?")
_EXTRA = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")


def python_source() -> Source:
    """Every `.py` file of the standard library, and of what this project requires, directly or not.

    Which packages: the requirements of this distribution, all its extras included, and what those require in
    turn, as far as they are installed. Whatever else shares the environment is left out, and so is this
    project itself: a corpus must not change when the harness does. In a bare clone, where this project is not
    installed, its `pyproject.toml` says what it requires; with neither, the standard library stands alone.

    Files come in the order of a hash of their name (`stdlib/json/decoder.py`, `packages/numpy/matlib.py`), so
    any first part of them is an unbiased sample of all.
    """
    packages = _closure(_own_requirements())
    paths = _standard_library()
    unlisted = []
    for name, distribution in packages.items():
        files = _installed_files(distribution)
        if files is None:
            unlisted.append(name)
        else:
            paths.update(files)
    stamps = []
    for key in sorted(paths):
        try:
            status = os.stat(paths[key])
        except OSError:  # listed and deleted since, or not to be looked at: its documents() entry says so
            stamps.append(FileStamp(key, -1, 0))
        else:
            stamps.append(FileStamp(key, status.st_size, status.st_mtime_ns))

    def documents() -> Iterator[Document]:
        for key in sorted(paths, key=lambda key: position(key, "order")):
            try:
                text = Path(paths[key]).read_bytes()
            except OSError:
                yield Document(key, None)
            else:
                yield Document(key, text)

    facts = {
        "python": platform.python_version(),
        "packages": len(packages),
        "packages_without_file_list": sorted(unlisted),
        "files": len(stamps),
        "file_bytes": sum(max(stamp.size, 0) for stamp in stamps),
    }
    where = f"{sysconfig.get_path('stdlib')} and {len(packages)} installed packages"
    return Source("python_source", where, tuple(stamps), documents, facts=facts)


def _standard_library() -> dict[str, str]:
    root = sysconfig.get_path("stdlib")
    found = {}
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = [s for s in subfolders if s not in ("site-packages", "dist-packages", "__pycache__")]
        inside = os.path.relpath(folder, root).replace(os.sep, "/")
        prefix = "stdlib/" if inside == "." else f"stdlib/{inside}/"
        found.update({prefix + name: f"{folder}/{name}" for name in names if name.endswith(".py")})
    return found


def _installed_files(distribution: importlib.metadata.Distribution) -> dict[str, str] | None:
    """The `.py` files in a distribution's RECORD; None where it has none (some system packages)."""
    record = distribution.read_text("RECORD")
    if record is None:
        return None
    root = distribution.locate_file("")
    lines = [line for line in record.splitlines() if ".py," in line]  # RECORDs are long; most is not source
    names = (row[0] for row in csv.reader(lines))
    return {
        f"packages/{name}": f"{root}/{name}"
        for name in names
        if name.endswith(".py") and not name.startswith(("..", "/"))  # scripts land outside, per machine
    }


def _own_requirements() -> list[str]:
    try:
        return _requirements(importlib.metadata.distribution(PROJECT))
    except importlib.metadata.PackageNotFoundError:
        pyproject = Path(__file__).resolve().parents[2] / "pyproject.toml"
    if not pyproject.is_file():
        return []
    project = tomllib.loads(pyproject.read_text(encoding="utf-8")).get("project", {})
    if project.get("name") != PROJECT:
        return []
    optional = project.get("optional-dependencies", {})
    return [*project.get("dependencies", ()), *(r for group in optional.values() for r in group)]


def _closure(requirements: list[str]) -> dict[str, importlib.metadata.Distribution]:
    """Installed distributions reachable from `requirements`, by name.

    A marker such as `sys_platform == "win32"` is not evaluated: a package it excludes is not installed. Only
    `extra == …` is looked at, since an optional package may be installed for other reasons.
    """
    found: dict[str, importlib.metadata.Distribution] = {}
    extras: dict[str, set[str]] = {}
    todo = list(requirements)
    while todo:
        match = _REQUIREMENT.match(todo.pop())
        if match is None:
            continue
        name = _normalised(match[1])
        wanted = {_normalised(e) for e in (match[2] or "").split(",") if e.strip()}
        if name == PROJECT or (name in found and wanted <= extras[name]):
            continue
        try:
            found[name] = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        extras[name] = extras.get(name, set()) | wanted
        for requirement in _requirements(found[name]):
            conditions = {_normalised(e) for e in _EXTRA.findall(requirement)}
            if not conditions or conditions & extras[name]:
                todo.append(requirement)
    return dict(sorted(found.items()))


def _requirements(distribution: importlib.metadata.Distribution) -> list[str]:
    """As `distribution.requires`, which parses every README too and takes a third of a second for all."""
    metadata = distribution.read_text("METADATA")
    if metadata is None:
        return list(distribution.requires or ())
    header = metadata.partition("\n\n")[0].splitlines()
    return [line.partition(":")[2].strip() for line in header if line.startswith("Requires-Dist:")]


def _normalised(name: str) -> str:
    """PEP 503: runs of `-`, `_` and `.` are one dash, and case does not count."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()
