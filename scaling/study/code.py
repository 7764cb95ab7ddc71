"""Which code computes a number, as digests of syntax trees: comments, docstrings and layout move none.

A run is made by parts: the trainer, its optimizer, schedule and objective, the data pipeline and the family.
The digest of a part covers its root and every module of the same wing that the root imports, directly or
not, except the roots of other parts and the modules below that choose or watch and compute nothing. A family
that was registered from outside is covered with its own package, and with what it uses of `scaling.models`.

Nothing is imported to find out: files are read. So `scaling status` does without PyTorch.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import accumulate
from pathlib import Path

from scaling.records.record import CODE
from scaling.study.scripts import DIGITS, file_digest, is_script, named_files
from scaling.study.syntax import imports_of, parse, text_of, write

HOME = Path(__file__).parents[1]
TRAINER, SHARDED = "scaling.training.train", "scaling.training.sharded"
OPTIMIZER, SCHEDULE = "scaling.recipe.optimizers.adamw", "scaling.training.schedule"
SHARE = "scaling.recipe.schedules.constant"
OBJECTIVES = "scaling.training.objectives"
WINDOWS, ROWS, GENERATED = "scaling.data.dataset", "scaling.data.rows", "scaling.data.generated"
MIXED = "scaling.data.mixture"
TOKENS = "scaling.data.tokenset"
APART = frozenset({TRAINER, SHARDED, SCHEDULE, OBJECTIVES, TOKENS})  # never within another part
# Of other wings, and part of these nevertheless.
TAKEN = {
    TRAINER: frozenset({"scaling.study.spec", "scaling.data.sizes", "scaling.recipe.parametrisation"}),
    SCHEDULE: frozenset({"scaling.recipe.cooldown"}),
}

# They choose between parts: another entry changes no other run.
CHOOSING = frozenset(
    {
        *("scaling.models", "scaling.models.family", "scaling.models.registry"),
        *("scaling.data.corpora", "scaling.data.truth.sources"),
        *(
            "scaling.recipe",
            "scaling.recipe.optimizers",
            "scaling.recipe.schedules",
            "scaling.recipe.settings",
        ),
    }
)
# What they find is part of the data fingerprint, hence of every id.
PINNED = frozenset(
    f"scaling.data.{name}"
    for name in (
        *(
            "cache",
            "compressed",
            "huggingface",
            "options",
            "pairs",
            "python_source",
            "source",
            "split",
            "stale",
        ),
        "text",
    )
)
# They watch, stop, time, count or hand over.
WATCHING = frozenset(
    {
        *(
            "scaling.data.truth.bayes",
            "scaling.models.counting",
            "scaling.models.counts",
            "scaling.models.derived",
            "scaling.models.neox",
            "scaling.models.settings",
            "scaling.training.reuse",
        ),
        *(
            "scaling.training.contract",
            "scaling.training.observer",
            "scaling.training.provenance",
            "scaling.training.stop",
        ),
        "scaling.training.throughput",
    }
)
NOT_COMPUTING = CHOOSING | PINNED | WATCHING


def run_roots(
    *,
    family: str,
    objective: str,
    loss: str,
    corpus: str,
    source: str | None = None,
    sharded: bool = False,
    optimizer: str = OPTIMIZER,
    share: str = SHARE,
) -> dict[str, str]:
    """Return the root of every part of a run.

    Args:
        family: the module of its family.
        source: the module of a generated corpus.
        optimizer: the module of its optimizer.
        share: the module of its schedule, which says the share of the peak rate.
    """
    data = GENERATED if source else {"pairs": ROWS, "mixture": MIXED}.get(corpus, WINDOWS)
    names = sorted({objective, loss, "cross_entropy"})  # the held-out loss is always cross-entropy
    roots = {
        "trainer": TRAINER,
        "optimizer": optimizer,
        "schedule": SCHEDULE,
        "share": share,
        "objective": f"{OBJECTIVES}:{','.join(names)}",
        "data": data,
        "tokens": source or TOKENS,
        "family": family,
    }
    return {**roots, "sharded": SHARDED} if sharded else roots


def code_versions(roots: Mapping[str, str]) -> dict[str, str]:
    """Return what attempts and records say of their code: a line per part, and `code`, the digest of all."""
    parts = {f"{CODE}{part}": f"{root} {digest_of(root) or 'unknown'}" for part, root in roots.items()}
    lines = "\n".join(f"{part} {parts[part]}" for part in sorted(parts))
    return {"code": hashlib.sha256(lines.encode()).hexdigest()[:DIGITS], **parts}


def command_code(command: str) -> dict[str, str]:
    """Return what an attempt and a record say of the files that a command names, as `code_versions` does."""
    names = named_files(command)
    return code_versions({f"script{i or ''}": name for i, name in enumerate(names)}) if names else {}


def changed_parts(versions: Mapping[str, str]) -> list[str]:
    """Return which parts of the code that made an attempt or a record are other ones now, in words.

    None where nothing is known: of records from before there were digests, or families that are out of reach.
    """
    found = []
    for key, line in versions.items():
        root, _, digest = line.rpartition(" ")
        if key.startswith(CODE) and digest != "unknown":
            now = digest_of(root)
            if now not in (None, digest):
                found.append(f"{key.removeprefix(CODE)} {root}: {digest} then, {now} now")
    return found


def digest_of(root: str) -> str | None:
    """Return the digest of a part as the files are now; None where its root cannot be found.

    Args:
        root: a module, or `module:name,name` for these functions and the names of the module that they use;
            or a file that a command names.
    """
    return file_digest(root) if is_script(root) else _module_digest(root)


@cache
def _module_digest(root: str) -> str | None:
    module, _, names = root.partition(":")
    if module_file(module) is None:
        return "missing" if module.startswith("scaling.") else None
    parts: list[str] = []
    if names:
        for node in _used(parse(_source(module)), names.split(",")):
            write(node, parts.append)
    else:
        for member in sorted(reached(module)):
            parts += [member, text_of(_source(member))]
    return hashlib.sha256("".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:DIGITS]


def own_digest(root: str) -> str | None:
    """Return the digest of a stranger's module and of its own helpers; None where it has no file."""
    if module_file(root) is None:
        return None
    members = sorted(member for member in reached(root) if not member.startswith("scaling."))
    parts = "".join(f"{member}{text_of(_source(member))}" for member in members)
    return hashlib.sha256(parts.encode("utf-8", "surrogatepass")).hexdigest()[:DIGITS]


def forget_files() -> None:
    """Look for files anew: modules were loaded, or files changed."""
    _module_digest.cache_clear()
    module_file.cache_clear()


def reached(root: str) -> set[str]:
    """Return the modules whose code a part's digest covers: its root, and what that imports of its wing."""
    found, waiting = set(), [root]
    while waiting:
        module = waiting.pop()
        if module in found:
            continue
        found.add(module)
        waiting += [m for m in _imports(module) if _covered(m, root) and module_file(m) is not None]
    return found


def _covered(module: str, root: str) -> bool:
    if module in NOT_COMPUTING or module in APART:
        return False
    wing = _wing(root)
    if module in TAKEN.get(root, ()):
        return True
    if not root.startswith("scaling.") and _wing(module) == "scaling.models":
        return True
    return _wing(module) == wing or _beside(module, root)


def _wing(module: str) -> str:
    """Return `scaling.models` of `scaling.models.blocks`, and the top package of anything else."""
    parts = module.split(".")
    return ".".join(parts[:2] if parts[0] == "scaling" else parts[:1])


def _beside(module: str, root: str) -> bool:
    """Whether a stranger's module lies in the folder of the root, which is a single file, or below it."""
    if "." in root or module.startswith("scaling."):
        return False
    one, other = module_file(module), module_file(root)
    return one is not None and other is not None and other.parent in one.parents and _own(one)


def _own(path: Path) -> bool:
    library = Path(sysconfig.get_paths()["stdlib"])  # which may lie in the home of its user
    return library not in path.parents and not {"site-packages", "dist-packages"} & set(path.parts)


@cache
def module_file(module: str) -> Path | None:
    """Return the source file of a module, importing nothing; None where there is none."""
    top, *rest = module.split(".")
    if top == "scaling":
        base: Path | None = HOME
    elif module in sys.modules:
        path = getattr(sys.modules[module], "__file__", None)
        return Path(path) if path and path.endswith(".py") else None
    else:
        try:
            spec = importlib.util.find_spec(top)
        except (ImportError, ValueError):
            return None
        if spec is None or not spec.origin or not spec.origin.endswith(".py"):
            return None
        if not rest:
            return Path(spec.origin)
        base = Path(spec.origin).parent if spec.submodule_search_locations else None
    if base is None:
        return None
    place = base.joinpath(*rest)
    candidates = [place / "__init__.py", *([place.with_name(f"{place.name}.py")] if rest else [])]
    return next((path for path in candidates if path.is_file()), None)


def _source(module: str) -> bytes:
    path = module_file(module)
    assert path is not None
    return path.read_bytes()


def _imports(module: str) -> Iterator[str]:
    """Every module that is named in an import, lazy ones included."""
    path = module_file(module)
    assert path is not None
    package = module.split(".")[: None if path.name == "__init__.py" else -1]
    for level, base, names in imports_of(path.read_bytes()):
        above = package[: len(package) - level + 1] if level else []
        whole = ".".join([*above, *([base] if base else [])])
        yield whole
        if not whole.startswith("scaling."):  # a package runs before what is in it
            yield from accumulate(whole.split(".")[:-1], lambda a, b: f"{a}.{b}")
        yield from (f"{whole}.{name}" for name in names)


def _used(tree: ast.Module, names: list[str]) -> list[ast.stmt]:
    """The statements that bind these names or any name that they use; all where one is not there."""
    binds: dict[str, list[ast.stmt]] = {}
    for node in tree.body:
        for name in _bound(node):
            binds.setdefault(name, []).append(node)
    if not binds.keys() >= set(names):
        return tree.body
    found: dict[str, None] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in found or name not in binds:
            continue
        found[name] = None
        for node in binds[name]:
            waiting += [inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)]
    return [node for node in tree.body if any(name in found for name in _bound(node))]


def _bound(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [(alias.asname or alias.name).partition(".")[0] for alias in node.names]
    return [n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
