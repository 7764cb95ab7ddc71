"""Damage to checkpoints: never loaded, set aside, and the one before is taken."""

from __future__ import annotations

import io
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import pytest
import torch

from scaling.records.storage import checkpoints, load_checkpoint, save_checkpoint
from tests.records.disk import Disk

STATES = {1: {"w": torch.arange(500.0), "step": 1}, 2: {"w": torch.arange(500.0) / 7, "step": 2}}


def load(file: BinaryIO) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(file, weights_only=True)
    return state


def damages(data: bytes, rng: random.Random, flips: int, cuts: int, zeroed: int) -> list[bytes]:
    found = []
    for _ in range(flips):
        flipped = bytearray(data)
        flipped[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        found.append(bytes(flipped))
    found += [data[: rng.randrange(len(data))] for _ in range(cuts)]
    while len(found) < flips + cuts + zeroed:
        start = rng.randrange(len(data))
        zeros = data[:start] + bytes(min(512, len(data) - start)) + data[start + 512 :]
        if zeros != data:
            found.append(zeros)
    return found


def silently_loaded(folder: Path, flips: int, cuts: int, zeroed: int) -> int:
    """How many damaged checkpoints were taken for whole; each time the one before must be found instead."""
    save_checkpoint(folder, 1, lambda file: torch.save(STATES[1], file))
    path = save_checkpoint(folder, 2, lambda file: torch.save(STATES[2], file))
    whole = path.read_bytes()
    silent = 0
    for number, bad in enumerate(damages(whole, random.Random(8), flips, cuts, zeroed), start=1):
        path.write_bytes(bad)
        with Disk().installed():  # without fsync
            found = load_checkpoint(folder, lambda file: None)  # what torch notices does not count
        assert found is not None
        if found[0] != 1:
            silent += 1
            continue
        aside = folder / "quarantine"
        assert len(list(aside.iterdir())) == 2  # the file and the reason
        assert (aside / path.name).read_bytes() == bad, number
        for file in aside.iterdir():
            file.unlink()
    return silent


def test_no_damage_to_a_checkpoint_is_silent(tmp_path: Path) -> None:
    """A tenth of the battery here; `test_the_whole_battery_…` runs the rest."""
    assert silently_loaded(tmp_path, flips=200, cuts=50, zeroed=30) == 0


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.battery(8)
def test_the_whole_battery_of_damage_is_noticed(tmp_path: Path) -> None:
    assert silently_loaded(tmp_path, flips=2000, cuts=500, zeroed=300) == 0


def test_a_loader_that_does_not_verify_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def believe_the_name(file: Any, name: str) -> Any:
        return SimpleNamespace(hexdigest=lambda: Path(file.name).stem.split("-")[2])

    monkeypatch.setattr(checkpoints, "hashlib", SimpleNamespace(file_digest=believe_the_name))
    assert silently_loaded(tmp_path, flips=30, cuts=0, zeroed=0) > 20


def test_torch_alone_would_not_have_noticed() -> None:
    """Why the hash is there. If this ever fails, torch has begun to check."""
    file = io.BytesIO()
    torch.save(STATES[2], file)
    data = bytearray(file.getvalue())
    data[data.index(STATES[2]["w"].numpy().tobytes()) + 100] ^= 1  # type: ignore[attr-defined]
    assert not torch.equal(load(io.BytesIO(data))["w"], STATES[2]["w"])  # type: ignore[arg-type]


def test_every_checkpoint_damaged_is_none_left(tmp_path: Path) -> None:
    for step in (1, 2):
        save_checkpoint(tmp_path, step, lambda file: file.write(b"x")).write_bytes(b"y")
    assert load_checkpoint(tmp_path, lambda file: file.read()) is None
    assert len(list((tmp_path / "quarantine").glob("*.pt"))) == 2


def test_a_checkpoint_damaged_twice_keeps_both(tmp_path: Path) -> None:
    for content in (b"y", b"z"):
        save_checkpoint(tmp_path, 1, lambda file: file.write(b"x")).write_bytes(content)
        assert load_checkpoint(tmp_path, lambda file: file.read()) is None
    found = sorted((tmp_path / "quarantine").glob("*.pt"))
    assert sorted(path.read_bytes() for path in found) == [b"y", b"z"]
