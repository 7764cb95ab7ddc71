"""Files that are no files, have no end or no bottom, or write to a terminal: counted, and nothing hangs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.cli import main
from scaling.launch import search
from scaling.records import reading
from scaling.records.evaluation import read_evaluations
from scaling.records.reading import did_you_mean, printable, read_json, read_small
from scaling.records.record import DamagedRecord, read_study
from scaling.records.storage import history, load_checkpoint, load_evaluation, load_record, plans
from scaling.training import throughput
from tests.analysis.synthetic import write_study


def as_pipe(path: Path) -> None:
    os.mkfifo(path)


def as_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def as_folder(path: Path) -> None:
    path.mkdir()


def as_depth(path: Path) -> None:
    path.write_text("[" * 100_000)


def as_giant(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(reading.LARGEST + 1)


KINDS = [as_pipe, as_device, as_folder, as_depth, as_giant]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "hostile"
    write_study(folder)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_that_is_no_file_is_damaged(study: Path, kind: Callable[[Path], None]) -> None:
    path = next(iter(sorted(study.glob("*/*/record.json"))))
    number = len(read_study(study).records)
    path.unlink()
    kind(path)
    found = read_study(study)
    assert len(found.records) == number - 1
    assert list(found.damaged) == [str(path.relative_to(study))]
    assert load_record(path.parent.parent, path.parent.name) is None  # set aside, to be made again
    assert not path.exists()


@pytest.mark.parametrize("kind", KINDS)
def test_a_plan_a_note_and_an_attempt_that_are_no_files(study: Path, kind: Callable[[Path], None]) -> None:
    plan = study / "plan.json"
    if plan.exists():
        plan.unlink()
    kind(plan)
    if kind is not as_giant:  # a plan may be large
        assert "unreadable plan" in read_study(study).damaged["plan.json"]
    trunk = next(path for path in study.iterdir() if path.is_dir())
    (trunk / "attempts").mkdir(exist_ok=True)
    kind(trunk / "attempts" / "000009.json")
    assert history(trunk) == []
    with pytest.raises(DamagedRecord):
        read_json(trunk / "attempts" / "000009.json")


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_else_is_read_is_a_file_too(study: Path, kind: Callable[[Path], None]) -> None:
    """What a search has tried, plans, scores, step times of the cache, and checkpoints: nothing hangs."""
    place = study / "odd"
    place.mkdir()
    for name in ("trials.json", "plan.json", "throughput.json", "evaluations", "checkpoints"):
        if name in ("evaluations", "checkpoints"):
            (place / name).mkdir()
        else:
            kind(place / name)
    kind(place / "evaluations" / "x.json")
    checkpoint = place / "checkpoints" / f"step-00000001-{'0' * 32}.pt"
    kind(checkpoint)
    damaged: dict[str, str] = {}
    assert list(read_evaluations(str(place), damaged)) == []
    assert len(damaged) == 1
    assert throughput._read(place / "throughput.json") == {}
    assert search._read_trials(place / "trials.json") == []
    if kind is not as_giant:  # a plan may be large
        assert plans._read_plan(place / "plan.json") == {}
        assert not (place / "plan.json").exists()  # set aside
    assert not (place / "trials.json").exists() or kind is as_giant
    assert load_evaluation(place, "x.json") is None
    assert load_checkpoint(place, lambda file: file.read()) is None


def test_notes_do_not_write_to_the_terminal(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trunk = next(path for path in sorted(study.iterdir()) if path.is_dir())
    plan = {"study": "hostile", "runs": [{"run_id": "gone", "trunk_id": trunk.name}]}
    (study / "plan.json").write_text(json.dumps(plan))
    (trunk / "failures").mkdir()
    note = {"attempt": 1, "kind": "oom", "message": "\x1b[2J\x1b]0;owned\x07 no memory\u202e"}
    (trunk / "failures" / "000001.json").write_text(json.dumps(note))
    assert main(["status", str(study)]) == 0
    said = capsys.readouterr().out
    assert "\\x1b[2J\\x1b]0;owned\\x07 no memory\\x202e" in said
    assert "\x1b" not in said


def test_tabs_and_lines_are_kept() -> None:
    assert printable("a\tb\nc é 模\r\x9b") == "a\tb\nc é 模\\x0d\\x9b"


def test_a_small_file_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 70_000)
    assert len(read_small(tmp_path / "file")) == 70_000
    with pytest.raises(DamagedRecord, match="70,000 bytes, where 10 are"):
        read_small(tmp_path / "file", 10)


def test_a_log_of_one_endless_line_is_read_in_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "LONGEST_LINE", 1 << 16)
    log = tmp_path / "metrics.jsonl"
    row = b'{"step": 1}'
    log.write_bytes(row + b"\n" + b"x" * (3 * reading.LONGEST_LINE) + b"\n" + row + b"\n" + row)
    lines = [line for block in reading.read_lines(log, 1000) for line in block]
    assert lines == [row, reading.TOO_LONG, row, row]
    with log.open("wb") as file:
        file.truncate(1 << 28)
    assert [line for block in reading.read_lines(log) for line in block] == [reading.TOO_LONG]


def test_a_path_that_is_almost_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "ladder").mkdir()
    assert did_you_mean(tmp_path / "lader") == f" Did you mean {tmp_path / 'ladder'}?"
    assert did_you_mean(tmp_path / "demo") == ""
    assert did_you_mean(tmp_path / "nowhere" / "ladder") == ""
