"""Power loss and crash points of the real trainer; every operation of a miniature is in tests/records.

`Disk` stands in for the operating system under the storage, as there, and `Platter` replays what it logged
without what was not synced.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scaling.data.corpora import open_dataset
from scaling.data.dataset import Dataset
from scaling.launch.job import TrunkJob
from scaling.records.record import decode_record
from scaling.records.storage import files, load_checkpoint, metrics
from scaling.study.spec import Trunk
from scaling.training import segment, train
from tests.chaos.outcome import differences, leftovers, outcome
from tests.chaos.table import Tally, scaled
from tests.records.disk import MODES, Disk, Killed, Platter

pytestmark = pytest.mark.chaos


class Bench:
    """A short trunk with two cooldowns, and a checkpoint a step."""

    def __init__(self, task: TrunkJob, tmp: Path) -> None:
        one, two = task.trunk.runs
        short = (replace(one, steps=5, cooldown_steps=2), replace(two, steps=8, cooldown_steps=2))
        self.trunk: Trunk = replace(task.trunk, runs=short, curve_steps=(4,))
        self.dataset: Dataset = open_dataset(task.trunk.spec.data, task.cache)
        self.task = replace(task, trunk=self.trunk)
        self.tmp = tmp
        self.train(self.folder("untouched"))
        self.untouched = outcome(replace(self.task, folder=tmp / "untouched" / "study"))

    def folder(self, name: str) -> Path:
        (self.tmp / name).mkdir()
        return self.tmp / name

    def train(self, home: Path, disk: Disk | None = None) -> None:
        """Train in `home`; ends as the process would that the disk let down."""
        disk = disk or Disk()
        save, commit = segment.save_checkpoint, train.commit_record

        def saving(folder: Path, step: int, *rest: Any) -> Path:
            path = save(folder, step, *rest)
            disk.acknowledge("checkpoint", (folder.relative_to(home), step))
            return path

        def committing(folder: Path, record: Any) -> bool:
            made = commit(folder, record)
            disk.acknowledge("record", folder.relative_to(home) / record.run_id / "record.json")
            return made

        with disk.installed(), pytest.MonkeyPatch.context() as patch:
            patch.setattr(files, "CHUNK", 1 << 14)
            patch.setattr(segment, "CHECKPOINT_SECONDS", -1.0)
            patch.setattr(segment, "save_checkpoint", saving)
            patch.setattr(train, "commit_record", committing)
            try:
                train.train_trunk(self.trunk, self.dataset, home / "study", study="chaos", threads=1)
            except Killed:
                disk.acknowledge("killed", None)
            except OSError:
                if disk.at is None:
                    raise

    def wrong(self, home: Path, log: list[tuple[Any, ...]]) -> str | None:
        """What was acknowledged and is gone, or differs after the same command; None where all is well."""
        for kind, *rest in log:
            if kind == "ack" and (said := _broken(home, *rest)):
                return said
        try:
            self.train(home)
            found = outcome(replace(self.task, folder=home / "study"))
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return differences(found, self.untouched) or leftovers(home)

    def power_losses(self, states: int, **mutant: Any) -> Iterator[str | None]:
        """Of an untouched life, and of one that was killed in the middle and run again."""
        rng = random.Random(20261122)
        lives = []
        for name, at in (("clean", None), ("killed", 100), ("killed-later", 200)):
            home, disk = self.folder(name), Disk(at=at, mode="after", **mutant)
            for _ in range(1 if at is None else 2):
                self.train(home, disk)
            lives.append((home, disk.log))
        for number in range(states):
            home, log = rng.choice(lives)
            log = log[: rng.randint(1, len(log))]
            after = self.folder(f"after-{number}")
            Platter(home, log).lose_power(after, rng)
            yield self.wrong(after, log)
            shutil.rmtree(after)


def _broken(home: Path, what: str, value: Any) -> str | None:
    if what == "checkpoint":
        folder, step = value
        found = load_checkpoint(home / folder, lambda file: None)
        return None if found and found[0] >= step else f"checkpoint {step} of {folder} is gone"
    if what == "record":
        path = home / value
        if not path.is_file():
            return f"{value} is gone"
        decode_record(path.read_bytes())
    return None


@pytest.fixture
def bench(tasks: list[TrunkJob], tmp_path: Path) -> Bench:
    return Bench(tasks[0], tmp_path)


@pytest.mark.battery(2)
def test_the_trainer_recovers_from_crash_points(bench: Bench, tally: Tally) -> None:
    """One operation in three, each in a mode of its own."""
    count = Disk()
    bench.train(bench.folder("count"), count)
    points = random.Random(2).sample(range(count.count), scaled(count.count // 3))
    for number, at in enumerate(points):
        home, disk = bench.folder(f"point-{at}"), Disk(at=at, mode=MODES[number % len(MODES)])
        bench.train(home, disk)
        wrong = bench.wrong(home, disk.log)
        tally.case(wrong and f"operation {at}, {disk.mode}: {wrong}")
        shutil.rmtree(home)
    tally.facts["operations"] = count.count
    assert not tally.failures


@pytest.mark.battery(3)
def test_the_trainer_survives_power_loss(bench: Bench, tally: Tally) -> None:
    for number, wrong in enumerate(bench.power_losses(scaled(300))):
        tally.case(wrong and f"state {number}: {wrong}")
    assert not tally.failures


@pytest.mark.battery(4)
@pytest.mark.parametrize("mutant", ["files not synced", "folders not synced", "metrics not synced"])
def test_power_loss_finds_every_mutant(
    mutant: str, bench: Bench, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    if mutant == "folders not synced":
        for module in (files, metrics):
            monkeypatch.setattr(module, "sync_folder", lambda folder: None)
    if mutant == "metrics not synced":
        monkeypatch.setattr(metrics.MetricsLog, "sync", lambda self: self._drain() or self._written)
    states = bench.power_losses(100, syncs_files=mutant != "files not synced")
    tally.case(None if next(filter(None, states), None) else f"{mutant}: escaped")
    assert not tally.failures
