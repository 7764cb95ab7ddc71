"""A command in a process of its own, and what it took: `python -m experiments.benchmarks.child VERB …`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

BYTECODE = Path(tempfile.gettempdir()) / "scaling-bench-bytecode"  # where Python is told to leave none


@dataclass(frozen=True)
class Spent:
    """Of a process: wall and CPU seconds, imports included, peak memory [MiB], exit status and output."""

    seconds: float
    cpu: float
    memory: float
    code: int
    output: str


def spend(*command: str) -> Spent:
    """Run a verb of `scaling`, or `load FOLDER`, on one thread.

    Raises:
        RuntimeError: when it ended with an error, with what it said.
    """
    surroundings = os.environ | dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
    )
    if surroundings.pop("PYTHONDONTWRITEBYTECODE", ""):  # else each command would compile PyTorch anew
        surroundings.setdefault("PYTHONPYCACHEPREFIX", str(BYTECODE))
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "experiments.benchmarks.child", *command],
        env=surroundings,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - start
    said, _, told = done.stderr.rstrip().rpartition("\n")
    if done.returncode > 1:  # 1: done, but e.g. no law could be fitted
        raise RuntimeError(
            f"{' '.join(command)} ended with {done.returncode}: {said} {told} {done.stdout[-2000:]}"
        )
    own = json.loads(told)
    return Spent(seconds, own["cpu"], own["memory"], done.returncode, done.stdout)


def peak_memory() -> float:
    """Of this process so far [MiB]. Not `ru_maxrss`, which a process inherits from the one that starts it."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def main(arguments: list[str]) -> int:
    try:
        code = _run(*arguments)
    except SystemExit as error:  # of a parser asked for help
        code = int(error.code or 0)
    times = os.times()
    cpu = times.user + times.system + times.children_user + times.children_system
    print(json.dumps({"cpu": cpu, "memory": peak_memory()}), file=sys.stderr)
    return code


def _run(verb: str, *rest: str) -> int:
    if verb == "load":
        from analysis.table import load_runs

        print(*(len(load_runs(folder)) for folder in rest if folder != "--help"))
        return 0
    from experiments.cli import main as command

    return command([verb, *rest])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
