"""How commands grow with the size of a study: `python -m experiments.benchmarks.growth [--most RUNS]`.

CPU seconds of a process and its peak memory, at 10, 100, … runs, and the exponent of what the larger studies
take above the cheapest one, which is mostly start-up. Twenty sizes by five budgets by as many seeds as needed
(10 runs: five by two, which leave a law almost free, so that its fit takes longer). The records were never
trained, and plans find step times in a warm cache. `--only log` reports a study one of whose trunks has
logged a million lines.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from analysis.table.curves import METRICS_FILE
from experiments.benchmarks.child import Spent, spend
from experiments.benchmarks.invented import study_of, write_records

RUNS = (10, 100, 1_000, 10_000)
LEAST = 0.05  # CPU-s above the cheapest that are more than noise
STEEP = 1.15
LINES = 1_000_000  # of a metrics log


def measure(runs: Sequence[int], verbs: Sequence[str], home: Path) -> dict[str, list[Spent]]:
    """What each verb takes, at each size, printed as it comes."""
    found = {verb: list[Spent]() for verb in verbs}
    for number in runs:
        overrides = study_of(number, home)
        folder = str(write_records(overrides).folder)
        for verb in verbs:
            command = [verb, *overrides] if verb == "plan" else [verb, folder]
            if verb == "plan":
                spend(*command)  # times each step once
            spent = spend(*command)
            found[verb].append(spent)
            print(f"{number:>8,} runs: {verb:<8}{spent.cpu:>9.2f} CPU-s {spent.memory:>9.0f} MiB", flush=True)
    return found


def log_lines(home: Path, lines: int = LINES) -> Spent:
    """What the report of ten runs takes, a trunk of which logged so many lines, every 100th with a loss."""
    plan = write_records(study_of(10, home / "log"))
    trunk = plan.trunks[0]
    most = trunk.runs[-1].tokens
    with (plan.folder / trunk.spec.id / METRICS_FILE).open("w") as file:
        for i in range(1, lines + 1):
            loss = f', "loss": {2 + 3 / (1 + i / 1000):.6f}' if i % 100 == 0 else ""
            file.write(
                f'{{"step": {i}, "tokens": {most * i // lines}, "flops": {1e9 * i}, '
                f'"train_loss": {2 + 4 / (1 + i / 1000):.6f}, "learning_rate": 0.001{loss}}}\n'
            )
    spent = spend("report", str(plan.folder))
    print(
        f"report of a log of {lines:,} lines: {spent.cpu:.2f} CPU-s {spent.memory:.0f} MiB (300 at most)",
        flush=True,
    )
    return spent


def exponent(runs: Sequence[int], seconds: Sequence[float]) -> float | None:
    """Slope of log seconds above the least on log runs; None where fewer than two studies take more."""
    least = int(np.argmin(seconds))
    above = [
        (n, s - seconds[least])
        for n, s in zip(runs[least + 1 :], seconds[least + 1 :], strict=True)
        if s - seconds[least] > LEAST
    ]
    if len(above) < 2:
        return None
    x, y = np.log(np.array(above)).T
    return float(np.polyfit(x, y, 1)[0])


def table(runs: Sequence[int], found: dict[str, list[Spent]], slopes: dict[str, float | None]) -> str:
    """CPU seconds and MiB of every verb at every size."""
    lines = [f"{'':<8}" + "".join(f"{f'{n:,} runs':>20}" for n in runs) + f"{'exponent':>10}"]
    for verb, spent in found.items():
        slope = slopes[verb]
        cells = "".join(f"{s.cpu:>9.2f} s {s.memory:>5.0f} MiB" for s in spent)
        said = "–" if slope is None else f"{slope:.2f}"
        lines.append(f"{verb:<8}{cells}{said:>10}")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Print the table; 1 where a command grows more than in proportion."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--most", type=int, default=RUNS[-1], help="runs of the largest study")
    parser.add_argument("--only", nargs="+", default=["plan", "status", "load", "fit", "report", "log"])
    parser.add_argument("--folder", type=Path, default=Path(), help="where to write the studies for a while")
    asked = parser.parse_args(arguments)
    runs = [n for n in RUNS if n <= asked.most]
    with tempfile.TemporaryDirectory(dir=asked.folder, prefix=".growth-") as folder:
        home = Path(folder).resolve()
        if "log" in asked.only:
            log_lines(home)
        found = measure(runs, [verb for verb in asked.only if verb != "log"], home)
    slopes = {verb: exponent(runs, [s.cpu for s in spent]) for verb, spent in found.items()}
    print(table(runs, found, slopes))
    return int(any(slope is not None and slope > STEEP for slope in slopes.values()))


if __name__ == "__main__":
    raise SystemExit(main())
