"""`python -m experiments.benchmarks.watch [runs/NAME …]`: false alarms, and forecasts of runs in flight.

First clean runs are simulated and watched with few finished ones: how many raise an alarm at one look. Then,
in every study named, each size is left out in turn, and its trunks are watched at 30, 50 and 70 %.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from analysis.fitting.runs import FitError
from analysis.forecast.inflight import FALSE_ALARM, Curve, curves_of, prefix, watch
from analysis.table import load_curves, load_runs, split_comparable
from experiments.benchmarks.row import Row, show

SHARES = (0.3, 0.5, 0.7)
TARGETS = {0.3: 0.01, 0.5: 0.006, 0.7: 0.003}  # median error
FINISHED = (4, 5, 6, 8)
POINTS = 24


def clean(N: float, rng: np.random.Generator, kind: str, noise: float = 0.002) -> Curve:
    """A run of 20 tokens per parameter whose reducible loss falls as (share of the run)^-1/4.

    Args:
        kind: white: the noise of evaluations is independent; shape: it is correlated along the run, and the
            exponent differs from run to run by 2 %.
    """
    x, T = np.arange(1, POINTS + 1) / POINTS, 20 * N
    final = 1.7 + 400 * N**-0.34 + 300 * T**-0.3
    wobble = rng.standard_normal(POINTS)
    fall = 0.25
    if kind == "shape":
        fall *= 1 + 0.02 * rng.standard_normal()
        for i in range(1, POINTS):
            wobble[i] = 0.7 * wobble[i - 1] + np.sqrt(1 - 0.7**2) * wobble[i]
    loss = (1.7 + (final - 1.7) * x**-fall) * np.exp(noise * wobble)
    return Curve(f"{N:g}", x * T, loss, T, final * float(np.exp(noise / 4 * rng.standard_normal())))


def alarm_rows(runs: int, seed: int = 0) -> Iterator[Row]:
    """How many clean runs of twice the largest size raise an alarm at a look, by number of finished runs."""
    for kind in ("white", "shape"):
        for count in FINISHED:
            rng = np.random.default_rng(seed)
            alarms = held = 0
            for i in range(runs):
                done = [clean(N, rng, kind) for N in np.geomspace(1e7, 1e8, count)]
                whole = clean(2e8, rng, kind)
                found = watch(prefix(whole, SHARES[i % len(SHARES)]), done)
                alarms += bool(found.alarms)
                held += found.final.low <= float(whole.final or 0) <= found.final.high
            share = alarms / runs
            words = f"{alarms} of {runs}, {held} inside 95 %"
            allowed = FALSE_ALARM * runs + 2.6 * np.sqrt(FALSE_ALARM * runs)
            yield Row(
                f"clean, {kind} noise, {count} finished: alarms", "<= .01", words, share, alarms <= allowed
            )


def study_rows(folder: Path) -> Iterator[Row]:
    """Median error and coverage of forecasts of each size by the others of its arm, at three shares."""
    rows = load_curves(folder).rows
    sizes = dict(zip(rows["trunk_id"].astype(str), rows["params"], strict=True))
    parts = split_comparable(load_runs(folder))
    arms = {str(trunk): label for label, part in parts.items() for trunk in part["trunk_id"]}
    curves = curves_of(rows[rows["trunk_id"].isin(rows["trunk_id"][rows["part"] == "cooldown"])])
    for share in SHARES:
        errors, inside, alarms, refused = [], 0, 0, 0
        for one in curves:
            mine = [c for c in curves if arms.get(c.name) == arms.get(one.name)]
            others = [c for c in mine if sizes[c.name] != sizes[one.name]]
            try:
                found = watch(prefix(one, share), others)
            except FitError:
                refused += 1
                continue
            final = float(one.final or np.nan)
            errors.append(abs(found.final.value / final - 1))
            inside += found.final.low <= final <= found.final.high
            alarms += bool(found.alarms)
        if not errors:
            yield Row(f"{folder.name} at {share:.0%}", "", f"all {refused} refused")
            continue
        median, words = float(np.median(errors)), f"{inside} of {len(errors)} inside, {alarms} alarms"
        words += f", {refused} refused" * bool(refused)
        what = f"{folder.name} at {share:.0%}: median error {100 * median:.2g} %"
        yield Row(what, f"<= {TARGETS[share]:.1%}", words, median, median <= TARGETS[share])


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks.watch", description=__doc__)
    parser.add_argument("studies", nargs="*", type=Path, help="runs/NAME with their curves")
    parser.add_argument("--runs", type=int, default=600, help="clean runs of each kind (default 600)")
    asked = parser.parse_args(arguments)
    show(alarm_rows(asked.runs) if asked.runs else ())
    for folder in asked.studies:
        show(study_rows(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
