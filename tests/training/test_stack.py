"""Trunks of one shape trained as one: the results of each alone, to float tolerance."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from experiments.benchmarks.peer import Cell
from experiments.benchmarks.training import draw_from, spec_of
from scaling.data.dataset import Dataset
from scaling.data.layout import NOTHING
from scaling.launch.multirun import launch
from scaling.launch.pool import Task, stack, train_in_processes
from scaling.records.record import RunRecord, read_study
from scaling.records.storage import Lock, LockedError
from scaling.study.plan import Plan, open_corpus, plan_study
from scaling.study.spec import RunSpec, Trunk, TrunkSpec
from scaling.training import stack as module
from scaling.training import stop
from scaling.training.adopt import attempt_facts
from scaling.training.device import Arithmetic
from scaling.training.observer import Observer
from scaling.training.segment import Ask
from scaling.training.stack import Stack, together
from scaling.training.state import State
from scaling.training.train import train_trunk, train_trunks

TOLERANCE = (
    2e-3  # nats, after up to 47 steps in which rounding grows; seeds differ by more than ten times that
)


@pytest.fixture
def asked(tiny_study: list[str]) -> list[str]:
    """Two seeds at two rates, of one size."""
    free = [word for word in tiny_study if not word.startswith("model.params")]
    grid = ["model.params=5e3", "seed=0,1", "training.learning_rate=4e-3,1e-2"]
    return [*free, *grid, "budget.tokens=[2e3, 4e3, 6e3]"]


@pytest.fixture
def plan(asked: list[str]) -> Plan:
    return plan_study(asked)


def corpus(plan: Plan) -> Dataset:
    return open_corpus(plan.config.data, plan.config.cache)


_alone: dict[str, RunRecord] = {}  # the same in every test


def separately(plan: Plan, folder: Path, trunks: Sequence[Trunk] | None = None) -> dict[str, RunRecord]:
    runs = [run for trunk in trunks or plan.trunks for run in trunk.runs]
    if not _alone.keys() >= {run.id for run in runs}:
        for trunk in plan.trunks:
            records = train_trunk(trunk, corpus(plan), folder, study="tiny", threads=1)
            _alone.update({record.run_id: record for record in records})
    return {run.id: _alone[run.id] for run in runs}


def stacked(
    plan: Plan, folder: Path, trunks: Sequence[Trunk] | None = None, **options: Any
) -> list[list[RunRecord] | Exception]:
    return train_trunks(trunks or plan.trunks, corpus(plan), folder, study="tiny", threads=1, **options)


def by_id(folder: Path) -> dict[str, RunRecord]:
    return {record.run_id: record for record in read_study(folder).records}


def held_equal(ours: Mapping[str, RunRecord], theirs: Mapping[str, RunRecord]) -> None:
    assert ours.keys() == theirs.keys()
    for id, record in theirs.items():
        assert (ours[id].status, ours[id].tokens, ours[id].spec) == ("done", record.tokens, record.spec)
        assert ours[id].loss == pytest.approx(record.loss, abs=TOLERANCE)


def log_of(folder: Path, id: str) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / id / "metrics.jsonl").read_text().splitlines()]


def test_a_stack_gives_what_each_trunk_gives_alone(plan: Plan, tmp_path: Path) -> None:
    """Records; every log; and a checkpoint no larger, though its tensors are slices of common ones."""
    _alone.clear()
    theirs = separately(plan, tmp_path / "alone")
    losses = sorted(record.loss or 0.0 for record in theirs.values())
    assert len(losses) == 12
    assert np.diff(losses).max() > 20 * TOLERANCE
    assert all(isinstance(found, list) for found in stacked(plan, tmp_path / "stacked"))
    held_equal(by_id(tmp_path / "stacked"), theirs)
    for trunk in plan.trunks:
        one, other = (log_of(tmp_path / name, trunk.spec.id) for name in ("alone", "stacked"))
        assert [row.keys() for row in one] == [row.keys() for row in other]
        for a, b in zip(one[:8], other[:8], strict=True):
            assert a == pytest.approx(b, rel=1e-4)
        sizes = [
            sorted(path.stat().st_size for path in (tmp_path / name / trunk.spec.id).rglob("*.pt"))
            for name in ("alone", "stacked")
        ]
        assert sizes[1] == pytest.approx(sizes[0], rel=0.02)


@pytest.mark.parametrize("family", module.FAMILIES)
@pytest.mark.parametrize(
    ("change", "precision", "tolerance"),
    [
        ({}, "float32", 1e-5),
        ({"microbatch": 2}, "float32", 1e-5),
        ({"loss": "squared"}, "float32", 1e-5),
        ({}, "bfloat16", 3e-2),
    ],
    ids=["plain", "in parts", "squared loss", "bfloat16"],
)
def test_steps_are_those_of_each_state(
    family: str, change: dict[str, Any], precision: str, tolerance: float
) -> None:
    """Loss, norm and weights; also with targets that are not predicted, and when one has ended."""
    cell = Cell(family, 16, 2, 1, 40, 16, 4)
    specs = [replace(spec_of(cell, precision), **change, seed=seed) for seed in range(3)]
    arithmetic = Arithmetic("cpu", precision, 1)
    alone, apart = ([State(spec, arithmetic) for spec in specs] for _ in range(2))
    joint = Stack(apart)
    draws = [draw_from(cell) for _ in specs]
    for step in range(4):
        asks = [
            Ask(state, draw(), 10.0**-i) for i, (state, draw) in enumerate(zip(apart, draws, strict=True), 2)
        ]
        if step == 2:
            asks[0].batch.targets[1:, ::2] = NOTHING
        if step == 3:
            del asks[1]
        found = joint.take(asks)
        for ask, (loss, norm) in zip(asks, found, strict=True):
            expected = alone[apart.index(ask.state)].train_step(ask.batch, ask.rate)
            torch.testing.assert_close((loss, norm), expected, rtol=tolerance, atol=tolerance)
    for one, other in zip(alone, apart, strict=True):
        assert one.step == other.step
        for a, b in zip(one.model.parameters(), other.model.parameters(), strict=True):
            # Adam's first steps have the size of the rate wherever the gradient's sign is sure.
            assert (a - b).abs().mean().item() <= tolerance * a.abs().mean().item()


def test_trunks_of_one_shape_go_together(asked: list[str]) -> None:
    sizes = [word for word in asked if not word.startswith("model.params")]
    trunks = plan_study([*sizes, "model.params=5e3,8e3"]).trunks
    groups = together(trunks, 3)
    assert [len(group) for group in groups] == [3, 1, 3, 1]
    assert sorted(t.spec.id for group in groups for t in group) == sorted(t.spec.id for t in trunks)
    assert all(len({t.spec.width for t in group}) == 1 for group in groups)
    assert [len(group) for group in together(trunks, 1)] == [1] * 8
    recurrent = plan_study([*sizes, "model.params=5e3", "model=lstm"]).trunks
    assert [len(group) for group in together(recurrent, 8)] == [1] * 4
    batches = plan_study([*sizes, "model.params=5e3", "training.sequences=2,4"]).trunks
    assert [len(group) for group in together(batches, 8)] == [4, 4]


def test_one_that_ends_early_leaves_the_others(plan: Plan, tmp_path: Path) -> None:
    trunks = [plan.trunks[0], replace(plan.trunks[1], runs=plan.trunks[1].runs[:1]), plan.trunks[2]]
    theirs = separately(plan, tmp_path / "alone", trunks)
    stacked(plan, tmp_path / "stacked", trunks)
    held_equal(by_id(tmp_path / "stacked"), theirs)


def test_one_that_diverges_or_is_held_leaves_the_others(plan: Plan, tmp_path: Path) -> None:
    wild = _with(plan.trunks[0], learning_rate=1e30, clip=1e30)
    held = plan.trunks[1]
    theirs = separately(plan, tmp_path / "alone", plan.trunks[2:])
    (tmp_path / "stacked" / held.spec.id).mkdir(parents=True)
    with Lock(tmp_path / "stacked" / held.spec.id / "lock"):
        found = stacked(plan, tmp_path / "stacked", [wild, held, *plan.trunks[2:]])
    assert isinstance(found[0], list)
    assert {record.status for record in found[0]} == {"diverged"}
    assert isinstance(found[1], LockedError)
    ours = {
        id: record for id, record in by_id(tmp_path / "stacked").items() if record.trunk_id != wild.spec.id
    }
    held_equal(ours, theirs)


def _with(trunk: Trunk, **change: Any) -> Trunk:
    spec: TrunkSpec = replace(trunk.spec, **change)
    runs: tuple[RunSpec, ...] = tuple(replace(run, trunk=spec) for run in trunk.runs)
    return replace(trunk, spec=spec, runs=runs)


def test_what_fails_a_step_is_noted_by_every_trunk_in_it(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = separately(plan, tmp_path / "alone")
    take = Stack.take

    def starved(self: Stack, asks: Sequence[Ask]) -> Any:
        if asks[0].state.step == 20:
            raise RuntimeError("not enough memory")
        return take(self, asks)

    with monkeypatch.context() as patch:
        patch.setattr(Stack, "take", starved)
        found = stacked(plan, tmp_path / "stacked")
    assert {str(result) for result in found} == {"not enough memory"}
    notes = list((tmp_path / "stacked").glob("*/failures/*.json"))
    assert len(notes) == 4
    assert all(json.loads(note.read_text())["kind"] == "oom" for note in notes)
    assert len(by_id(tmp_path / "stacked")) == 4  # the first budgets
    stacked(plan, tmp_path / "stacked")
    held_equal(by_id(tmp_path / "stacked"), theirs)


def test_asked_to_stop_every_trunk_saves(plan: Plan, tmp_path: Path) -> None:
    theirs = separately(plan, tmp_path / "alone")

    class Asks(Observer):
        asked = False

        def logged(self, id: str, row: Mapping[str, Any]) -> None:
            if not self.asked and row["step"] == 16:
                self.asked = True
                os.kill(os.getpid(), signal.SIGTERM)

    with stop.on_signals():
        found = stacked(plan, tmp_path / "stacked", observer=Asks())
    assert all(isinstance(result, stop.Stopped) for result in found)
    assert len(list((tmp_path / "stacked").glob("*/checkpoints/*.pt"))) >= 4
    stacked(plan, tmp_path / "stacked")
    held_equal(by_id(tmp_path / "stacked"), theirs)
    assert {record.attempts for record in by_id(tmp_path / "stacked").values()} == {2}


@pytest.mark.slow
def test_a_killed_stack_is_tried_again_each_trunk_alone(plan: Plan, tmp_path: Path) -> None:
    theirs = separately(plan, tmp_path / "alone")
    config = plan.config
    tasks = [Task((t,), config.data, config.cache, tmp_path / "pool", "tiny", "cpu", 1) for t in plan.trunks]
    (whole,) = stack(tasks, 8)
    assert [task.trunks for task in whole.only({plan.trunks[2].spec.id})] == [plan.trunks[2:3]]

    class Kills(Observer):
        killed = False

        def logged(self, id: str, row: Mapping[str, Any]) -> None:
            if not self.killed:
                self.killed = True
                owner = json.loads((tmp_path / "pool" / id / "lock").read_text())
                os.kill(int(owner["pid"]), signal.SIGKILL)

    train_in_processes([whole], ["cpu", "cpu"], Kills())
    held_equal(by_id(tmp_path / "pool"), theirs)
    assert len(list((tmp_path / "pool").glob("*/failures/*.json"))) == 4
    assert all(
        "stack" not in record.versions for record in by_id(tmp_path / "pool").values() if record.attempts > 1
    )


def test_a_study_asks_for_stacks(asked: list[str], tmp_path: Path) -> None:
    """And what was trained in one is told apart from what was trained alone."""
    launched = plan_study([*asked, "stack=4"])
    launch(launched, [*asked, "stack=4"], Observer())
    records = read_study(launched.folder).records
    assert len(records) == 12
    assert {record.versions["stack"] for record in records} == {"with other trunks"}
    alone = attempt_facts(Arithmetic("cpu", "float32", 1), "none")
    assert alone["versions"] | {"stack": "with other trunks"} == records[0].versions


@pytest.mark.parametrize(
    ("words", "message"),
    [(["stack=0"], "stack: at least 1"), (["stack=2", "training.parallel=ddp"], "exclude each other")],
)
def test_bad_stacks_are_refused(asked: list[str], words: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan_study([*asked, *words])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")  # PyTorch's own compiler
def test_a_compiled_stack_is_the_stack() -> None:
    cell = Cell("decoder", 16, 2, 1, 40, 16, 4)
    found = []
    for compiled in (False, True):
        specs = [replace(spec_of(cell, "float32"), seed=seed) for seed in range(2)]
        joint = Stack([State(spec, Arithmetic("cpu", "float32", 1, compiled)) for spec in specs])
        draw = draw_from(cell)
        for _ in range(5):
            losses = [loss for loss, _ in joint.take([Ask(state, draw(), 1e-3) for state in joint.states])]
        found.append([float(loss) for loss in losses])
    assert found[1] == pytest.approx(found[0], rel=1e-4)
