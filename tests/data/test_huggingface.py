from __future__ import annotations

import sys
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from scaling.data.corpora import open_dataset
from scaling.data.dataset import Dataset
from scaling.data.options import DataOptions


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "set"
    folder.mkdir()
    for part in range(2):
        rows = {"body": [f"row {part} {i} of a set" for i in range(30)], "id": list(range(30))}
        pyarrow.parquet.write_table(pyarrow.table(rows), folder / f"train-{part:05d}-of-00002.parquet")
    return folder


def read(path: Path | str, tmp_path: Path, **options: object) -> Dataset:
    options = {"field": "body", "vocab": 256, "heldout_fraction": 0.2, **options}
    asked = DataOptions("huggingface", paths=(str(path),), **options)  # type: ignore[arg-type]
    return open_dataset(asked, tmp_path / "cache")


def test_a_local_folder_is_read(folder: Path, tmp_path: Path) -> None:
    data = read(folder, tmp_path)
    assert data.name == "huggingface"
    assert sum(data.facts["documents"].values()) == 60
    texts = {
        t for ids in (data.train, data.heldout) for t in bytes(ids.astype("u1")).decode().split("\0")[:-1]
    }
    assert texts == {f"row {part} {i} of a set" for part in range(2) for i in range(30)}


def test_a_saved_data_set_is_read(folder: Path, tmp_path: Path) -> None:
    import datasets

    rows = [f"row {part} {i} of a set" for part in range(2) for i in range(30)]
    datasets.Dataset.from_dict({"body": rows}).save_to_disk(tmp_path / "saved")
    assert read(tmp_path / "saved", tmp_path).fingerprint == read(folder, tmp_path).fingerprint


def test_a_changed_folder_is_read_again(folder: Path, tmp_path: Path) -> None:
    first = read(folder, tmp_path)
    (folder / "train-00001-of-00002.parquet").unlink()
    assert sum(read(folder, tmp_path).facts["documents"].values()) == 30
    assert sum(first.facts["documents"].values()) == 60


def test_a_missing_column_names_those_present(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"set, split 'train', row 0: no field 'text'; there are: body, id\."
    ):
        read(folder, tmp_path, field="text")


def test_a_missing_split_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"cannot open '.*set' as a local folder \(subset None, split 'valid'"
    ):
        read(folder, tmp_path, split="valid")


def test_a_hub_name_without_network_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cannot open 'nobody/nothing' as a hub name \(subset None, split"):
        read("nobody/nothing", tmp_path)


def test_one_name_is_needed(tmp_path: Path) -> None:
    match = r"needs paths with one hub name \(owner/name\) or local folder; got \[\]"
    with pytest.raises(ValueError, match=match):
        open_dataset(DataOptions("huggingface", 256), tmp_path)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no folder './gone'\. Current folder: "):
        read("./gone", tmp_path)


def test_a_missing_package_is_named(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ModuleNotFoundError, match=r"datasets: pip install 'scaling-harness\[huggingface\]'"):
        read(folder, tmp_path)
