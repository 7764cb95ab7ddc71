"""Kill, tear, fill and break at every operation that changes the disk; lose power after each; then run again.

Each check returns what it found wrong, so that the same check also has to catch every mutant.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scaling.records.record import decode_record
from scaling.records.storage import checkpoints, files, load_checkpoint, metrics
from tests.records.disk import MODES, Disk, Killed, Platter
from tests.records.life import RUN, STEPS, TRUNK, leftovers, live, outcome


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The outcome of a life that nothing interrupts."""
    study = tmp_path_factory.mktemp("reference") / "study"
    live(study)
    return outcome(study)


def try_to_live(study: Path, disk: Disk) -> None:
    with disk.installed():
        try:
            live(study, disk.acknowledge)
        except (Killed, OSError):
            disk.log.append(("ack", "failed", None))


def recovers(study: Path, reference: dict[str, Any]) -> str | None:
    """What is wrong after running the same command once more; None where all is as if nothing had been."""
    try:
        with Disk().installed():
            live(study)
        found = outcome(study)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    differs = [key for key in reference if found[key] != reference[key]]
    return f"differs in {differs}" if differs else ", ".join(leftovers(study)) or None


def broken_promises(study: Path, log: list[tuple[Any, ...]]) -> str | None:
    """Which acknowledged thing is not on the disk."""
    trunk = study / TRUNK
    for kind, *rest in log:
        if kind != "ack":
            continue
        what, value = rest
        if what == "attempt":
            numbers = [int(path.stem) for path in trunk.glob("attempts/*.json")]
            if value not in numbers:
                return f"attempt {value} is gone"
        elif what == "checkpoint":
            found = load_checkpoint(trunk, lambda file: json.loads(file.read()))
            if found is None or found[0] < value:
                return f"checkpoint {value} is gone"
        elif what == "record":
            path = trunk / RUN / "record.json"
            if not path.is_file() or decode_record(path.read_bytes()).attempts != value:
                return f"the record of attempt {value} is gone"
    return None


def operations(folder: Path) -> Disk:
    """The log of a life that nothing interrupts."""
    disk = Disk()
    folder.mkdir(parents=True)
    try_to_live(folder / "study", disk)
    return disk


def crash_points(tmp: Path, reference: dict[str, Any], modes: tuple[str, ...] = MODES) -> Iterator[str]:
    for at in range(operations(tmp / "count").count):
        for mode in modes:
            home = tmp / f"{at}-{mode}"
            home.mkdir()
            disk = Disk(at=at, mode=mode)
            try_to_live(home / "study", disk)
            wrong = broken_promises(home / "study", disk.log) or recovers(home / "study", reference)
            if wrong:
                yield f"operation {at}, {mode}: {wrong}"
            shutil.rmtree(home)


def power_losses(tmp: Path, reference: dict[str, Any], states: int, **disk: Any) -> Iterator[str]:
    """Of a life, and of lives killed once and run again, at random instants with random unsynced remains."""
    rng = random.Random(20261122)
    clean = Disk(**disk)
    home = tmp / "clean"
    home.mkdir()
    try_to_live(home / "study", clean)
    lives = [(home, clean.log)]
    for at in range(0, clean.count, 4):
        home = tmp / f"killed-{at}"
        home.mkdir()
        killed = Disk(at=at, mode="after", **disk)
        for _ in range(2):  # the number of operations goes on: it is hit once
            try_to_live(home / "study", killed)
        lives.append((home, killed.log))
    for number in range(states):
        home, log = lives[0] if number % 2 else rng.choice(lives)
        log = log[: rng.randint(1, len(log))]
        after = tmp / f"after-{number}"
        after.mkdir()
        Platter(home, log).lose_power(after, rng)
        wrong = broken_promises(after / "study", log) or recovers(after / "study", reference)
        if wrong:
            yield f"state {number}, {len(log)} operations: {wrong}"
        shutil.rmtree(after)


def test_every_crash_point_recovers(tmp_path: Path, reference: dict[str, Any]) -> None:
    assert list(crash_points(tmp_path, reference)) == []


def test_every_power_loss_recovers_and_keeps_what_was_acknowledged(
    tmp_path: Path, reference: dict[str, Any]
) -> None:
    assert list(power_losses(tmp_path, reference, states=300)) == []


def test_a_life_has_enough_operations_to_be_worth_it(tmp_path: Path) -> None:
    disk = operations(tmp_path / "life")
    kinds = {kind for kind, *_ in disk.log}
    assert disk.count > 70
    assert kinds >= {"create", "write", "fsync", "syncdir", "replace", "link", "unlink", "mkdir", "truncate"}


# Mutants: what the tests above would have to notice.


def save_in_place(self: Any, path: Path) -> None:
    """`_Staged.replace` as `open(path, "wb").write(…)` does it."""
    fd = files.os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    files.write_all(fd, self.path.read_bytes())
    files.os.fsync(fd)
    files.os.close(fd)
    files.sync_folder(path.parent)


def test_an_in_place_save_is_noticed(
    tmp_path: Path, reference: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files._Staged, "replace", save_in_place)
    assert next(crash_points(tmp_path, reference, modes=("torn",)), None) is not None


def test_metrics_that_are_not_cut_back_are_noticed(
    tmp_path: Path, reference: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics.MetricsLog, "truncate", lambda self, offset: None)
    assert next(crash_points(tmp_path, reference, modes=("after",)), None) is not None


def test_temporary_files_left_behind_are_noticed(
    tmp_path: Path, reference: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.records.life.sweep_temps", lambda folder: 0)
    assert ".tmp-" in next(crash_points(tmp_path, reference, modes=("after",)))


def test_files_that_are_not_synced_are_noticed(tmp_path: Path, reference: dict[str, Any]) -> None:
    assert next(power_losses(tmp_path, reference, states=300, syncs_files=False), None) is not None


def test_folders_that_are_not_synced_are_noticed(
    tmp_path: Path, reference: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (files, metrics):
        monkeypatch.setattr(module, "sync_folder", lambda folder: None)
    assert next(power_losses(tmp_path, reference, states=300), None) is not None


def test_metrics_not_synced_before_a_checkpoint_are_noticed(
    tmp_path: Path, reference: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics.MetricsLog, "sync", lambda self: self._drain())
    assert next(power_losses(tmp_path, reference, states=300), None) is not None


def test_deleting_the_old_checkpoint_first_is_noticed(
    tmp_path: Path, reference: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = files._Staged.replace

    def delete_then_replace(self: Any, path: Path) -> None:
        for old in path.parent.glob("step-*") if path.suffix == ".pt" else ():
            checkpoints.os.unlink(old)
        replace(self, path)

    monkeypatch.setattr(files._Staged, "replace", delete_then_replace)
    assert next(crash_points(tmp_path, reference), None) is not None


def test_the_life_is_long_enough_to_delete_checkpoints(reference: dict[str, Any]) -> None:
    assert STEPS == 9
    assert [name[:13] for name in reference["checkpoints"]] == ["step-00000006", "step-00000009"]
