"""What the analysis writes is whole or not there, whoever is killed while it writes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from analysis import files
from analysis.files import ABANDONED, sweep, write_whole

# Writes pages until the call of `name` whose turn it is, and dies there as by kill -9.
DIES = """
import os, signal, sys
from pathlib import Path
from analysis.files import write_whole

def strike(event, arguments, left=[int(sys.argv[2])]):
    if event in ("open", "os.chmod", "os.rename", "os.link", "os.remove") and sys.argv[1] in str(arguments):
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(strike)
write_whole(Path(sys.argv[1]) / "index.html", b"new" * 10**6, new=sys.argv[3] == "new")
"""


@pytest.mark.parametrize("new", [False, True])
def test_a_kill_at_any_moment_leaves_the_old_page_or_the_new_one(new: bool, tmp_path: Path) -> None:
    seen = set()
    for moment in range(5):
        page = tmp_path / str(moment) / "index.html"
        page.parent.mkdir()
        if not new:
            page.write_bytes(b"old")
        words = [sys.executable, "-c", DIES, str(page.parent), str(moment), "new" if new else "over"]
        code = subprocess.run(words, cwd=Path(__file__).parents[2]).returncode
        content = page.read_bytes() if page.exists() else b""
        assert content in (b"" if new else b"old", b"new" * 10**6)
        seen.add((code < 0, content[:3]))
        for half in page.parent.glob(f"{files.WRITING}*"):
            os.utime(half, times=(0, 0))
        sweep([page.parent])
        assert [path.name for path in page.parent.iterdir()] == (["index.html"] if content else [])
    assert seen >= {(True, b"" if new else b"old"), (False, b"new")}


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(files.os, "replace", refuse)
    with pytest.raises(OSError, match="disk full"):
        write_whole(tmp_path / "a" / "index.html", b"x")
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_what_another_command_is_writing_stays(tmp_path: Path) -> None:
    for name, age in ((f"{files.WRITING}now", 0), (f"{files.WRITING}old", ABANDONED + 60), ("x.csv", 10**6)):
        path = tmp_path / name
        path.write_bytes(b"x")
        os.utime(path, times=(path.stat().st_atime - age, path.stat().st_mtime - age))
    sweep([tmp_path])
    assert {path.name for path in tmp_path.iterdir()} == {f"{files.WRITING}now", "x.csv"}
