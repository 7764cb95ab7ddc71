"""Which checkpoints stay, and which is loaded; damage is in test_corruption."""

from __future__ import annotations

import errno
import logging
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from scaling.records import storage
from scaling.records.storage import checkpoints, files


def read_all(file: BinaryIO) -> bytes:
    return file.read()


def save(folder: Path, step: int, content: bytes = b"", keep: int = 2) -> Path:
    return storage.save_checkpoint(folder, step, lambda file: file.write(content or b"%d" % step), keep)


def steps(folder: Path) -> list[int]:
    return sorted(int(path.name[5:13]) for path in (folder / "checkpoints").iterdir())


def test_two_checkpoints_stay(tmp_path: Path) -> None:
    for step in (10, 20, 30, 40):
        save(tmp_path, step)
    assert steps(tmp_path) == [30, 40]
    assert storage.load_checkpoint(tmp_path, read_all) == (40, b"40")
    assert storage.load_checkpoint(tmp_path, read_all, at_most=39) == (30, b"30")
    assert storage.load_checkpoint(tmp_path, read_all, at_most=29) is None


def test_a_step_saved_again_deletes_nothing_later(tmp_path: Path) -> None:
    save(tmp_path, 10)
    save(tmp_path, 30)
    save(tmp_path, 20)
    assert steps(tmp_path) == [10, 20, 30]
    save(tmp_path, 20, b"other bits")
    assert steps(tmp_path) == [10, 20, 30]
    assert storage.load_checkpoint(tmp_path, read_all, at_most=20) == (20, b"other bits")
    save(tmp_path, 30, keep=1)
    assert steps(tmp_path) == [30]


def test_an_empty_folder_has_no_checkpoint(tmp_path: Path) -> None:
    assert storage.load_checkpoint(tmp_path, read_all) is None


@pytest.mark.parametrize(("step", "keep"), [(-1, 2), (1, 0)])
def test_nonsense_is_refused(step: int, keep: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"got step={step}, keep={keep}"):
        save(tmp_path, step, keep=keep)


def test_an_interrupt_in_the_middle_of_a_save_is_one(tmp_path: Path) -> None:
    """`torch.save` makes a RuntimeError of it; the checkpoint before it stays."""
    save(tmp_path, 10)

    def interrupted(file: BinaryIO) -> None:
        try:
            file.write(b"half")
            raise KeyboardInterrupt
        finally:
            raise RuntimeError("unexpected pos 105134 vs 105104")

    with pytest.raises(KeyboardInterrupt):
        storage.save_checkpoint(tmp_path, 20, interrupted)
    assert [path.name[:13] for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000010"]


def test_a_checkpoint_the_disk_cannot_read_is_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    save(tmp_path, 1)
    bad = save(tmp_path, 2)
    digest = checkpoints.hashlib.file_digest

    def unreadable(file: Any, name: str) -> Any:
        if file.name == str(bad):
            raise OSError(errno.EIO, "Input/output error")
        return digest(file, name)

    monkeypatch.setattr(checkpoints.hashlib, "file_digest", unreadable)
    with caplog.at_level(logging.WARNING):
        assert storage.load_checkpoint(tmp_path, read_all) == (1, b"1")
    assert "Input/output error" in caplog.text
    assert (tmp_path / "quarantine" / bad.name).exists()


def test_other_read_errors_are_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, 1)

    def too_many(file: Any, name: str) -> Any:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(checkpoints.hashlib, "file_digest", too_many)
    with pytest.raises(OSError, match="Cannot allocate"):
        storage.load_checkpoint(tmp_path, read_all)
    assert files.QUARANTINE not in {path.name for path in tmp_path.iterdir()}
