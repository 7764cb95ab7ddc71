"""Ids hold what the text is, not where it lies: a moved corpus trains nothing again, nor do ids of before."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scaling.launch import estimate
from scaling.launch.study import run_study
from scaling.records.record import read_study
from scaling.study import old_ids
from scaling.study import plan as planning
from scaling.study.plan import plan_study
from scaling.study.spec import Trunk
from scaling.training import train
from scaling.training.throughput import StepTime


@pytest.fixture
def overrides(tiny_study: list[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(
        estimate, "time_steps", lambda trunks, *_: ([StepTime(0.01, 0.01, 0.01)] * len(trunks), None)
    )
    monkeypatch.setattr(train, "check_counts", lambda *_: None)
    return [*tiny_study, "model.params=5e3", "budget.tokens=[2e3,4e3]"]


@pytest.fixture
def elsewhere(tiny_corpus: Path, tmp_path: Path) -> str:
    """The corpus in another place, as an override."""
    return f"data.paths=[{shutil.copytree(tiny_corpus, tmp_path / 'elsewhere')}/*.txt]"


class BeforeIds(old_ids.OldIds):
    """As ids were: those of every trunk hold the paths of its text."""

    def keep(self, trunk: Trunk) -> Trunk:
        spec = replace(trunk.spec, data=replace(trunk.spec.data, id_paths=trunk.spec.data.paths))
        return replace(trunk, spec=spec, runs=tuple(replace(run, trunk=spec) for run in trunk.runs))


def test_a_moved_corpus_trains_nothing_again(overrides: list[str], elsewhere: str) -> None:
    first = run_study(plan_study(overrides))
    plan = plan_study([*overrides, elsewhere])
    assert [run.id for _, run in plan.runs] == [r.run_id for r in sorted(first.records.done, key=steps)]
    assert run_study(plan).nothing_to_train
    longer = run_study(plan_study([*overrides, elsewhere, "budget.tokens=[2e3,4e3,6e3]"]))  # and goes on
    assert len(longer.records.done) == 3
    assert len({r.trunk_id for r in longer.records.done}) == 1


def steps(record: Any) -> int:
    return int(record.steps)


def test_trunks_begun_under_ids_that_hold_paths_are_found(
    overrides: list[str], elsewhere: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(planning, "OldIds", BeforeIds)
        old = run_study(plan_study([*overrides, "budget.tokens=2e3"]))
    (record,) = old.records.done
    spec = json.loads((old.folder / record.trunk_id / "spec.json").read_bytes())
    assert spec["data"]["paths"]  # as the first versions wrote it, and hashed it
    assert "id_paths" not in spec["data"]
    for place in ([], [elsewhere]):
        plan = plan_study([*overrides, *place])
        assert plan.trunks[0].spec.id == record.trunk_id
        assert record.run_id in {run.id for _, run in plan.runs}
    result = run_study(plan)  # at its new place, and one budget more
    assert len(result.records.done) == 2
    assert result.before == {record.run_id}
    # A study that is new takes the old runs over.
    other = run_study(plan_study([*overrides, elsewhere, "name=other"]))
    assert other.reused == {"tiny": 2}
    assert not read_study(other.folder).damaged


def test_a_spec_that_is_not_its_folders_gives_no_id(
    overrides: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(planning, "OldIds", BeforeIds)
        old = plan_study(overrides)
    trunk = old.trunks[0]
    folder = old.folder / "decoder-14x2-0000000000"
    folder.mkdir(parents=True)
    (folder / "spec.json").write_text(json.dumps(trunk.spec.identity()))
    assert plan_study(overrides).trunks[0].spec.id not in (folder.name, trunk.spec.id)
