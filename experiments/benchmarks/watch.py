"""`python -m experiments.benchmarks.watch [runs/NAME …]`: false alarms, and forecasts of runs in flight.

First clean runs are simulated and watched with few finished ones: how many raise an alarm at one look. Then
SGD on power-law regression, whose loss at every step is known, goes wrong at half time: how soon is it seen?
At last, in every study named, each size is left out in turn, and its trunks are watched at 30, 50 and 70 %.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path

import numpy as np

from analysis.fitting.runs import FitError
from analysis.forecast.inflight import FALSE_ALARM, Curve, curves_of, prefix, watch
from analysis.laws.law import Array
from analysis.table import load_curves, load_runs, split_comparable
from experiments.benchmarks.row import Row, show
from scaling.virtual.kernel_sgd import KernelSGD, Students
from scaling.virtual.train import linear_rates

SHARES = (0.3, 0.5, 0.7)
TARGETS = {0.3: 0.01, 0.5: 0.006, 0.7: 0.003}  # median error
FINISHED = (4, 5, 6, 8)
POINTS = 24
TEACHER = KernelSGD(exponent=1.7, noise=0.5, batch=8)
FAULTS: dict[str, dict[str, float]] = {  # from half time on
    "no fault": {},
    "rate twice as high": {"factor": 2},
    "each sample eight times in its batch": {"repeats": 8},
    "weights rounded to bfloat16": {"rounding": 2.0**-16 / 12},  # half a unit of 2^-8, at random
}


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


def kernel_losses(size: int, fault: Mapping[str, float], rate: float = 0.2, each: int = 16) -> Array:
    """(POINTS,) the loss along a run of `each` × size steps, its rate falling to zero."""
    more = dict(fault)
    factor = more.pop("factor", 1.0)
    student, losses = Students(TEACHER, [size]), []
    for k, part in enumerate(np.array_split(linear_rates(rate, each * size), POINTS)):
        if k < POINTS // 2:
            student.advance(part)
        else:
            student.advance(factor * part, **more)  # type: ignore[arg-type]
        losses.append(float(student.losses[0]))
    return np.array(losses)


def fault_rows(runs: int, noise: float = 0.001, seed: int = 0) -> Iterator[Row]:
    """A run of twice the size of eight finished ones, looked at after each evaluation past half time."""
    x = np.arange(1, POINTS + 1) / POINTS
    sizes = np.geomspace(32, 256, 8).astype(int)
    clean_ones = [kernel_losses(size, {}) for size in sizes]
    for name, fault in FAULTS.items():
        rng = np.random.default_rng(seed)
        ours, looks, delays = kernel_losses(512, fault), 0, []

        def measured(size: int, losses: Array) -> Curve:
            loss = losses * np.exp(noise * rng.standard_normal(POINTS))  # noqa: B023  called in this turn
            return Curve(str(size), x * size, loss, float(size), float(losses[-1]))

        for _ in range(runs):
            done = [measured(size, losses) for size, losses in zip(sizes, clean_ones, strict=True)]
            whole = measured(512, ours)
            alarmed = [share for share in x[POINTS // 2 :] if watch(prefix(whole, share), done).alarms]
            looks += len(alarmed)
            delays += [alarmed[0] - 0.5] if alarmed else []
        words = f"{len(delays)} of {runs} runs, {looks} of {runs * (POINTS - POINTS // 2)} looks"
        if not fault:
            share = looks / (runs * (POINTS - POINTS // 2))
            yield Row("SGD on regression, no fault: alarms", "<= .01 of looks", words, share, share <= 0.01)
        else:
            late = f", after {np.median(delays):.2f} of the run (median)" if delays else ""
            yield Row(f"  {name}: seen", "", words + late)


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
    show(chain(alarm_rows(asked.runs), fault_rows(max(1, asked.runs // 3))) if asked.runs else ())
    for folder in asked.studies:
        show(study_rows(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
