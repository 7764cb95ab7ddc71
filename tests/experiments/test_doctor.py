"""`scaling doctor` says what there is, and what to do about the rest; it opens no connection."""

from __future__ import annotations

import json
import os
import socket
from importlib import metadata
from pathlib import Path

import pytest

from experiments.cli import main, project
from experiments.commands import doctor
from experiments.commands.doctor import installed


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(os, "getloadavg", lambda: (0.5, 0.5, 0.5))


def examine(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, dict[str, str]]]:
    code = main(["doctor", "--json", *words])
    return code, {one["name"]: one for one in json.loads(capsys.readouterr().out)["findings"]}


def test_everything_is_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    folders = [f"--cache={tmp_path}/cache", f"--runs={tmp_path}/runs"]
    _, found = examine(capsys, *folders)
    extras = {f"[{extra}]" for extra in project()["optional-dependencies"] if extra != "dev"}
    looked_at = {"version", "device", "threads", "precision", "compiler", "cache", "runs", "W&B"}
    assert set(found) == looked_at | extras
    assert "torch" in found["[train]"]["says"]
    assert "WANDB_MODE=offline" in found["W&B"]["says"]
    assert not list(tmp_path.iterdir())
    main(["doctor", *folders])
    said = capsys.readouterr().out
    assert "precision" in said
    for one in found.values():
        assert one["says"] in said
        assert one["state"] == "ok" or f"→ {one['todo']}" in said


def test_what_is_wrong_is_said_with_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr(os, "getloadavg", lambda: (100.0, 0.5, 0.5))
    code, found = examine(capsys, f"--runs={tmp_path}/file", f"--cache={tmp_path}/file/deeper")
    assert code == 1
    for name in ("runs", "cache"):
        assert found[name]["state"] == "wrong"
        assert "cannot be written to" in found[name]["says"]
        assert f"{name}=FOLDER" in found[name]["todo"]
    assert "load 100.0" in found["threads"]["says"]
    assert found["threads"]["todo"]


def test_missing_and_old_packages_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = metadata.version

    def version(name: str) -> str:
        if name == "submitit":
            raise metadata.PackageNotFoundError(name)
        return "0.1" if name == "pyarrow" else real(name)

    monkeypatch.setattr(metadata, "version", version)
    (slurm,) = installed()["slurm"]
    assert (slurm.says, slurm.state) == ("not installed: submitit", "note")
    assert slurm.todo == "pip install 'scaling-harness[slurm]'"
    (parquet,) = installed()["parquet"]
    assert "pyarrow 0.1, needs >=15" in parquet.says
    assert parquet.state == "wrong"


def test_an_installed_package_knows_its_extras_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> dict[str, object]:
        raise FileNotFoundError("pyproject.toml")

    monkeypatch.setattr(doctor, "project", gone)
    lines = ["numpy>=1", 'submitit>=1.5.4; extra == "slurm"', "pyarrow>=15; extra == 'parquet'"]
    monkeypatch.setattr(metadata, "requires", lambda name: lines)
    assert set(installed()) == {"slurm", "parquet"}
