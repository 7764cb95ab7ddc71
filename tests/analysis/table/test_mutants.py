"""Tables changed as accidents change them: the same fit, a refusal, or a word that names the change."""

from __future__ import annotations

import random
import re
import shlex
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from analysis.fitting.bootstrap.replicates import Bootstrap
from analysis.fitting.fit import fit_runs
from analysis.fitting.recipe import Recipe
from analysis.fitting.runs import FitError, Runs
from analysis.laws.law import Array
from analysis.laws.registry import law_named
from analysis.table import load_runs, split_comparable
from tests.analysis.table.mutate import MUTATIONS, TABLES, NotHere, Sheet

TOLERANCE = 0.01
BY_NAME = {make.__name__: make for make in TABLES}


@dataclass(frozen=True)
class Reading:
    """What became of a table: each part's predictions and runs, and everything that was said."""

    parts: tuple[tuple[Array, int, int], ...]  # predicted losses, runs and trunks, by label
    said: frozenset[str]
    used: int


def read(sheet: Sheet, folder: Path) -> Reading:
    """Load and fit a table."""
    path = sheet.write(folder)
    table = load_runs(path, shlex.split(sheet.columns) if sheet.columns else None)
    said = {*table.notes, *table.warnings, *(f"{row.row}: {row.reason}" for row in table.set_aside)}
    parts = []
    for part in split_comparable(table).values():
        said |= {*part.notes, *part.warnings}
        law = law_named(sheet.law)
        try:
            fit = fit_runs(Runs.of_table(part, law.inputs), Recipe(sheet.law), Bootstrap("bayes", 0))
        except FitError as error:
            said.add(str(error))
            continue
        said |= {doubt.message for doubt in fit.warnings}
        points = np.array([POINTS[name] for name in law.inputs])
        at = dict(zip(law.inputs, np.meshgrid(*points), strict=True))
        parts.append((np.asarray(fit.law(**at)).ravel(), fit.runs.n, fit.runs.n_groups))
    parts.sort(key=lambda part: float(part[0].sum()))
    return Reading(tuple(parts), frozenset(map(_blurred, said)), len(table))


# What a fit says of any poor table, and what is said of columns that part nothing: neither names a change.
NAMES_NOTHING = re.compile(
    r"one arm|runs without a trunk_id|no strict minimum|E fell to 0|the (size|data) term|(alpha|beta) lies|"
    r"n (runs|rows) for \d|fewer runs than|\w+ spans only"
)
POINTS = {
    "N": np.geomspace(1.5e7, 1e9, 4),
    "D": np.geomspace(4e8, 2.5e10, 4),
    "C": np.geomspace(1e18, 1e22, 8),
    "x": np.geomspace(200, 6e5, 8),
}


def _blurred(text: str) -> str:
    """A message without the numbers of runs in it."""
    return re.sub(r"\d+ (runs|rows)", "n rows", text)


@lru_cache
def clean(name: str) -> Reading:
    """The reading of a table without mutation."""
    with tempfile.TemporaryDirectory() as folder:
        return read(BY_NAME[name](random.Random(name)), Path(folder))


def judge(name: str, kinds: tuple[str, ...], seed: int, folder: Path) -> tuple[str, list[str]]:
    """Mutate and read: same, refused, said, silent or skipped; with what was said, or how the fit changed."""
    rng = random.Random(f"{name} {kinds} {seed}")
    sheet = BY_NAME[name](random.Random(name)).copy()
    try:
        for kind in kinds:
            MUTATIONS[kind](sheet, rng)
        reading = read(sheet, folder)
    except (NotHere, IndexError):
        return "skipped", []
    except ValueError as error:
        return "refused", [str(error)]
    before = clean(name)
    change = difference(before, reading, sheet.more)
    if not change:
        return "same", []
    new = sorted(text for text in reading.said - before.said if not NAMES_NOTHING.match(text))
    return ("said", [change, *new]) if new else ("silent", [change])


def difference(before: Reading, after: Reading, more: bool) -> str:
    """How the fit changed: parts, runs that count, or predictions; '' if in nothing that matters."""
    if len(before.parts) != len(after.parts):
        return f"{len(before.parts)} parts became {len(after.parts)}"
    for (one, runs, trunks), (two, now, trunks_now) in zip(before.parts, after.parts, strict=True):
        off = float(np.max(np.abs(two / one - 1)))
        if not off <= TOLERANCE:
            return f"predictions by {100 * off:.3g} %"
        if (now, trunks_now) != (runs, trunks) and not more:
            return f"{runs} runs of {trunks} trunks became {now} of {trunks_now}"
    return ""


def mutants(number: int) -> list[tuple[str, tuple[str, ...], int]]:
    """One or two mutations each, every kind about as often."""
    rng, kinds, made = random.Random(number), list(MUTATIONS), []
    for i in range(number):
        first = kinds[i % len(kinds)]
        more = (rng.choice(kinds),) if rng.random() < 0.4 else ()
        made.append((rng.choice(list(BY_NAME)), (first, *more), i))
    return made


def silent(number: int, folder: Path) -> list[str]:
    """Mutate so many tables; the changes that nothing names."""
    found = []
    for case in mutants(number):
        for old in folder.iterdir():
            old.unlink()
        outcome, why = judge(*case, folder)
        if outcome == "silent":
            found.append(f"{case}: {why[0]}")
    return found


def test_sixty_mutants(tmp_path: Path) -> None:
    assert not silent(60, tmp_path)


@pytest.mark.slow
def test_a_thousand_mutants(tmp_path: Path) -> None:
    assert not silent(1000, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", MUTATIONS)
def test_every_kind_on_every_table(kind: str, tmp_path: Path) -> None:
    outcomes = {(name, seed): judge(name, (kind,), seed, tmp_path) for name in BY_NAME for seed in range(2)}
    assert not {case: why for case, (outcome, why) in outcomes.items() if outcome == "silent"}
    assert {outcome for outcome, _ in outcomes.values()} != {"skipped"}, "the kind fits some table"


@pytest.mark.parametrize("name", BY_NAME)
def test_clean_tables_are_read_whole(name: str, tmp_path: Path) -> None:
    sheet = BY_NAME[name](random.Random(name))
    table = load_runs(sheet.write(tmp_path), shlex.split(sheet.columns) if sheet.columns else None)
    assert not table.warnings
    assert not table.set_aside
    assert len(table) == len({row[0] for row in sheet.rows} if name == "checkpoints" else sheet.rows)
    assert [off for off, *_ in clean(name).parts]
