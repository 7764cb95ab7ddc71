"""How commands grow with the size of a study: `python -m experiments.benchmarks.growth [--most RUNS]`.

CPU seconds of a process and its peak memory, at 10, 100, … runs, and the exponent from 100 on of what comes
on top of start-up, which is taken as that of the same verb with --help. Twenty sizes by five budgets by as many
seeds as it takes (10 runs: five by two, which leave a law almost free, so that its fit takes longer); the
records were never trained. Plans find step times in a warm cache.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.benchmarks.child import Spent, spend
from experiments.benchmarks.invented import study_of, write_records

RUNS = (10, 100, 1_000, 10_000)
FIRST = 100  # runs from which growth is judged
LEAST = 0.05  # CPU-s above start-up that are more than noise
STEEP = 1.15


def measure(runs: Sequence[int], verbs: Sequence[str], home: Path) -> dict[str, list[Spent]]:
    """What each verb takes, printed as it comes: first its start-up, then at each size."""
    found = {verb: [spend(verb, "--help")] for verb in verbs}
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


def exponent(runs: Sequence[int], seconds: Sequence[float], start: float) -> float | None:
    """Slope of log seconds above start-up on log runs, from 100 runs on; None where two points are wanting."""
    above = [(n, s - start) for n, s in zip(runs, seconds, strict=True) if n >= FIRST and s - start > LEAST]
    if len(above) < 2:
        return None
    x, y = np.log(np.array(above)).T
    return float(np.polyfit(x, y, 1)[0])


def table(runs: Sequence[int], found: dict[str, list[Spent]], slopes: dict[str, float | None]) -> str:
    """CPU seconds and MiB of every verb at every size."""
    lines = [f"{'':<8}{'start-up':>10}" + "".join(f"{f'{n:,} runs':>20}" for n in runs) + f"{'exponent':>10}"]
    for verb, (start, *spent) in found.items():
        slope = slopes[verb]
        cells = "".join(f"{s.cpu:>9.2f} s {s.memory:>5.0f} MiB" for s in spent)
        said = "–" if slope is None else f"{slope:.2f}"
        lines.append(f"{verb:<8}{start.cpu:>8.2f} s{cells}{said:>10}")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Print the table; 1 where a command grows more than in proportion."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--most", type=int, default=RUNS[-1], help="runs of the largest study")
    parser.add_argument("--only", nargs="+", default=["plan", "status", "load", "fit", "report"])
    parser.add_argument("--folder", type=Path, default=Path(), help="where to write the studies for a while")
    asked = parser.parse_args(arguments)
    runs = [n for n in RUNS if n <= asked.most]
    with tempfile.TemporaryDirectory(dir=asked.folder, prefix=".growth-") as folder:
        found = measure(runs, asked.only, Path(folder).resolve())
    slopes = {v: exponent(runs, [s.cpu for s in spent], start.cpu) for v, (start, *spent) in found.items()}
    print(table(runs, found, slopes))
    return int(any(slope is not None and slope > STEEP for slope in slopes.values()))


if __name__ == "__main__":
    raise SystemExit(main())
