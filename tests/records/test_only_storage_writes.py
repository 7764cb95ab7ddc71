"""Nothing outside scaling.records.storage writes files: what bypasses it, its tests cannot break."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import scaling

ROOT = Path(scaling.__file__).parent
STORAGE = ROOT / "records" / "storage"

# Attribute calls that write whatever their arguments. `x.replace(…)` is a string's more often than not.
WRITERS = {
    "write_text", "write_bytes", "savefig", "savetxt", "tofile", "touch", "mkdir", "makedirs", "unlink",
    "rmdir", "rmtree", "symlink_to", "hardlink_to", "to_csv", "to_parquet", "to_json", "to_pickle",
    "to_excel", "copyfile", "copytree", "copy2", "NamedTemporaryFile", "mkstemp", "mkdtemp", "save_file",
    "ftruncate",
}  # fmt: skip
# Names of these modules that write; `torch.load` is not one of them.
MODULES = {
    "torch": {"save"},
    "np": {"save", "savez", "savez_compressed"},
    "numpy": {"save", "savez", "savez_compressed"},
    "os": {"open", "write", "replace", "rename", "link", "symlink", "remove", "truncate"},
    "json": {"dump"},
    "pickle": {"dump"},
    "shutil": {"move", "copy"},
}
# Where the mode stands: a method's comes first, a function's after the file.
OPENERS = {"io": 1, "gzip": 1, "bz2": 1, "lzma": 1, "zstandard": 1, "zipfile": 1, "tarfile": 1}
READING = {"r", "rb", "rt"}


def writes(source: str) -> Iterator[tuple[int, str]]:
    """(line, call) of everything that opens or changes a file for writing."""
    tree = ast.parse(source)
    handed = {id(call) for call in _into_a_handed_file(tree)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or id(node) in handed:
            continue
        called = node.func
        if isinstance(called, ast.Attribute):
            owner = called.value.id if isinstance(called.value, ast.Name) else ""
            first = 2 if called.attr == "memmap" else OPENERS.get(owner, 0)
            opens = called.attr in ("open", "memmap") and _mode(node, first) not in READING
            found = opens or called.attr in WRITERS or called.attr in MODULES.get(owner, ())
        else:
            name = called.id if isinstance(called, ast.Name) else ""
            found = name == "open" and _mode(node, first=1) not in READING
        if found:
            yield node.lineno, ast.unparse(node)


def _into_a_handed_file(tree: ast.AST) -> Iterator[ast.Call]:
    """`torch.save(state, file)` where `file` was handed in: by `save_checkpoint`, which commits it."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            given = [
                a for a in function.args.args if a.annotation and ast.unparse(a.annotation) == "BinaryIO"
            ]
        elif isinstance(function, ast.Lambda):
            given = function.args.args
        else:
            continue
        names = {argument.arg for argument in given}
        for call in ast.walk(function):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "torch.save":
                file = call.args[1] if len(call.args) > 1 else None
                if isinstance(file, ast.Name) and file.id in names:
                    yield call


def _mode(call: ast.Call, first: int) -> str:
    given = [k.value for k in call.keywords if k.arg == "mode"] or call.args[first : first + 1]
    if not given:
        return "r"
    return given[0].value if isinstance(given[0], ast.Constant) else "unknown"


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(ROOT.rglob("*.py")) if STORAGE not in path.parents],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_a_module_outside_storage_writes_no_file(path: Path) -> None:
    found = [f"{path.relative_to(ROOT)}:{line}: {call}" for line, call in writes(path.read_text())]
    assert found == [], "write through scaling.records.storage (write_atomic, write_once, save_checkpoint, …)"


@pytest.mark.parametrize(
    "line",
    [
        "torch.save(state, file)",
        "def save(path: Path): torch.save(state, path)",
        "np.memmap(path, dtype, 'w+')",
        "torch.save(state, path)",
        "open(path, 'w')",
        "open(path, mode='ab')",
        "open(path, how)",
        "path.open('w')",
        "gzip.open(path, 'wb')",
        "Path('x').write_text('y')",
        "os.replace(a, b)",
        "os.open(a, os.O_WRONLY)",
        "figure.savefig(path)",
        "table.to_csv(path)",
        "json.dump(x, file)",
        "np.save(path, x)",
        "shutil.rmtree(path)",
        "path.mkdir(parents=True)",
    ],
)
def test_every_way_to_write_is_noticed(line: str) -> None:
    assert len(list(writes(line))) == 1


@pytest.mark.parametrize(
    "line",
    [
        "open(path)",
        "open(path, 'rb')",
        "path.open()",
        "path.open('rb')",
        "gzip.open(path, 'rb')",
        "np.memmap(path, dtype=dtype, mode='r')",
        "torch.load(file)",
        "name.replace('a', 'b')",
        "save_checkpoint(folder, 1, lambda file: torch.save(state, file))",
        "def save(self, file: BinaryIO): torch.save(self.state, file)",
    ],
)
def test_reading_is_free(line: str) -> None:
    assert list(writes(line)) == []
