"""What the harness adds to a program that trains by itself: as a command, and as a loop with `open_run`."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import scaling
from experiments.benchmarks.row import Row
from scaling.launch.study import run_study
from scaling.records.storage import write_atomic
from scaling.study.plan import plan_study

RUNS = 12
TARGET = 1.0  # seconds per run
SCRIPT = b"""import json, sys
with open(sys.argv[1] + "/result.json", "w") as file:
    json.dump({"loss": 3.0}, file)
"""


def external_rows(folder: Path, seconds: float) -> Iterator[Row]:
    """Rows of seconds per run: what a study of commands takes beyond them, and what `open_run` takes."""
    script = folder / "train.py"
    write_atomic(script, SCRIPT)
    begin = time.perf_counter()
    for _ in range(RUNS):
        subprocess.run([sys.executable, str(script), str(folder)], check=True)
    bare = (time.perf_counter() - begin) / RUNS
    plan = plan_study(
        [
            *("name=external", f"runs={folder}/runs", f"cache={folder}/cache", "tracking=off", "workers=1"),
            *("trainer=command", f"trainer.command={sys.executable} {script} {{folder}} {{steps}} {{seed}}"),
            *("trainer.params=1000", "budget.tokens=[1e6]", f"seed={','.join(map(str, range(RUNS)))}"),
        ]
    )
    begin = time.perf_counter()
    done = len(run_study(plan).records.done)
    took = (time.perf_counter() - begin) / RUNS - bare
    yield Row(
        f"a run by trainer=command, beyond the command ({bare:.2f} s)",
        f"<= {TARGET:g} s",
        f"{took:.3f} s",
        took / TARGET,
        took <= TARGET and done == RUNS,
    )
    begin = time.perf_counter()
    for seed in range(RUNS):
        with scaling.open_run(folder / "runs" / "loop", arm="a", params=1000, seed=seed) as run:
            run.log(tokens=1e6, train_loss=3.0)
            run.finish(loss=3.0)
    took = (time.perf_counter() - begin) / RUNS
    yield Row(
        "a run by open_run: everything but training", f"<= {TARGET:g} s", f"{took:.3f} s", took, took < 1
    )
