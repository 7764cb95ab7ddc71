"""What is no longer what was planned or written: specs that drift, tables that were damaged."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scaling.data.corpora import open_dataset
from scaling.launch.job import TrunkJob
from scaling.training.train import train_trunk
from tests.analysis.table import test_fuzz as fuzz
from tests.chaos.table import Tally, scaled

pytestmark = pytest.mark.chaos


def leaves(tree: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key)


def changed(tree: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    """The tree with another value at one leaf."""
    head, *rest = path
    return {**tree, head: changed(tree[head], tuple(rest)) if rest else "drifted"}


@pytest.mark.battery(18)
def test_every_key_that_drifts_is_named_and_written_again(
    tasks: list[TrunkJob], tmp_path: Path, tally: Tally
) -> None:
    """Each key of a trunk's and a run's spec in turn, by the trainer: the folder's name says what it was."""
    trunk = tasks[0].trunk
    dataset = open_dataset(tasks[0].trunk.spec.data, tasks[0].cache)
    resume: Callable[[], Any] = lambda: train_trunk(trunk, dataset, tmp_path, study="x", threads=1)  # noqa: E731
    resume()
    folder = tmp_path / trunk.spec.id
    run = trunk.runs[-1]
    for path, spec in ((folder, trunk.spec.identity()), (folder / run.id, run.identity())):
        file = path / "spec.json"
        before = file.read_bytes()
        for key in leaves(spec):
            (folder / run.id / "record.json").unlink()  # so that the run is opened again
            file.write_text(json.dumps(changed(spec, key)))
            resume()
            wrong = None if file.read_bytes() == before else "not written again"
            reasons = [note.read_text() for note in (path / "quarantine").glob("spec*.reason")]
            if not any(f"{'.'.join(key)}: was 'drifted'" in reason for reason in reasons):
                wrong = f"not named: {reasons}"
            shutil.rmtree(path / "quarantine")
            tally.case(wrong and f"{'.'.join(key)}: {wrong}")
    assert tally.cases > 50
    assert not tally.failures


@pytest.mark.battery(10)
@pytest.mark.parametrize("kind", fuzz.CASES)
def test_damage_to_a_table_is_refused_or_counted(kind: str, tmp_path: Path, tally: Tally) -> None:
    """1,800 cases more than the default suite's 200."""
    for seed in range(50, 50 + scaled(450)):
        home = tmp_path / str(seed)
        home.mkdir()
        try:
            fuzz.test_damage_is_refused_or_counted(home, kind, seed)
            tally.case(None)
        except AssertionError as error:
            tally.case(f"{kind} {seed}: {error}")
    assert not tally.failures
