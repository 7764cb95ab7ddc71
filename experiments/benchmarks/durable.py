"""How long a durable commit takes: of a record, and of a checkpoint of a small model."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from experiments.benchmarks.invented import base, invent
from experiments.benchmarks.row import Row
from scaling.records.storage import commit_record, make_folder, new_attempt, save_checkpoint
from scaling.study.plan import plan_study
from scaling.training.device import choose_arithmetic
from scaling.training.state import State

COMMITS = 200
BOUND = 0.010  # [s]


def commit_rows(folder: Path, seconds: float) -> Iterator[Row]:
    """Median and 95th percentile, each with every fsync it has in training."""
    overrides = [*base(folder, "commit"), "model.params=null", "model.width=64", "model.depth=2"]
    trunk = plan_study([*overrides, "budget.tokens=1e6"]).trunks[0]
    home = make_folder(folder / trunk.spec.id)
    attempt = new_attempt(home, {})
    record = invent(trunk, trunk.runs[0], "commit", 0.0, attempt)
    yield from _row(
        "commit of a record", lambda i: commit_record(home, replace(record, run_id=f"{record.run_id}-{i}"))
    )
    state = State(trunk.spec, choose_arithmetic("float32", 64, "cpu", 1))
    extra = {"metrics_offset": 0, "seconds": 0.0}
    yield from _row(
        f"commit of a checkpoint ({trunk.params_total:,} parameters)",
        lambda i: save_checkpoint(home, i, lambda file: state.save(file, extra)),
    )


def _row(what: str, commit: Callable[[int], object]) -> Iterator[Row]:
    took = []
    for i in range(COMMITS):
        start = time.perf_counter()
        commit(i)
        took.append(time.perf_counter() - start)
    median, late = (float(v) for v in np.quantile(took, [0.5, 0.95]))
    ours = f"{1e3 * median:.2f} (p95 {1e3 * late:.2f})"
    yield Row(f"{what} [ms]", "10 at most", ours, median / BOUND, median <= BOUND)
