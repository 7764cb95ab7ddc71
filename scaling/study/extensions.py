"""Python files and installed packages that register what a person brings: families, corpora, tasks, laws.

A file is named by a person only, in a study or on a command line, and then runs in every process that needs
it: jobs carry its path. Nothing that is read from a runs folder names one: a record knows an extension by its
module and digest, and whoever opens it names the file again. Installed packages bring theirs by an entry
point of the group `scaling.extensions`, and are found in every process.

The digest of an extension is part of the spec of each run that uses it, and so of its id: a changed model is
a new run. It is that of syntax trees, of the file and of its neighbours that it imports: comments and
docstrings move none.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from scaling.registry import forget, origins, registering
from scaling.study import code

GROUP = "scaling.extensions"


@dataclass(frozen=True)
class Extension:
    """One that was loaded in this process."""

    path: str  # absolute; empty for an installed package
    module: str
    digest: str


_loaded: dict[str, Extension] = {}  # by module
_installed = False


def load_extensions(asked: Iterable[str | Path], folders: Sequence[Path] = ()) -> tuple[str, ...]:
    """Run each file once, and once more where its code has changed. Return their absolute paths.

    Args:
        asked: files, absolute or relative to one of `folders`; the working directory comes last.

    Raises:
        ValueError: for a file that is not there or cannot be run, with the line.
    """
    _load_installed()
    paths = [_find(Path(file).expanduser(), folders) for file in asked]
    modules = {module_of(path): path for path in paths}
    for path in paths:
        if modules[module_of(path)] != path:
            raise ValueError(f"extensions {path} and {modules[module_of(path)]} share a name; rename one.")
        _load_file(path)
    return tuple(map(str, paths))


def loaded_files() -> tuple[str, ...]:
    """The files that were loaded in this process: what a job of it needs elsewhere."""
    return tuple(extension.path for extension in _loaded.values() if extension.path)


def made_by(*things: tuple[str, str]) -> tuple[str, ...]:
    """The extensions that things come from, each as `module digest`; sorted.

    Args:
        things: kind and name of each, as registries have them, e.g. ("family", "gru").

    Raises:
        ValueError: for a thing that was registered where code has no file.
    """
    found = set()
    for kind, name in things:
        for module in origins(kind, name):
            digest = _digest_of(module)
            if digest is None:
                raise ValueError(
                    f"{kind} {name!r} was registered in an interactive session, so a change of its "
                    "code would go unnoticed. Write it to a file and name that: extensions=[./my_model.py]."
                )
            found.add(f"{module} {digest}")
    return tuple(sorted(found))


def check_extensions(needed: Sequence[str], what: str) -> None:
    """
    Args:
        needed: as `made_by` gave them when a run was decided.
        what: the run, for the message.

    Raises:
        ValueError: for one that is not loaded here, or whose code is another now.
    """
    for line in needed:
        module, _, digest = line.rpartition(" ")
        now = _digest_of(module) if module in _loaded or module in sys.modules else None
        if now is None:
            raise ValueError(
                f"{what} is made by code that is not part of this package, extension {module}. Name its "
                f"file: --extension {module.partition('.')[0]}.py."
            )
        if now != digest:
            raise ValueError(
                f"{what} was made by other code of extension {module}: {digest} then, {now} now. Bring the "
                "code back that it was made by, or train again."
            )


def _digest_of(module: str) -> str | None:
    return _loaded[module].digest if module in _loaded else code.own_digest(module)


def _find(file: Path, folders: Sequence[Path]) -> Path:
    places = [folder / file for folder in (*folders, Path.cwd())]
    for place in places:
        if place.is_file():
            return place.resolve()
    looked = ", ".join(str(place) for place in dict.fromkeys(places))
    raise ValueError(f"extension {file}: no such file; looked for {looked}.")


def module_of(path: str | Path) -> str:
    """The name of the module that an extension file is."""
    return re.sub(r"\W", "_", Path(path).stem)


def _load_file(path: Path) -> None:
    name = module_of(path)
    known = _loaded.get(name)
    if known is not None:
        code.forget_files()
        if known.path == str(path) and code.own_digest(name) == known.digest:
            return
        forget(name)  # it was edited, or another file of this name takes its place
    elif _taken(name, path):
        raise ValueError(
            f"extension {path}: a module named {name} already exists, {_taken(name, path)}; rename yours."
        )
    elif name in sys.modules:  # imported, e.g. for a class of it that came from another process
        _remember(str(path), name)
        return
    before = list(sys.path)
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))  # it may import its neighbours; theirs never hide what is installed
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module  # dataclasses look their module up
    try:
        with registering(name):
            # Compiled here: a file that was edited twice in a second must not run as cached.
            exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        _loaded.pop(name, None)
        sys.path[:] = before
        raise ValueError(
            f"extension {path}, line {_line(error, path)}: {type(error).__name__}: {error}"
        ) from error
    _remember(str(path), name)


def _taken(name: str, path: Path) -> str:
    """Where another module of this name is, if there is one."""
    loaded = sys.modules.get(name)
    if loaded is not None:
        file = str(getattr(loaded, "__file__", None) or "built in")
    else:
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError):
            return ""
        file = str(spec.origin or "a folder") if spec is not None else ""
    return "" if file and Path(file).resolve() == path else file


def _load_installed() -> None:
    global _installed
    if _installed:
        return
    for entry in entry_points(group=GROUP):
        try:
            with registering(entry.module):
                entry.load()
        except Exception as error:
            where = f"{entry.dist.name if entry.dist else 'a package'}, which is installed"
            raise ValueError(
                f"extension {entry.value} of {where}: {type(error).__name__}: {error}. Fix or uninstall it."
            ) from error
        _remember("", entry.module)
    _installed = True


def _remember(path: str, module: str) -> None:
    code.forget_files()
    digest = code.own_digest(module)
    if digest is None:
        raise ValueError(f"extension {module}: its source cannot be read, so a change would go unnoticed.")
    _loaded[module] = Extension(path, module, digest)


def _line(error: BaseException, path: Path) -> int | None:
    """The line of the file at which it happened, or the last one that is known."""
    line = error.lineno if isinstance(error, SyntaxError) else None
    trace = error.__traceback__
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename) == path:
            line = trace.tb_lineno if not isinstance(error, SyntaxError) else line
        trace = trace.tb_next
    return line
