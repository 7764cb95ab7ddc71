"""What the harness costs besides training: `python -m experiments.benchmarks.harness [--only …]`.

A row is printed as soon as it is measured. Every study is tiny and lives in a temporary folder on a real file
system. On a busy machine wall-clock rows say more about the neighbours than about the harness: look at the
load that is printed first, and at the CPU seconds.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before NumPy is loaded

import argparse
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from experiments.benchmarks.commands import plan_row, read_rows, start_rows
from experiments.benchmarks.durable import commit_rows
from experiments.benchmarks.external import external_rows
from experiments.benchmarks.row import Row, show
from experiments.benchmarks.studies import error_row, worker_rows
from experiments.benchmarks.trunk import overhead_rows, tracking_rows
from experiments.benchmarks.verified import verify_rows

GROUPS: dict[str, Callable[[Path, float], Iterator[Row]]] = {
    "overhead": overhead_rows,
    "tracking": tracking_rows,
    "commit": commit_rows,
    "verify": verify_rows,
    "read": read_rows,
    "plan": plan_row,
    "workers": worker_rows,
    "external": external_rows,
    "start": start_rows,
    "error": error_row,
}


def main(arguments: list[str] | None = None) -> int:
    """Print the table; 1 when a target was missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=list(GROUPS), metavar="NAME")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each training that is measured")
    parser.add_argument("--folder", type=Path, default=Path(), help="where to write for a while")
    asked = parser.parse_args(arguments)
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    return int(show(measured(asked.only, asked.folder, asked.seconds)) > 0)


def measured(names: list[str], place: Path, seconds: float) -> Iterator[Row]:
    """Rows of some groups, each in a temporary folder of its own."""
    for name in names:
        with tempfile.TemporaryDirectory(dir=place, prefix=".bench-") as folder:
            yield from GROUPS[name](Path(folder).resolve(), seconds)


if __name__ == "__main__":
    raise SystemExit(main())
