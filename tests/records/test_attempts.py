"""Specs, attempts, failures and records: what a trunk's folder keeps of the tries to train it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from scaling.records import storage
from scaling.records.record import read_study
from scaling.records.storage import attempts
from tests.records.life import RUN, TRUNK, a_record


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


def test_a_failure_that_a_later_attempt_has_overtaken_is_history(tmp_path: Path) -> None:
    storage.write_json(tmp_path / "plan.json", {"study": "s", "runs": [{"run_id": RUN, "trunk_id": TRUNK}]})
    assert storage.record_failure(tmp_path / TRUNK, 0, "killed", "it could not be started")
    assert read_study(tmp_path).failures[TRUNK].attempt == 0
    assert storage.new_attempt(tmp_path / TRUNK, {}) == 1
    assert read_study(tmp_path).failures == {}
    assert storage.record_failure(tmp_path / TRUNK, 1, "oom", "why")
    assert read_study(tmp_path).failures[TRUNK].kind == "oom"


def test_a_failure_that_cannot_be_noted_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "failures").touch()
    assert storage.record_failure(tmp_path, 3, "enospc", "disk full") is False
    assert "attempt 3 failed (enospc), and that could not be noted" in caplog.text
