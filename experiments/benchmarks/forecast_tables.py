"""Forecasts of the larger runs of public tables, by the automatic choice from the smaller ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.fitting.bootstrap.replicates import Bootstrap
from analysis.fitting.interval import interval_score
from analysis.fitting.runs import Runs
from analysis.forecast.predict import fit_basis, forecast_run
from analysis.forecast.rolling import largest
from experiments.benchmarks.row import Row
from experiments.public_data import public_tables

QUICK = Bootstrap(resamples=200)
EARLY = 0.4  # share of the runs, by compute, that the IsoFLOP sets are fitted to


@dataclass(frozen=True)
class Judged:
    """Held-out runs of one table against their forecasts."""

    law: str
    reach: float
    error: np.ndarray[tuple[int], np.dtype[np.float64]]  # relative
    inside: int
    score: float  # mean interval score, relative to the loss

    @property
    def rms(self) -> float:
        return float(np.sqrt(np.mean(self.error**2)))


def judge(runs: Runs, count: int) -> Judged:
    """Forecast the `count` runs of largest compute, and those that tie with them, from the others."""
    held = largest(runs.compute, count)
    before, ahead = runs.take(~held), runs.take(held)
    basis, _ = fit_basis(before, (), QUICK)
    found = [
        forecast_run(basis, {name: float(x[i]) for name, x in ahead.inputs.items()}) for i in range(ahead.n)
    ]
    value = np.array([f.loss.value for f in found])
    low, high = np.array([f.run for f in found]).T
    return Judged(
        law=basis.best.name,
        reach=float(ahead.compute.max() / before.compute.max()),
        error=value / ahead.loss - 1,
        inside=int(((low <= ahead.loss) & (ahead.loss <= high)).sum()),
        score=float(np.mean(interval_score(low, high, ahead.loss, QUICK.level) / ahead.loss)),
    )


def rows_of(
    found: Sequence[tuple[str, Judged]], what: str, reference: str, most: float, least: float
) -> Iterator[Row]:
    """One row per table, and one of all: rms error at most `most` [%], share inside at least `least`."""
    for name, each in found:
        ours = f"{100 * each.rms:.2f} %, {each.inside} of {len(each.error)}, {each.law}"
        yield Row(f"  {name}, reach {each.reach:.3g}, score {100 * each.score:.2f} %", "", ours)
    errors = np.concatenate([each.error for _, each in found])
    rms, inside = 100 * float(np.sqrt(np.mean(errors**2))), sum(each.inside for _, each in found)
    ours = f"{rms:.2f} %, {inside} of {len(errors)}"
    yield Row(what, reference, ours, inside / len(errors), rms <= most and inside >= least * len(errors))


def _named(folder: Path, prefix: str) -> dict[str, Runs]:
    return {name: runs for name, runs in public_tables(folder).items() if name.startswith(prefix)}


def isoflop_rows(folder: Path, simulations: int) -> Iterator[Row]:
    """IsoFLOP sets, the lower 40 % of the runs fitted."""
    sets = _named(folder, "isoflop")
    found = [(name, judge(runs, runs.n - round(EARLY * runs.n))) for name, runs in sets.items()]
    if found:
        yield from rows_of(
            found, f"{len(found)} IsoFLOP sets: rms, inside 95 %", "<= 1.30 %, >= 95 %", 1.30, 0.95
        )


def chinchilla_rows(folder: Path, simulations: int) -> Iterator[Row]:
    """The 240 Chinchilla runs, 60 held out."""
    for name, runs in _named(folder, "chinchilla").items():
        yield from rows_of([(name, judge(runs, 60))], "Chinchilla: rms, inside", ">= 54 of 60", np.inf, 0.9)


def farseer_rows(folder: Path, simulations: int) -> Iterator[Row]:
    """Farseer's table, on which every form is a little wrong and the noise is tiny."""
    for name, runs in _named(folder, "farseer").items():
        for fitted in (247, 308):
            found = judge(runs, runs.n - fitted)
            yield from rows_of(
                [(f"{name}, {fitted} fitted", found)], "Farseer: rms, inside", ">= 90 %", np.inf, 0.9
            )


def table_rows(folder: Path, simulations: int) -> Iterator[Row]:
    """Every public table at two cuts."""
    found = []
    for name, runs in public_tables(folder).items():
        found += [(f"{name}, top {share:.0%}", judge(runs, round(share * runs.n))) for share in (0.1, 0.25)]
    if not found:
        return
    yield from list(rows_of(found, "", "", np.inf, 0))[:-1]
    geometric = 100 * float(np.exp(np.mean([np.log(each.rms) for _, each in found])))
    inside, total = sum(each.inside for _, each in found), sum(len(each.error) for _, each in found)
    ours = f"{geometric:.2f} %, {inside} of {total}"
    what = f"{len(found)} cuts of public tables: geomean error, inside"
    yield Row(
        what, "<= 1.12 %, >= 93 %", ours, inside / total, geometric <= 1.12 and inside >= 345 / 371 * total
    )


__all__ = ["QUICK", "Judged", "chinchilla_rows", "farseer_rows", "isoflop_rows", "judge", "table_rows"]
