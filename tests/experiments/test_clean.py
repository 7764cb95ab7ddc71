"""`scaling clean` shows before it deletes, deletes what nobody comes back to, and follows no link."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from experiments.cli import main
from scaling.data.corpora import open_dataset
from scaling.data.options import DataOptions
from scaling.records.record import read_study
from scaling.records.storage import Lock
from tests.analysis.synthetic import write_study
from tests.data.conftest import write_documents


def checkpoint(folder: Path, step: int, whole: bool = True) -> Path:
    content = f"weights of step {step}".encode() * 100
    path = folder / "checkpoints" / f"step-{step:08d}-{hashlib.sha256(content).hexdigest()[:32]}.pt"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content if whole else content[:-1])
    return path


@pytest.fixture
def study(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "done"
    write_study(folder)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "lock"
    }


def first_trunk(study: Path) -> Path:
    return study / read_study(study).records[0].trunk_id


def test_old_checkpoints_go_and_the_newest_whole_one_stays(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trunk = first_trunk(study)
    run = study / trunk / read_study(study).records[0].run_id
    old = [checkpoint(trunk, 1), checkpoint(trunk, 2), checkpoint(run, 4)]
    kept = [checkpoint(trunk, 3), checkpoint(trunk, 9, whole=False), checkpoint(run, 5)]
    before = contents(study)
    assert main(["clean", str(study)]) == 0
    said = capsys.readouterr().out
    assert "deleting 3 files frees 5.1 kB" in said
    assert "nothing was deleted; add --yes to delete it" in said
    assert contents(study) == before
    assert main(["clean", str(study.parent), "--yes"]) == 0
    assert "deleted 3 files: 5.1 kB freed" in capsys.readouterr().out
    assert not any(path.exists() for path in old)
    assert all(path.exists() for path in kept)
    names = {str(path.relative_to(study)) for path in old}
    assert contents(study) == {name: data for name, data in before.items() if name not in names}
    assert main(["clean", str(study), "--yes"]) == 0
    assert "nothing to clean" in capsys.readouterr().out


def test_a_trunk_that_misses_a_run_keeps_all(study: Path) -> None:
    trunk = first_trunk(study)
    next(trunk.glob("*/record.json")).unlink()
    paths = [checkpoint(trunk, step) for step in (1, 2)]
    assert main(["clean", str(study), "--yes"]) == 0
    assert all(path.exists() for path in paths)


def test_a_trunk_in_use_is_left(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trunk = first_trunk(study)
    old, _ = (checkpoint(trunk, step) for step in (1, 2))
    with Lock(trunk / "lock"):
        assert main(["clean", str(study), "--yes"]) == 0
    assert "left, in use" in capsys.readouterr().out
    assert old.exists()


def test_no_link_is_followed(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    others = [checkpoint(outside, step) for step in (1, 2)]
    trunk, *more = sorted({study / record.trunk_id for record in read_study(study).records})
    (trunk / "checkpoints").symlink_to(outside / "checkpoints")
    (more[0] / "quarantine").symlink_to(outside)
    (more[1] / "checkpoints").mkdir()
    for path in others:
        (more[1] / "checkpoints" / path.name).symlink_to(path)
    (study.parent / "linked").symlink_to(study)
    assert main(["clean", str(study.parent), "--checkpoints", "--set-aside", "--yes"]) == 0
    said = capsys.readouterr().out
    assert "a link, not followed" in said
    assert "nothing to clean" in said
    assert all(path.exists() for path in others)


def test_what_was_set_aside_goes_by_choice_and_records_stay(study: Path) -> None:
    trunk = first_trunk(study)
    damaged = trunk / "quarantine" / "record.json"
    damaged.parent.mkdir()
    damaged.write_text("broken")
    damaged.with_name("record.json.reason").write_text("a bit")
    before = trunk / "superseded" / "000001"
    before.mkdir(parents=True)
    weights = checkpoint(before, 3)
    (before / "metrics.jsonl").write_text("{}\n")
    (before / "record.json").write_text("{}")
    assert main(["clean", str(study), "--yes"]) == 0
    assert damaged.exists()
    assert main(["clean", str(study), "--set-aside", "--yes"]) == 0
    assert not damaged.exists()
    assert not weights.exists()
    assert (before / "metrics.jsonl").exists()
    assert (before / "record.json").exists()


def test_a_shared_file_frees_nothing(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trunk = first_trunk(study)
    old, _ = (checkpoint(trunk, step) for step in (1, 2))
    os.link(old, tmp_path / "elsewhere")
    main(["clean", str(study)])
    assert "frees 0 B" in capsys.readouterr().out


def test_token_sets_that_nobody_needs_go(study: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    sets = []
    for seed in range(3):
        corpus = write_documents(tmp_path / f"corpus-{seed}", seed=seed)
        options = DataOptions("text", 256, (f"{corpus}/*.txt",), heldout_fraction=0.2)
        sets.append((open_dataset(options, cache).fingerprint, options))
    folders = sorted(cache.glob("text-*"))
    assert len(folders) == 3
    unfinished = cache / "text-256-0123456789abcdef"
    unfinished.mkdir()
    (unfinished / "train.bin").write_bytes(b"half")
    words = ["clean", str(study), f"--cache={cache}", "--yes"]
    assert main(words) == 0
    assert not (unfinished / "train.bin").exists()
    assert all((folder / "train.bin").exists() for folder in folders)
    for folder in folders[:2]:
        for path in folder.iterdir():
            os.utime(path, (0, 0))
    assert main(words) == 0
    assert [(folder / "train.bin").exists() for folder in folders] == [False, False, True]
    for fingerprint, options in sets:
        assert open_dataset(options, cache).fingerprint == fingerprint  # made again
