"""Which files make what a command makes: the scripts and settings that it names, and what scripts import.

A change of these is a change of code, as it is of a family: finished runs say what made them, and a command
that was interrupted goes on only with the files that it began with.
"""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from scaling.study.syntax import imports_of, text_of

DIGITS = 12
SUFFIXES = frozenset({".py", ".sh", ".yaml", ".yml", ".json", ".toml", ".cfg", ".ini"})


def is_script(root: str) -> bool:
    """Whether the root of a part of the code is a file that a command names, and no module."""
    return "/" in root


def named_files(command: str) -> list[str]:
    """The files of a command, each with a slash: words, values after `=`, and the module after `-m`."""
    found: dict[str, None] = {}
    words = shlex.split(command)
    for before, word in zip(["", *words], words, strict=False):
        name = _module_path(word) if before == "-m" else word.rpartition("=")[2]
        if name and Path(name).suffix in SUFFIXES and Path(name).is_file():
            found[name if "/" in name else f"./{name}"] = None
    return sorted(found)


def _module_path(module: str) -> str | None:
    """`train/run.py` of `-m train.run`, or its `__main__.py`, below the working directory."""
    place = module.replace(".", "/")
    return next((name for name in (f"{place}.py", f"{place}/__main__.py") if Path(name).is_file()), None)


def file_digest(name: str) -> str | None:
    """The digest of a file and, of a script in Python, of the files that it imports; None where it is gone.

    Imports are followed within the folder of the script and below it, and within the package that it lies in.
    Comments and docstrings move nothing.
    """
    path = Path(name)
    if not path.is_file():
        return None
    if path.suffix != ".py":
        return hashlib.sha256(path.read_bytes()).hexdigest()[:DIGITS]
    home = path.parent.resolve()
    names = sorted((os.path.relpath(member, home), member) for member in _reached(path.resolve(), home))
    parts = "".join(f"{name}{_text(member.read_bytes())}" for name, member in names)
    return hashlib.sha256(parts.encode("utf-8", "surrogatepass")).hexdigest()[:DIGITS]


def _text(source: bytes) -> str:
    try:
        return text_of(source)
    except (SyntaxError, ValueError):
        return hashlib.sha256(source).hexdigest()  # the command itself will say what is wrong


def _reached(script: Path, home: Path) -> set[Path]:
    found: set[Path] = set()
    waiting = [script]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += _imported(path, home)
    return found


def _imported(path: Path, home: Path) -> Iterator[Path]:
    """The files in the folder of the script that one of its files imports."""
    try:
        imports = imports_of(path.read_bytes())
    except (SyntaxError, ValueError):
        return
    for level, module, names in imports:
        parts = module.split(".") if module else []
        roots = [(path.parents[level - 1] if level else home, home)]  # where to look, and what not to leave
        # `from pkg.model import x` in pkg/run.py, which is run by -m pkg.run.
        package = next((p for p in (home, *home.parents) if parts and not level and p.name == parts[0]), None)
        roots += [(package.parent, package)] if package else []
        for base, within in roots:
            steps = [base.joinpath(*parts[:count]) for count in range(1, len(parts) + 1)] or [base]
            for place in (*steps, *(steps[-1] / name for name in names)):
                for candidate in (place.with_name(f"{place.name}.py"), place / "__init__.py"):
                    if candidate.is_file() and within in candidate.resolve().parents:
                        yield candidate.resolve()
