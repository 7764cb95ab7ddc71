"""A study where people look at it: W&B by their environment, TensorBoard, and a plain table."""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from analysis.table import load_runs
from experiments.cli import main
from scaling.launch.described import describe_all
from scaling.records.record import read_study
from scaling.records.tracking import sync_command, waiting_runs
from scaling.study.plan import plan_study
from tests.records.standin_wandb import standin_wandb

ROOT = Path(__file__).parents[2]
TWICE = """
import sys
from experiments.cli import main
words = sys.argv[1:]
sys.exit(main(["run", *words]) or main(["run", *words, "budget.tokens=[2e3,5e3,1.2e4]"]))
"""


@pytest.mark.slow
def test_a_resumed_study_syncs_as_one_and_comes_back_as_a_table(
    tiny_study: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the command that the study has printed, into the project, entity and group of the environment."""
    words = [*tiny_study, "tracking=auto", "reuse=false", "model.params=5e3"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    named = {"WANDB_PROJECT": "laws", "WANDB_ENTITY": "team", "WANDB_RUN_GROUP": "mine", "WANDB_TAGS": "a,b"}
    with standin_wandb() as server:
        key = {"WANDB_API_KEY": "local-" + "k" * 40, "WANDB_BASE_URL": server.address}
        here = {**kept, **key, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", TWICE, *words],
            cwd=tmp_path,
            env={**here, **named, "WANDB_MODE": "dryrun"},
            text=True,
            capture_output=True,
            timeout=100,
        )
        assert done.returncode == 0, done.stderr
        assert server.runs == {}
        study = read_study(tmp_path / "runs" / "tiny")
        assert waiting_runs(study.folder) == 4  # a trunk and three runs
        line = next(text for text in done.stdout.splitlines()[::-1] if text.startswith("W&B: "))
        assert line.startswith("W&B: 4 runs wait: wandb sync ")
        command = line.partition(" wait: ")[2]
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = {**here, "PATH": path}
        subprocess.run(command, shell=True, check=True, capture_output=True, timeout=60, env=environment)
        assert waiting_runs(study.folder) == 0
        assert set(server.runs) == {r.run_id for r in study.done} | {r.trunk_id for r in study.done}
        for name, run in server.runs.items():
            assert (run.project, run.entity, run.group) == ("laws", "team", "mine")
            assert {"a", "b", "decoder", "text"} == set(run.tags)
            tokens = [row["train/tokens"] for row in run.rows if "train/loss" in row]
            assert tokens == sorted(set(tokens)), f"{name}: no part twice, none out of order"
            assert run.state == "finished"
            evaluated = [row for row in run.rows if "eval/loss" in row]
            assert all({"train/tokens", "train/flops"} <= row.keys() for row in evaluated)
            assert evaluated
        (trunk,) = (run for run in server.runs.values() if run.job_type == "trunk")
        assert max(row["train/tokens"] for row in trunk.rows) > 5000  # both commands' part
        assert len(trunk.rows) >= 50
        first = study.done[0]
        one = server.runs[first.run_id].settings()
        assert one.keys() == trunk.settings().keys()
        expected = {"params": first.params, "tokens": first.tokens, "precision": "float32", "beta2": 0.95}
        assert one.items() >= expected.items()
        for name, value in key.items():
            monkeypatch.setenv(name, value)
        table = load_runs("wandb://team/laws")
    assert dict(zip(table["run_id"], table["loss"], strict=True)) == {r.run_id: r.loss for r in study.done}
    assert "trunks are left out: their loss is that before a cooldown" in table.notes


def test_trunks_and_runs_have_one_flat_config(tiny_study: list[str]) -> None:
    plan = plan_study(tiny_study)
    found = describe_all(plan.trunks)
    assert len(found) == 6
    assert len({tuple(sorted(about.config)) for about in found.values()}) == 1
    json.dumps([dict(about.config) for about in found.values()], allow_nan=False)
    trunk = plan.trunks[0]
    assert found[trunk.spec.id].config["params"] == trunk.params
    assert found[trunk.spec.id].steps == trunk.last_step
    assert not any(isinstance(value, dict) for about in found.values() for value in about.config.values())


class FakeWriter:
    """What is used of SummaryWriter."""

    made: dict[str, FakeWriter]
    broken = False

    def __init__(self, folder: str, purge_step: int, max_queue: int) -> None:
        self.points: list[tuple[str, float, int]] = []
        self.hparams: tuple[dict[str, Any], dict[str, float]] | None = None
        self.purge_step, self.closed = purge_step, False
        self.made[Path(folder).name] = self

    def add_scalar(self, name: str, value: float, step: int) -> None:
        if self.broken:
            raise OSError(28, "No space left on device")
        self.points.append((name, value, step))

    def add_hparams(self, settings: dict[str, Any], measured: dict[str, float], run_name: str) -> None:
        self.hparams = (settings, measured)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def writers(monkeypatch: pytest.MonkeyPatch) -> dict[str, FakeWriter]:
    made: dict[str, FakeWriter] = {}
    monkeypatch.setattr(FakeWriter, "made", made, raising=False)
    module = types.SimpleNamespace(SummaryWriter=FakeWriter)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    return made


def test_tensorboard_has_every_run(
    tiny_study: list[str], tmp_path: Path, writers: dict[str, FakeWriter], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *tiny_study, "model.params=5e3", "tracking=tensorboard"]) == 0
    study = tmp_path / "runs" / "tiny"
    assert f"watch it: tensorboard --logdir {study / 'tensorboard'}" in capsys.readouterr().out
    done = read_study(study).done
    assert set(writers) == {r.run_id for r in done} | {r.trunk_id for r in done}
    for record in done:
        writer = writers[record.run_id]
        assert writer.closed
        assert ("eval/loss", record.loss, record.tokens) in writer.points
        assert writer.hparams is not None
        assert writer.hparams[0]["params"] == record.params
        assert writer.hparams[1] == {"eval/loss": record.loss}
    assert len({step for _, _, step in writers[done[0].trunk_id].points}) >= 20


def test_a_full_disk_under_tensorboard_stops_nothing(
    tiny_study: list[str],
    tmp_path: Path,
    writers: dict[str, FakeWriter],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(FakeWriter, "broken", True)
    assert main(["run", *tiny_study, "model.params=5e3", "tracking=tensorboard"]) == 0
    assert len(read_study(tmp_path / "runs" / "tiny").done) == 2
    assert caplog.text.count("TensorBoard: nothing more is written") == 1


def test_tensorboard_that_is_missing_is_said_before_training(
    tiny_study: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert main(["run", *tiny_study, "tracking=tensorboard"]) == 2
    assert "pip install 'scaling-harness[tensorboard]'" in capsys.readouterr().err


def test_every_logged_row_goes_into_one_table(
    tiny_study: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *tiny_study, "model.params=5e3"]) == 0
    out, study = tmp_path / "metrics.csv", tmp_path / "runs" / "tiny"
    assert "FLOP, about " in capsys.readouterr().out.splitlines()[0]  # the plan, before anything trains
    assert main(["export", str(study), "--to", str(out)]) == 0
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert f"{out}: {len(rows)} rows" in capsys.readouterr().out
    done = read_study(study).done
    logged = sum(len(path.read_bytes().splitlines()) for path in study.rglob("metrics.jsonl"))
    assert len(rows) == logged + len(done)
    final = {row["run_id"]: row for row in rows if row["kind"] == "run" and row["loss"]}
    assert {run_id: float(row["loss"]) for run_id, row in final.items()} == {r.run_id: r.loss for r in done}
    assert {row["trunk_id"] for row in rows} == {done[0].trunk_id}
    assert main(["export", str(study), "--to", str(out)]) == 2
    assert "already there. Give another --to, or --overwrite" in capsys.readouterr().err
    assert main(["export", str(study), "--to", str(out), "--overwrite"]) == 0
    assert main(["export", str(study), "--to", str(tmp_path / "model")]) == 2
    assert "--to metrics.csv" in capsys.readouterr().err
    assert main(["export", str(tmp_path / "nothing"), "--to", str(tmp_path / "m.csv")]) == 2


def test_the_commands_of_the_page_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "wandb.md").read_text()
    blocks = re.findall(r"^```bash\n(.*?)^```", page, re.M | re.S)
    commands = [shlex.split(line, comments=True) for block in blocks for line in block.splitlines()]
    runs = [words[2:] for words in commands if words[:2] == ["scaling", "run"]]
    assert runs
    for words in runs:
        assert main(["run", *words, "--cfg", "job", "-p", "tracking"]) == 0
    others = [words for words in commands if words[:2] != ["scaling", "run"]]
    assert sync_command("runs/smoke") in {" ".join(words) for words in others}
    assert all(words[0] in ("wandb", "tensorboard", "scaling") for words in others)
