"""One process a lock; the races of several are in test_races."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from scaling.records import storage
from scaling.records.storage import lock
from tests.records.life import TRUNK


def test_a_lock_is_held_once_and_comes_free(tmp_path: Path) -> None:
    path = tmp_path / TRUNK / "lock"
    with storage.Lock(path), pytest.raises(storage.LockedError, match=r"this process .* holds it already"):
        storage.Lock(path).__enter__()
    with storage.Lock(path):
        owner = json.loads(path.read_bytes())
    assert owner["pid"] == os.getpid()
    assert path.exists()


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_without_locks_work_goes_on_with_a_warning(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none(*_: Any) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(lock.fcntl, "lockf", none)
    with storage.Lock(tmp_path / "lock"):
        assert "no locks on this file system" in caplog.text


def test_a_lock_that_cannot_be_taken_for_another_reason_raises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(lock.fcntl, "lockf", broken)
    with pytest.raises(OSError, match="Input/output error"):
        storage.Lock(tmp_path / "lock").__enter__()
