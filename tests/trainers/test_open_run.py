"""Records from any program: sealed, resumed, written once; and read by every command as ours are."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import scaling
from analysis import load_runs
from analysis.table.curves import load_curves
from experiments.cli import main
from scaling.records.record import read_study
from scaling.records.storage import LockedError
from scaling.trainers.open_run import OpenRun

ROOT = Path(__file__).parents[2]


def law(params: float, tokens: float) -> float:
    return 1.7 + 400 * params**-0.34 + 900 * tokens**-0.33


def train(folder: Path, params: float, tokens: float, **settings: Any) -> OpenRun:
    with scaling.open_run(folder, arm="mamba", params=params, tokens=tokens, **settings) as run:
        for tenth in range(1, 11):
            run.log(tokens=tokens * tenth / 10, train_loss=law(params, tokens * tenth / 10))
        run.finish(loss=law(params, tokens), loss_se=0.004)
    return run


def finish(folder: Path, seen: int, *, budget: int | None = None, seed: int = 0, **given: Any) -> None:
    with scaling.open_run(folder, arm="a", params=10, seed=seed, tokens=budget) as run:
        run.log(tokens=seen)
        run.finish(**given)


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two arms by a setting of their own, four sizes, three budgets."""
    folder = tmp_path_factory.mktemp("runs") / "mine"
    for optimizer in ("adamw", "muon"):
        for params in (1e5, 2e5, 4e5, 8e5):
            for tokens in (1e6, 2e6, 4e6):
                train(
                    folder, params, tokens, optimizer=optimizer, learning_rate=1e-2 if params < 3e5 else 1e-3
                )
    return folder


def test_a_table_of_records_has_two_arms_by_a_setting(mine: Path) -> None:
    table = load_runs(mine)
    assert len(table) == 24
    assert set(table["optimizer"]) == {"adamw", "muon"}
    assert set(table["flops"]) == {6 * n * d for n in (1e5, 2e5, 4e5, 8e5) for d in (1e6, 2e6, 4e6)}
    curves = load_curves(mine)
    assert not curves.notes
    assert len(curves.rows) == 24 * 11


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["status", "{}"], "24 done, 0 diverged, 0 failed, 0 missing of 24 planned"),
        (["fit", "{}", "--resamples", "20"], "2 arms by optimizer"),
        (["forecast", "{}", "--compute", "1e13", "--resamples", "20"], "mamba"),
        (["evaluate", "{}", "--tasks", "recall"], "trained by another program"),
    ],
)
def test_every_command_reads_it(
    mine: Path, command: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main([word.format(mine) for word in command])
    assert said in "".join(capsys.readouterr())


@pytest.mark.slow
def test_a_report_is_made_of_it(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(mine)]) == 0
    assert (mine / "report" / "index.html").exists()


PROGRAM = """
import sys, time
sys.modules.update(dict.fromkeys(("torch", "hydra", "omegaconf", "wandb", "pandas")))  # none of them is there
import json, pathlib, scaling
with scaling.open_run(sys.argv[1], arm="mamba", params=1.2e6, seed=int(sys.argv[2])) as run:
    if run.done:
        sys.exit(7)
    saved = run.folder / "own.json"
    step = json.loads(saved.read_text())["step"] if saved.exists() else 0
    print(step, flush=True)
    while step < 20:
        step += 1
        run.log(tokens=step * 512, step=step, train_loss=5 - step / 10)
        if step % 5 == 0:
            run.sync()
            saved.write_text(json.dumps({"step": step}))
        time.sleep(float(sys.argv[3]))
    run.finish(loss=3.0, loss_se=0.004)
"""


def start(folder: Path, seed: int = 0, pause: float = 0.0) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", PROGRAM, str(folder), str(seed), str(pause)]
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_killed_program_goes_on_in_its_run(tmp_path: Path) -> None:
    """No line of its curve is there twice, none is lost, and a third start is told that it is done."""
    first = start(tmp_path / "mine", pause=0.02)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("mine/*/own.json")) and time.monotonic() < deadline:
        time.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert first.returncode == -signal.SIGKILL
    (folder,) = tmp_path.glob("mine/*/metrics.jsonl")
    with folder.open("ab") as file:
        file.write(b'{"tokens":10')  # half a line
    second = start(tmp_path / "mine")
    out, error = second.communicate(timeout=60)
    assert (second.returncode, error) == (0, "")
    assert int(out.split()[0]) >= 5
    third = start(tmp_path / "mine")
    third.communicate(timeout=60)
    assert third.returncode == 7
    study = read_study(tmp_path / "mine")
    (record,) = study.done
    assert (record.loss, record.tokens, record.steps, record.attempts) == (3.0, 20 * 512, 20, 2)
    rows = [json.loads(line) for line in folder.read_bytes().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, 21))


def test_of_processes_that_race_one_leaves_a_record(tmp_path: Path) -> None:
    racers = [start(tmp_path / "mine", pause=0.01) for _ in range(4)]
    ends = [(racer.communicate(timeout=60)[1], racer.returncode) for racer in racers]
    assert sum(code == 0 for _, code in ends) == 1
    assert all(code in (0, 7) or "LockedError" in error for error, code in ends)
    assert len(read_study(tmp_path / "mine").done) == 1


def test_an_exception_leaves_a_note_and_no_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match="out of memory"), scaling.open_run(tmp_path, arm="a", params=10):
        raise RuntimeError("out of memory")
    with scaling.open_run(tmp_path, arm="a", params=20):
        pass
    study = read_study(tmp_path)
    assert not study.records
    assert sorted(failure.kind for failure in study.failures.values()) == ["exception", "unfinished"]
    main(["status", str(tmp_path)])
    out = capsys.readouterr().out
    assert "0 done, 0 diverged, 2 failed, 0 missing of 2 planned" in out
    assert "RuntimeError: out of memory" in out


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), np.float32("nan")])
def test_a_loss_that_is_no_number_is_a_diverged_run(tmp_path: Path, loss: Any) -> None:
    with scaling.open_run(tmp_path, arm="a", params=10) as run:
        run.log(tokens=100, train_loss=float("nan"))
        run.finish(loss=loss)
    (record,) = read_study(tmp_path).diverged
    assert record.loss is None
    assert record.reason == f"held-out loss is {float(loss)}"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"loss": -1.0}, "loss: -1.0 is negative"),
        ({"loss": "3.2"}, "loss: a number is needed; got '3.2'"),
        ({"loss": None}, "loss: a number is needed"),
        ({"loss": True}, "loss: a number is needed"),
        ({"loss": np.ones(2)}, "loss: one number is needed"),
        ({"loss": 3.0, "loss_se": -0.1}, "loss_se: zero or more"),
        ({"loss": 3.0, "loss_se": float("nan")}, "loss_se: zero or more"),
        ({"loss": 3.0, "tokens": 0}, "tokens: a whole number of at least 1"),
    ],
)
def test_a_result_that_is_none_is_refused(tmp_path: Path, given: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        finish(tmp_path, 100, **given)
    assert not read_study(tmp_path).records


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"params": 0}, "params: a whole number of at least 1"),
        ({"params": 1.5}, "params: a whole number"),
        ({"params": "7B"}, "params: a number is needed"),
        ({"arm": " "}, "arm: a name is needed"),
        ({"seed": -1}, "seed: a whole number of at least 0"),
        ({"tokens": float("nan")}, "tokens: a whole number"),
        ({"loss": 3.0}, r"loss: not a setting; give it to run.finish\(loss=…\)"),
        ({"family": "gpt"}, "family: not a setting; give arm=…"),
        ({"run_id": "x"}, "run_id: not a setting"),
        ({"betas": (0.9, 0.95)}, "betas: a number is needed"),
        ({"clip": float("inf")}, "clip: a finite number"),
        ({"learning_rate": -1}, "learning_rate: a positive, finite number"),
    ],
)
def test_what_a_record_cannot_hold_is_refused_before_it_is_opened(
    tmp_path: Path, given: dict[str, Any], message: str
) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        scaling.open_run(tmp_path / "mine", **{"arm": "a", "params": 10, **given})
    assert not (tmp_path / "mine").exists()


def test_a_record_is_never_overwritten(tmp_path: Path) -> None:
    """A second run of the same words is told that it is done; another result or budget is refused."""
    for _ in range(2):
        with scaling.open_run(tmp_path, arm="a", params=10, seed=1) as run:
            run.log(tokens=100)
            run.finish(loss=3.0)
    assert run.done
    with pytest.raises(ValueError, match=r"has a record already: loss 3.0 .* now loss 2.9"):
        finish(tmp_path, 100, seed=1, loss=2.9)
    with pytest.raises(ValueError, match=r"is another run: give open_run tokens=BUDGET"):
        finish(tmp_path, 101, seed=1, loss=3.0)
    with scaling.open_run(tmp_path, arm="a", params=10, seed=1, tokens=200) as run:
        assert not run.done
        run.log(tokens=200)
        run.finish(loss=2.9)
    assert sorted(r.loss or 0 for r in read_study(tmp_path).done) == [2.9, 3.0]


def test_a_run_that_ends_far_from_its_budget_is_refused_unless_meant(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="500 were logged of a budget of 1,000"):
        finish(tmp_path, 500, budget=1000, loss=3.0)
    with scaling.open_run(tmp_path, arm="a", params=10, tokens=1000) as run:
        assert run.tokens == 500
        assert run.finish(loss=3.0, tokens=500).tokens == 500


def test_branches_share_a_trunk(tmp_path: Path) -> None:
    with scaling.open_run(tmp_path, arm="a", params=10) as run:
        for tokens in (100, 200, 400):
            run.log(tokens=tokens, train_loss=4.0)
            if tokens < 400:
                run.branch(tokens=tokens + 20, loss=3.5 - tokens / 1000)
        run.finish(loss=3.0)
    records = read_study(tmp_path).done
    assert sorted(record.tokens for record in records) == [120, 220, 400]
    assert len({record.trunk_id for record in records}) == 1
    assert not read_study(tmp_path).missing


def test_tokens_go_forward_and_a_run_is_opened_once(tmp_path: Path) -> None:
    with scaling.open_run(tmp_path, arm="a", params=10) as run:
        run.log(tokens=200)
        with pytest.raises(ValueError, match="tokens: 100 after 200"):
            run.log(tokens=100)
        with pytest.raises(ValueError, match="train_loss: -1 is negative"):
            run.log(tokens=300, train_loss=-1)
        with pytest.raises(LockedError), scaling.open_run(tmp_path, arm="a", params=10):
            pass
        run.finish(loss=3.0)
    with pytest.raises(ValueError, match=r"is not open: with scaling\.open_run"):
        scaling.open_run(tmp_path, arm="b", params=10).log(tokens=1)


def test_a_name_leads_nowhere_else(tmp_path: Path) -> None:
    for arm in ("../../x", "ключ", "a/b", "a b"):
        with scaling.open_run(tmp_path / "runs", arm=arm, params=10) as run:
            run.finish(loss=3.0, tokens=10)
    assert os.listdir(tmp_path) == ["runs"]
    assert {record.family for record in read_study(tmp_path / "runs").done} == {
        "../../x",
        "ключ",
        "a/b",
        "a b",
    }


def test_import_is_instant() -> None:
    code = "import sys, scaling; scaling.open_run; print(*sys.modules)"
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout
    assert not {"torch", "hydra", "wandb", "numpy", "pandas"} & set(out.split())
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        _ = scaling.nope
