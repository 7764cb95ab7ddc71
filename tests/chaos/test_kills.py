"""Kill any process at any instant: rerunning the same command gives the bits of a run nothing touched."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from scaling.launch.job import TrunkJob
from tests.chaos.kill import finish, kill_often
from tests.chaos.mutants import MUTANTS
from tests.chaos.outcome import differences, leftovers, outcome
from tests.chaos.table import Tally, scaled
from tests.chaos.trainer import Board

pytestmark = pytest.mark.chaos
Place = Callable[[TrunkJob, str], TrunkJob]
KILLS = 16  # a run


@pytest.mark.battery(1)
@pytest.mark.parametrize("part", range(4))
def test_kills_change_no_bit(
    part: int, tasks: list[TrunkJob], place: Place, board: Board, tally: Tally
) -> None:
    """Ten runs of all families in each part."""
    rng = random.Random(part)
    runs = scaled(10)
    for number, task in enumerate(tasks[10 * part : 10 * part + runs]):
        untouched, killed = place(task, f"untouched-{number}"), place(task, f"killed-{number}")
        finish(untouched, board)
        try:
            tally.facts += kill_often(killed, board, rng, KILLS)
            wrong = differences(outcome(killed), outcome(untouched)) or leftovers(killed.folder)
        except RuntimeError as error:
            wrong = str(error)
        tally.case(wrong and f"{task.id}: {wrong}")
    assert not tally.failures
    assert tally.facts["kills"] >= 12.5 * runs, "too few kills for 500 in all"
    assert tally.facts["inside a save"] >= 1.25 * runs, "too few inside a save for 50 in all"


@pytest.mark.battery(4)
@pytest.mark.parametrize("mutant", MUTANTS)
def test_kills_find_every_mutant(
    mutant: str, tasks: list[TrunkJob], place: Place, board: Board, tally: Tally
) -> None:
    """The same check of a trainer that is wrong has to fail: against that trainer's own untouched run."""
    rng = random.Random(mutant)
    changes = [MUTANTS[mutant]]
    found = None
    for number, task in enumerate(tasks[:8]):
        untouched, killed = place(task, f"untouched-{number}"), place(task, f"killed-{number}")
        finish(untouched, board, changes)
        try:
            tally.facts += kill_often(killed, board, rng, KILLS, changes)
            found = differences(outcome(killed), outcome(untouched)) or leftovers(killed.folder)
        except RuntimeError as error:
            found = str(error)
        if found:
            break
    tally.case(None if found else f"{mutant} escaped")
    assert not tally.failures
