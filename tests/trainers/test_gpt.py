"""A training script in the single-file style, as a black box: killed, it goes on, bit for bit."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments.cli import main
from scaling.records.record import read_study

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("gpt.py")


def asked(tmp_path: Path, name: str, *more: str) -> list[str]:
    command = (
        f"{sys.executable} {SCRIPT} --n_layer={{depth}} --n_embd={{width}} --n_head={{heads}} "
        "--learning_rate={learning_rate} --max_iters={steps} --batch_size={sequences} "
        "--block_size={context} --out_dir={folder} --seed={seed}"
    )
    return [
        *(f"name={name}", f"runs={tmp_path}/runs", f"cache={tmp_path}/cache", "tracking=off", "workers=2"),
        *("trainer=command", f"trainer.command={command}", "trainer.formulas.heads=width/16"),
        *("trainer.params=12*depth*width**2", "trainer.fields.loss=val_loss", "data.context=32"),
        *("training.learning_rate=1e-2", "training.sequences=8", "training.threads=1", "model.depth=2"),
        *more,
    ]


def start(words: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "experiments.cli", "run", *words],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def losses(tmp_path: Path, name: str) -> dict[str, float | None]:
    return {record.run_id: record.loss for record in read_study(tmp_path / "runs" / name).records}


def commands_of(folder: Path) -> list[int]:
    """The processes whose command line names the folder of a study: the scripts and their guards."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                line = Path(f"/proc/{entry}/cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if f"--out_dir={folder}/" in line:
                found.append(int(entry))
    return found


@pytest.mark.slow
def test_a_script_is_killed_and_goes_on(tmp_path: Path) -> None:
    words = [*asked(tmp_path, "killed", "model.width=32", "budget.tokens=[10240]"), "workers=1"]  # 40 steps
    harness = start(words)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("runs/killed/*/command/out/ckpt.pt")) and time.monotonic() < deadline:
        time.sleep(0.005)
    harness.kill()
    harness.wait()
    killed = not read_study(tmp_path / "runs" / "killed").records
    assert main(["run", *words]) == 0
    (log,) = tmp_path.glob("runs/killed/*/command/log.txt")
    assert ("resuming from" in log.read_text()) == killed
    (record,) = read_study(tmp_path / "runs" / "killed").done
    assert record.params == 12 * 2 * 32**2
    by_hand = ["--n_layer=2", "--n_embd=32", "--n_head=2", "--learning_rate=0.01", "--max_iters=40"]
    subprocess.run(
        [sys.executable, str(SCRIPT), *by_hand, f"--out_dir={tmp_path}/by_hand"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    assert record.loss == json.loads((tmp_path / "by_hand" / "result.json").read_text())["val_loss"]


@pytest.mark.chaos
@pytest.mark.battery(1)
def test_forty_kills_lose_and_double_no_result(tmp_path: Path) -> None:
    """Of the harness, of the script, or of the guard between them, at random instants."""
    words = ["model.width=16,32", "budget.tokens=[20480,40960]", "seed=0,1"]  # 8 runs of 80 and 160 steps
    assert start(asked(tmp_path, "whole", *words)).wait(600) == 0
    whole = losses(tmp_path, "whole")
    assert len(whole) == 8
    folder, draw, kills = tmp_path / "runs" / "killed", random.Random(0), 0
    harness = start(asked(tmp_path, "killed", *words))
    begin = time.monotonic()
    while kills < 40 and time.monotonic() - begin < 1200:
        time.sleep(draw.uniform(0.5, 4.0))
        if harness.poll() is not None:
            harness = start(asked(tmp_path, "killed", *words))
        victims = [harness.pid, *commands_of(folder)]
        victim = draw.choice(victims)
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            continue
        kills += 1
        if harness.poll() is not None or victim == harness.pid:
            harness.wait()
            harness = start(asked(tmp_path, "killed", *words))
        if len(list(folder.glob("*/*/record.json"))) == 8 and kills < 40:
            harness.wait()
            folder.rename(tmp_path / f"done-{kills}")  # all is done: again, from the start
    harness.wait(600)
    for _ in range(5):
        if start(asked(tmp_path, "killed", *words)).wait(600) == 0:
            break
    assert kills == 40
    assert losses(tmp_path, "killed") == whole
    assert not read_study(folder).damaged
    assert len(list(folder.glob("*/*/record.json"))) == 8
    for done in tmp_path.glob("done-*"):
        assert {r.run_id: r.loss for r in read_study(done).records} == whole
    deadline = time.monotonic() + 5
    while commands_of(folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not commands_of(folder)
