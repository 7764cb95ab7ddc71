"""How long a durable commit takes: of a record, and of a checkpoint of a small model."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from experiments.benchmarks.invented import base, invent
from experiments.benchmarks.row import Row
from scaling.records.storage import commit_record, make_folder, new_attempt, save_checkpoint
from scaling.study.plan import plan_study
from scaling.training.device import choose_numerics
from scaling.training.state import LocalState

ROUNDS, COMMITS = 4, 100  # the quietest round counts: others may use the disk
BOUND = 0.010  # [s]


def commit_rows(folder: Path, seconds: float) -> Iterator[Row]:
    """Median and 95th percentile. Either takes three fsyncs: of the folder, the file and its name."""
    overrides = [*base(folder, "commit"), "model.params=null", "model.width=64", "model.depth=2"]
    trunk = plan_study([*overrides, "budget.tokens=1e6"]).trunks[0]
    home = make_folder(folder / trunk.spec.id)
    attempt = new_attempt(home, {})
    record = invent(trunk, trunk.runs[0], "commit", 0.0, attempt)
    yield from _row(
        "commit of a record", lambda i: commit_record(home, replace(record, run_id=f"{record.run_id}-{i}"))
    )
    yield from _row("  one fsync of a new file of 4 kB", lambda i: _sync(home / f"plain-{i}"), target=False)
    state = LocalState(trunk.spec, choose_numerics("float32", 64, "cpu", 1))
    extra = {"metrics_offset": 0, "seconds": 0.0}
    yield from _row(
        f"commit of a checkpoint ({trunk.params_total:,} parameters)",
        lambda i: save_checkpoint(home, i, lambda file: state.save(file, extra)),
    )


def _row(what: str, commit: Callable[[int], object], target: bool = True) -> Iterator[Row]:
    rounds = [[_seconds(commit, COMMITS * part + i) for i in range(COMMITS)] for part in range(ROUNDS)]
    median, late = min((float(np.median(took)), float(np.quantile(took, 0.95))) for took in rounds)
    ours = f"{1e3 * median:.2f} (p95 {1e3 * late:.2f})"
    if target:
        yield Row(f"{what} [ms]", "10 at most", ours, median / BOUND, median <= BOUND)
    else:
        yield Row(f"{what} [ms]", "", ours)


def _sync(path: Path) -> None:
    with path.open("wb") as file:
        file.write(bytes(4096))
        file.flush()
        os.fsync(file.fileno())


def _seconds(commit: Callable[[int], object], number: int) -> float:
    start = time.perf_counter()
    commit(number)
    return time.perf_counter() - start
