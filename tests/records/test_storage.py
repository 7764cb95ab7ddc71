"""What each function of the storage promises, and every refusal it makes."""

from __future__ import annotations

import errno
import io
import json
import logging
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
from scaling.records.record import read_study
from scaling.records.storage import attempts, checkpoints, files, lock
from tests.records.disk import Disk
from tests.records.life import RUN, TRUNK, a_record


def read_all(file: BinaryIO) -> bytes:
    return file.read()


def temps(folder: Path) -> list[Path]:
    return list(folder.rglob(".tmp-*"))


# Files.


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
    assert sorted(seconds)[10] < 10e-3


def test_the_storage_needs_no_torch_pandas_or_wandb() -> None:
    code = (
        "import sys, scaling.records.storage; print({'torch', 'pandas', 'wandb', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


# Names.


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("isoflop", "isoflop"),
        ("Größe 3e5", "Groe-3e5"),
        ("../../etc/passwd", "etc-passwd"),
        (".hidden", "hidden"),
        ("-rf", "rf"),
        ("a/b\\c:d\0e\nf", "a-b-c-d-e-f"),
        ("=cmd|' /C calc'!A0", "cmd-C-calc-A0"),
        ("<script>alert(1)</script>", "script-alert-1-script"),
        ("x" * 300, "x" * 80),
    ],
)
def test_a_slug_is_plain(name: str, expected: str) -> None:
    assert storage.slug(name) == expected


@given(st.text())
def test_a_slug_is_one_safe_path_component(name: str) -> None:
    try:
        short = storage.slug(name)
    except ValueError as error:
        assert repr(name) in str(error)  # noqa: PT017
        return
    assert storage.slug(short) == short
    assert storage.safe_child("/root-of-runs", short) == Path("/root-of-runs") / short


@pytest.mark.parametrize("name", ["", "...", "///", "日本語", "\0"])
def test_a_name_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="has no letter or digit"):
        storage.slug(name)


@pytest.mark.parametrize("name", ["..", "../x", "a/../../x", "/etc/passwd", "", ".", "a/..", "out/x", "out"])
def test_a_name_that_leads_out_is_refused(name: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "out").symlink_to(tmp_path)
    with pytest.raises(ValueError, match="not inside"):
        storage.safe_child(root, name)


def test_a_name_with_nul_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="NUL"):
        storage.safe_child(tmp_path, "a\0b")


def test_a_name_that_stays_inside_is_resolved(tmp_path: Path) -> None:
    assert storage.safe_child(tmp_path, "a/../b") == tmp_path.resolve() / "b"


# Specs, attempts, failures, records.


def test_a_spec_may_be_written_again_and_not_changed(tmp_path: Path) -> None:
    path = tmp_path / TRUNK / "spec.json"
    spec = {"family": "lstm", "model": {"width": 64, "depth": 2}, "budget": [1, 2]}
    storage.write_spec_once(path, spec)
    storage.write_spec_once(path, dict(reversed(spec.items())))
    before = path.read_bytes()
    with pytest.raises(ValueError, match="another specification") as refusal:
        storage.write_spec_once(path, {"family": "lstm", "model": {"width": 65}, "budget": [1], "seed": 0})
    for line in (
        "model.width: was 64, now 65",
        "model.depth: was 2, now '(absent)'",
        "budget: was [1, 2], now [1]",
        "seed: was '(absent)', now 0",
    ):
        assert line in str(refusal.value)
    assert "family" not in str(refusal.value)
    assert path.read_bytes() == before


@pytest.mark.parametrize("key", sorted(a_record().__dict__))
def test_each_key_that_drifts_is_named(key: str, tmp_path: Path) -> None:
    spec = dict(a_record().__dict__)
    storage.write_spec_once(tmp_path / "spec.json", spec)
    with pytest.raises(ValueError, match=rf"\n  {key}\S*: was .*, now 'other'\n"):
        storage.write_spec_once(tmp_path / "spec.json", {**spec, key: "other"})


def test_an_unreadable_spec_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "spec.json"
    path.write_bytes(b'{"family": "ls')
    storage.write_spec_once(path, {"family": "lstm"})
    assert json.loads(path.read_bytes()) == {"family": "lstm"}
    assert "not JSON" in (tmp_path / "quarantine" / "spec.json.reason").read_text()


def test_attempts_are_numbered_and_only_the_last_may_commit(tmp_path: Path) -> None:
    folder = tmp_path / TRUNK
    assert not storage.is_latest_attempt(folder, 1)
    assert storage.new_attempt(folder, {"threads": 1}) == 1
    assert storage.is_latest_attempt(folder, 1)
    assert storage.new_attempt(folder, {}) == 2
    assert not storage.is_latest_attempt(folder, 1)
    body = json.loads((folder / "attempts" / "000001.json").read_bytes())
    assert (body["attempt"], body["threads"], body["pid"]) == (1, 1, os.getpid())
    with pytest.raises(
        storage.StaleAttempt, match="attempt 1 was overtaken by attempt 2; its record of run run-1"
    ):
        storage.commit_record(folder, a_record(attempts=1))
    assert storage.load_record(folder, RUN) is None
    assert storage.commit_record(folder, a_record(attempts=2)) is True
    assert storage.commit_record(folder, a_record(attempts=2, loss=9.9)) is False
    assert storage.load_record(folder, RUN) == a_record(attempts=2)


def test_numbers_go_on_after_a_gap(tmp_path: Path) -> None:
    """A number that was given out never comes back, even where a file was lost."""
    for _ in range(3):
        storage.new_attempt(tmp_path, {})
    (tmp_path / "attempts" / "000002.json").unlink()
    assert storage.new_attempt(tmp_path, {}) == 4


def test_a_record_goes_into_the_folder_of_its_trunk(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"is of trunk trunk-1, but the folder given is .*give the trunk's"):
        storage.commit_record(tmp_path / RUN, a_record())


def test_a_damaged_record_is_set_aside_and_made_again(tmp_path: Path) -> None:
    folder = tmp_path / TRUNK
    storage.write_json(tmp_path / "plan.json", {"study": "tiny", "runs": []})
    number = storage.new_attempt(folder, {})
    for damage, why in [(b"{", "not JSON"), (None, "says it is run other")]:
        path = storage.make_folder(folder / RUN) / "record.json"
        path.write_bytes(damage or storage.attempts.encode_record(a_record(run_id="other")))
        assert storage.load_record(folder, RUN) is None
        assert storage.commit_record(folder, a_record(attempts=number)) is True
        path.unlink()
        reasons = [p.read_text() for p in (folder / RUN / "quarantine").glob("*.reason")]
        assert any(why in reason for reason in reasons)
    assert sorted(read_study(tmp_path).quarantined) == [
        f"{TRUNK}/{RUN}/quarantine/record.2.json",
        f"{TRUNK}/{RUN}/quarantine/record.json",
    ]


def test_a_failure_is_noted_for_the_study_to_read(tmp_path: Path) -> None:
    storage.write_json(tmp_path / "plan.json", {"study": "s", "runs": [{"run_id": RUN, "trunk_id": TRUNK}]})
    assert storage.record_failure(tmp_path / TRUNK, 3, "oom", "x" * 50_000 + "\ud800 the end")
    failure = read_study(tmp_path).failures[TRUNK]
    assert (failure.attempt, failure.kind) == (3, "oom")
    assert failure.message.endswith("the end")
    assert len(failure.message) == attempts.LONGEST_MESSAGE


def test_a_failure_that_cannot_be_noted_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "failures").touch()
    assert storage.record_failure(tmp_path, 3, "enospc", "disk full") is False
    assert "attempt 3 failed (enospc), and that could not be noted" in caplog.text


# Locks.


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


# Metrics.


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


# Checkpoints.


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
