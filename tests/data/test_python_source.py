"""On an invented machine, so that every rule can be seen at work; and once on this one."""

from __future__ import annotations

import importlib
import importlib.metadata
import shutil
from pathlib import Path

import pytest

from scaling.data import python_source as module
from scaling.data.corpora import open_dataset
from scaling.data.options import DataOptions
from scaling.data.python_source import python_source
from scaling.data.source import position


def install(
    site: Path, name: str, files: dict[str, str], requires: tuple[str, ...] = (), record: bool = True
) -> None:
    for path, text in files.items():
        target = site / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    lines = [
        "Metadata-Version: 2.1",
        f"Name: {name}",
        "Version: 1.0",
        *(f"Requires-Dist: {r}" for r in requires),
    ]
    (info / "METADATA").write_text("\n".join(lines) + "\n")
    if record:
        (info / "RECORD").write_text(
            "".join(f"{path},sha256=x,1\n" for path in [*files, "../../bin/tool.py"])
        )


def make_machine(root: Path) -> None:
    standard, site = root / "python3", root / "python3" / "site-packages"
    for name in ("json/decoder.py", "os.py", "__pycache__/os.py", "readme.txt", "dist-packages/other.py"):
        (standard / name).parent.mkdir(parents=True, exist_ok=True)
        (standard / name).write_text(f"# {name}\n")
    own = {"scaling/mine.py": "# the harness itself\n"}
    requires = ("First>=1", "other-second[fast]; extra == 'train'", "scaling-harness[train]; extra == 'dev'")
    install(site, "scaling_harness", own, (*requires, "absent; sys_platform == 'win32'"))
    install(site, "first", {"first/a.py": "# a\n", "first/a.pyi": "#", "first/lib.so": ""}, ("third",))
    second = ("quick; extra == 'fast'", "slow ; extra == 'slow'")
    install(site, "other_second", {"second.py": "# second\n", "copy_of_a.py": "# a\n"}, second)
    install(site, "third", {"third/latin.py": "# third\n", "third/__init__.py": ""}, ("First",))
    (site / "third/latin.py").write_bytes(b"# \xe9\n")
    install(site, "quick", {"quick.py": "# quick\n"})
    install(site, "slow", {"slow.py": "# asked for by nobody\n"})
    install(site, "stranger", {"stranger.py": "# shares the environment\n"})


def enter(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be on that machine, as far as the standard library and installed distributions go."""

    def distribution(name: str) -> importlib.metadata.Distribution:
        found = importlib.metadata.distributions(name=name, path=[str(root / "python3/site-packages")])
        for first in found:
            return first
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.distribution", distribution)
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(root / "python3"))
    importlib.invalidate_caches()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "machine"
    make_machine(root)
    enter(root, monkeypatch)
    return root


EXPECTED = {
    "stdlib/json/decoder.py",
    "stdlib/os.py",
    "packages/first/a.py",
    "packages/second.py",
    "packages/copy_of_a.py",
    "packages/third/latin.py",
    "packages/third/__init__.py",
    "packages/quick.py",
}


def test_the_standard_library_and_what_this_project_requires(machine: Path) -> None:
    source = python_source()
    assert {stamp.name for stamp in source.manifest} == EXPECTED
    assert [stamp.name for stamp in source.manifest] == sorted(EXPECTED)
    order = [d.key for d in source.documents()]
    assert order == sorted(EXPECTED, key=lambda key: position(key, "order"))
    assert source.facts["packages"] == 4
    assert source.facts["packages_without_file_list"] == []


def test_a_bare_clone_reads_its_pyproject(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(machine / "python3/site-packages/scaling_harness-1.0.dist-info")
    clone = machine / "clone"
    monkeypatch.setattr(module, "__file__", str(clone / "scaling/data/python_source.py"))
    alone = {name for name in EXPECTED if name.startswith("stdlib/")}
    assert {stamp.name for stamp in python_source().manifest} == alone
    clone.mkdir()
    (clone / "pyproject.toml").write_text('[project]\nname = "another"\ndependencies = ["stranger"]\n')
    assert {stamp.name for stamp in python_source().manifest} == alone
    (clone / "pyproject.toml").write_text(
        '[project]\nname = "scaling-harness"\ndependencies = ["first"]\n'
        '[project.optional-dependencies]\ntrain = ["other-second[fast]"]\ndev = ["scaling-harness[train]"]\n'
    )
    assert {stamp.name for stamp in python_source().manifest} == EXPECTED


def test_a_package_without_a_file_list_is_named(machine: Path) -> None:
    (machine / "python3/site-packages/quick-1.0.dist-info/RECORD").unlink()
    source = python_source()
    assert {stamp.name for stamp in source.manifest} == EXPECTED - {"packages/quick.py"}
    assert source.facts["packages_without_file_list"] == ["quick"]


def test_a_package_of_the_old_kind_still_says_what_it_requires(machine: Path) -> None:
    site = machine / "python3/site-packages"
    shutil.rmtree(site / "quick-1.0.dist-info")
    (site / "quick.egg-info").mkdir()
    (site / "quick.egg-info/PKG-INFO").write_text("Metadata-Version: 1.2\nName: quick\nVersion: 1.0\n")
    (site / "quick.egg-info/requires.txt").write_text("stranger\n")
    source = python_source()
    assert "packages/stranger.py" in {stamp.name for stamp in source.manifest}
    assert source.facts["packages_without_file_list"] == ["quick"]


def test_what_cannot_be_used_is_dropped_and_counted(machine: Path, tmp_path: Path) -> None:
    (machine / "python3/os.py").unlink()
    (machine / "python3/os.py").mkdir()  # still listed, no longer a file that opens
    (machine / "python3/site-packages/quick.py").unlink()
    data = open_dataset(DataOptions("python_source", 256, heldout_fraction=0.5), tmp_path / "cache")
    dropped = {"unreadable": 1, "empty": 1, "not_utf8": 1, "nul": 0, "duplicate": 1}
    assert data.facts["dropped"] == dropped
    assert sum(data.facts["documents"].values()) == 3


def test_the_place_of_the_installation_does_not_matter(
    machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_dataset(DataOptions("python_source", 256, heldout_fraction=0.5), tmp_path / "one")
    moved = tmp_path / "somewhere/else"
    make_machine(moved)
    enter(moved, monkeypatch)
    shutil.rmtree(machine)
    second = open_dataset(DataOptions("python_source", 256, heldout_fraction=0.5), tmp_path / "two")
    assert second.fingerprint == first.fingerprint
    assert second.facts == first.facts


def test_this_machine(tmp_path: Path) -> None:
    source = python_source()
    names = {stamp.name for stamp in source.manifest}
    assert {"stdlib/json/decoder.py", "packages/numpy/__init__.py"} <= names
    assert not any(name.startswith(("/", "packages/scaling/", "packages/tests/data")) for name in names)
    assert source.facts["file_bytes"] > 50e6
    data = open_dataset(
        DataOptions("python_source", 512, limit_bytes=1_000_000, heldout_fraction=0.1), tmp_path
    )
    assert 1_000_000 <= sum(data.facts["bytes"].values()) < 5_000_000
    assert data.facts["bytes"]["heldout"] > 10_000
    assert data.train.nbytes == 2 * data.facts["tokens"]["train"]
