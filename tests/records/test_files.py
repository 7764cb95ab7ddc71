"""Whole files or none, and every error of the disk by its own name."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling.records import storage
from tests.records.disk import Disk


def read_all(file: BinaryIO) -> bytes:
    return file.read()


def temps(folder: Path) -> list[Path]:
    return list(folder.rglob(".tmp-*"))


@given(pieces=st.lists(st.binary(max_size=300)))
def test_a_file_holds_what_was_written(pieces: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "file"
    with storage.atomic_file(path) as file:
        for piece in pieces:
            assert file.write(memoryview(piece)) == len(piece)
    assert path.read_bytes() == b"".join(pieces)


def test_a_block_that_raises_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    storage.write_atomic(path, b"old")
    with pytest.raises(TypeError, match="bytes-like"), storage.atomic_file(path) as file:
        file.writelines([b"new", None])  # type: ignore[list-item]
    assert path.read_bytes() == b"old"
    assert temps(tmp_path) == []


def test_an_existing_file_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert storage.write_once(path, b"first") is True
    assert storage.write_once(path, b"second") is False
    assert path.read_bytes() == b"first"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_link_that_nfs_made_and_then_denied_counts_as_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def retransmitted(source: Any, target: Any) -> None:
        link(source, target)
        raise FileExistsError

    monkeypatch.setattr(os, "link", retransmitted)
    assert storage.write_once(tmp_path / "file", b"mine") is True


def test_json_has_no_nan(tmp_path: Path) -> None:
    storage.write_json(tmp_path / "new" / "plan.json", {"study": "β", "n": [1, 2.5, None]})
    assert json.loads((tmp_path / "new" / "plan.json").read_bytes()) == {"study": "β", "n": [1, 2.5, None]}
    with pytest.raises(ValueError, match="Out of range float values"):
        storage.write_json(tmp_path / "other.json", {"loss": float("nan")})
    assert not (tmp_path / "other.json").exists()


def test_a_folder_may_exist_and_a_file_in_its_place_may_not(tmp_path: Path) -> None:
    assert storage.make_folder(tmp_path / "a" / "b") == storage.make_folder(tmp_path / "a" / "b")
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        storage.make_folder(tmp_path / "file")


def test_a_full_disk_is_reported_as_such_also_by_torch_save(tmp_path: Path) -> None:
    """RLIMIT_FSIZE is a real disk's refusal; torch alone turns it into RuntimeError."""
    torch = pytest.importorskip("torch")
    state = {"w": torch.zeros(100_000)}
    storage.save_checkpoint(tmp_path, 1, lambda file: file.write(b"old"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            storage.save_checkpoint(tmp_path, 2, lambda file: torch.save(state, file))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.errno == errno.EFBIG
    assert temps(tmp_path) == []
    assert storage.load_checkpoint(tmp_path, read_all) == (1, b"old")


def test_an_error_that_the_writer_swallowed_is_raised_all_the_same(tmp_path: Path) -> None:
    def careless(file: BinaryIO) -> None:
        for _ in range(3):
            try:
                file.write(bytes(100))
            except OSError:
                continue

    disk = Disk(at=3, mode="ENOSPC")  # mkdir, syncdir, create, write
    with disk.installed(), pytest.raises(OSError, match="No space left"):
        storage.save_checkpoint(tmp_path, 1, careless)
    assert [kind for kind, *_ in disk.log] == ["mkdir", "syncdir", "create", "write", "unlink"]
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_sweeping_spares_final_names_and_locked_trunks_below(tmp_path: Path) -> None:
    for folder in ("", "trunk", "trunk/checkpoints", "free"):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / ".tmp-1-ab").touch()
        (tmp_path / folder / "kept.tmp").touch()
    (tmp_path / "trunk" / "lock").touch()
    assert storage.sweep_temps(tmp_path) == 2
    assert storage.sweep_temps(tmp_path / "trunk") == 2
    assert temps(tmp_path) == []
    assert len(list(tmp_path.rglob("kept.tmp"))) == 4


def test_a_durable_commit_takes_10_ms(tmp_path: Path) -> None:
    seconds = []
    for number in range(20):
        start = time.perf_counter()
        storage.write_once(tmp_path / str(number), bytes(2000))
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 10e-3  # others may be using the disk


def test_the_storage_needs_no_torch_pandas_or_wandb() -> None:
    code = (
        "import sys, scaling.records.storage; print({'torch', 'pandas', 'wandb', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
