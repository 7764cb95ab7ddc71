"""The training log: cut back to the checkpoint, never half a line, never NaN."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from scaling.records import storage
from tests.records.disk import Disk


def test_lines_are_cut_back_to_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "run" / "metrics.jsonl"
    with storage.MetricsLog(path) as log:
        log.append({"step": 1, "loss": 2.5})
        offset = log.sync()
        log.append({"step": 2, "loss": 2.4})
        assert log.offset > offset
    with storage.MetricsLog(path) as log:
        log.truncate(offset)
        log.append({"step": 2, "loss": 2.4})
        assert log.sync() == log.offset == path.stat().st_size
    assert [json.loads(line)["step"] for line in path.read_bytes().splitlines()] == [1, 2]


def test_a_log_shorter_than_its_checkpoint_is_refused(tmp_path: Path) -> None:
    with storage.MetricsLog(tmp_path / "metrics.jsonl") as log:
        log.append({"step": 1})
        with pytest.raises(ValueError, match=r"cannot go back to byte 100, the file has 11"):
            log.truncate(100)


def test_what_is_not_finite_is_null_and_said(tmp_path: Path) -> None:
    with storage.MetricsLog(tmp_path / "m") as log:
        log.append({"step": 1, "train_loss": float("nan"), "loss": float("-inf"), "flops": 1e9})
    line = json.loads((tmp_path / "m").read_bytes(), parse_constant=pytest.fail)
    assert line == {
        "step": 1, "train_loss": None, "loss": None, "flops": 1e9,
        "nonfinite": {"train_loss": "nan", "loss": "-inf"},
    }  # fmt: skip


def test_a_line_of_something_else_is_refused(tmp_path: Path) -> None:
    with storage.MetricsLog(tmp_path / "m") as log:
        with pytest.raises(TypeError, match="not JSON serializable"):
            log.append({"loss": io.BytesIO()})
        assert log.offset == 0


def test_no_half_line_stays_when_the_disk_fills(tmp_path: Path) -> None:
    disk = Disk(at=4, mode="ENOSPC")  # mkdir, syncdir, create, syncdir, write
    with disk.installed(), storage.MetricsLog(tmp_path / "m") as log:
        log.append({"step": 1})
        with pytest.raises(OSError, match="No space left"):
            log.sync()
        assert (tmp_path / "m").read_bytes() == b""
        disk.full = False
        log.append({"step": 2})
        log.sync()
    assert (tmp_path / "m").read_bytes() == b'{"step":1}\n{"step":2}\n'


def test_a_living_run_can_be_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with storage.MetricsLog(tmp_path / "m") as log:
        log.append({"step": 1})
        assert (tmp_path / "m").read_bytes() == b""
        monkeypatch.setattr(storage.metrics, "BUFFER_SECONDS", 0.0)
        log.append({"step": 2})
        assert (tmp_path / "m").read_bytes().count(b"\n") == 2
