"""Commands as processes: a large plan, ten thousand records, and how soon each is there."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from experiments.benchmarks.child import spend
from experiments.benchmarks.invented import base, study_of, write_records
from experiments.benchmarks.row import Row
from experiments.commands.run import run_plan
from scaling.study.plan import plan_study

PLAN = 3.0  # CPU seconds of a plan of 1,000 jobs
READ_SECONDS = 0.8  # CPU seconds of reading 10,000 records
FINISHED = 2.0  # seconds of `scaling run` where nothing is left to do

READ = """
import json, sys, time
from experiments.benchmarks.child import peak_memory
from scaling.study.plan import plan_study
from scaling.records.record import read_study

before, took = peak_memory(), []
for _ in range(5):
    start, used = time.perf_counter(), time.process_time()
    study = read_study(sys.argv[1])
    took.append((time.perf_counter() - start, time.process_time() - used))
    memory = peak_memory() - before
    count = len(study.records)
    del study
print(json.dumps([count, min(t[0] for t in took), min(t[1] for t in took), memory]))
"""


def plan_row(folder: Path, seconds: float) -> Iterator[Row]:
    """`scaling plan` of a grid of 1,000 jobs, each a trunk of one run; step times in the cache."""
    sizes = "5e3,8e3,1.2e4,1.6e4,2.2e4,3.1e4,4.7e4,6.5e4,8.7e4,1.25e5"
    rates = ",".join(f"{1e-3 * 1.5**i:.3g}" for i in range(10))
    overrides = [*base(folder, "large"), f"model.params={sizes}", f"training.learning_rate={rates}"]
    overrides += ["seed=range(10)", "budget.tokens=1e7"]
    spend("plan", *overrides)
    spent = min((spend("plan", *overrides) for _ in range(2)), key=lambda spent: spent.cpu)
    assert "1000 runs on 1000 trunks" in spent.output
    ours = f"{spent.cpu:.2f} ({spent.seconds:.2f} wall)"
    yield Row("a plan of 1,000 jobs [CPU-s]", f"{PLAN:g} at most", ours, spent.cpu / PLAN, spent.cpu <= PLAN)


def read_rows(folder: Path, seconds: float) -> Iterator[Row]:
    """10,000 records read and verified: the best of five, and the memory on top."""
    study = write_records(study_of(10_000, folder)).folder
    done = subprocess.run(
        [sys.executable, "-c", READ, str(study)], capture_output=True, text=True, check=True
    )
    count, wall, cpu, memory = json.loads(done.stdout)
    assert count == 10_000
    yield Row(
        "10,000 records loaded and verified [CPU-s]",
        f"{READ_SECONDS:g} at most",
        f"{cpu:.2f} ({wall:.2f} wall)",
        cpu / READ_SECONDS,
        cpu <= READ_SECONDS,
    )
    yield Row(
        "  peak memory above the start [MiB]", "100 at most", f"{memory:.0f}", memory / 100, memory <= 100
    )


def start_rows(folder: Path, seconds: float) -> Iterator[Row]:
    """Wall and CPU seconds until a command that has nothing to do has ended; the best of three."""
    overrides = [*base(folder, "done"), "model.params=5e3,8e3", "budget.tokens=[2e4,4e4]", "workers=1"]
    result = run_plan(plan_study(overrides))
    for what, command, most in (
        ("scaling --help", ("--help",), None),
        ("scaling status", ("status", str(result.folder)), None),
        ("scaling plan", ("plan", *overrides), None),
        ("scaling run of a finished study", ("run", *overrides), FINISHED),
    ):
        spent = min((spend(*command) for _ in range(3)), key=lambda spent: spent.seconds)
        ours = f"{spent.seconds:.2f} ({spent.cpu:.2f} CPU-s)"
        if most is None:
            yield Row(f"start-up: {what} [s]", "", ours)
        else:
            ratio = spent.seconds / most
            yield Row(f"start-up: {what} [s]", f"{most:g} at most", ours, ratio, ratio <= 1)
