"""What another study has trained is not trained again, and no bit tells who trained it."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from analysis.table import load_runs
from scaling.data.corpora import open_dataset
from scaling.data.dataset import Dataset
from scaling.records.record import RunRecord, read_study
from scaling.records.storage import checkpoints
from scaling.study.plan import plan_study
from scaling.study.spec import Trunk
from scaling.training import reuse, segment
from scaling.training.device import choose_numerics
from scaling.training.observer import Observer
from scaling.training.provenance import attempt_facts
from scaling.training.reuse import TrunkCache
from scaling.training.state import LocalState
from scaling.training.train import train_trunk
from tests.records.disk import Disk, Killed

OWN = ("study", "seconds", "attempts", "started", "finished")  # of a record: who made it, and when


@dataclass
class Case:
    """A trunk with four budgets, what training it alone gives, and a study that has trained two of them."""

    trunk: Trunk
    dataset: Dataset
    alone: dict[str, Any]
    short: dict[str, Any]  # of the first two budgets alone
    first: Path

    def runs(self, *indices: int) -> Trunk:
        return replace(self.trunk, runs=tuple(self.trunk.runs[i] for i in indices))

    def train(self, folder: Path, trunk: Trunk | None = None, **options: Any) -> list[RunRecord]:
        options = {"threads": 1, "reuse": True, **options}
        return train_trunk(trunk or self.trunk, self.dataset, folder, study=folder.name, **options)


def outcome(folder: Path) -> dict[str, Any]:
    """Everything but who trained it and when: records, every byte of every log, steps with a checkpoint."""
    study = read_study(folder)
    assert not study.damaged
    assert not study.quarantined
    found: dict[str, Any] = {
        r.run_id: {k: v for k, v in asdict(r).items() if k not in OWN} for r in study.records
    }
    for log in sorted(folder.rglob("metrics.jsonl")):
        place = log.parent.relative_to(folder)
        kept = sorted(path.name[:13] for path in (log.parent / "checkpoints").iterdir())
        found[str(place)] = (log.read_bytes(), kept[-1])
    assert not list(folder.rglob(".tmp-*"))
    return found


def steps_of(trunk: Trunk, done: int = 0) -> int:
    """Steps to train from step `done` of the trunk."""
    return trunk.last_step - done + sum(run.cooldown_steps for run in trunk.runs)


@pytest.fixture(scope="module")
def original(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Case:
    home = tmp_path_factory.mktemp("adopt")
    plan = plan_study(
        [
            *("name=tiny", f"runs={home}", f"cache={tmp_path_factory.getbasetemp() / 'cache'}", "data=text"),
            *(f"data.paths=[{tiny_corpus}/*.txt]", "data.vocab=256", "data.context=32"),
            *("data.heldout_fraction=0.2", "model.params=5e3", "budget.tokens=[2e3,4e3,6e3,8e3]"),
            *("training.sequences=4", "training.warmup_steps=3", "training.precision=float32"),
            *("training.evaluation_tokens=2048", "training.curve_tokens=1024"),
        ]
    )
    corpus = open_dataset(plan.trunks[0].spec.data, plan.config.cache)
    case = Case(plan.trunks[0], corpus, {}, {}, home / "kept" / "first")
    case.train(home / "alone", reuse=False)
    case.train(home / "short", case.runs(0, 1), reuse=False)
    case.alone, case.short = outcome(home / "alone"), outcome(home / "short")
    case.train(case.first, case.runs(1, 2))
    return case


@pytest.fixture
def case(original: Case, tmp_path: Path) -> Case:
    shutil.copytree(original.first, tmp_path / "runs" / "first")
    return replace(original, first=tmp_path / "runs" / "first")


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Every step that is trained."""
    steps: list[int] = []
    train_step = LocalState.train_step

    def counting(self: LocalState, *arguments: Any) -> Any:
        steps.append(self.step)
        return train_step(self, *arguments)

    monkeypatch.setattr(LocalState, "train_step", counting)
    return steps


def test_longer_and_shorter_budgets_train_what_is_missing_only(case: Case, trained: list[int]) -> None:
    folder = case.first.with_name("second")
    records = case.train(folder)
    one, _, three, four = case.trunk.runs
    # The shortest run is before the checkpoints that the first study keeps, the longest after its last one.
    assert len(trained) == steps_of(case.runs(0)) + steps_of(case.runs(3), done=three.branch_step)
    assert outcome(folder) == case.alone
    assert [r.study for r in records] == ["second", "first", "first", "second"]
    for run in case.trunk.runs[1:3]:
        place = Path(case.trunk.spec.id, run.id, "record.json")
        assert (folder / place).read_bytes() == (case.first / place).read_bytes()
    table = load_runs(folder)
    assert (len(table), table.counts["quarantined"], table.study) == (4, 0, "second")
    assert one.branch_step < three.branch_step < four.branch_step


def test_the_same_runs_train_nothing(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []

    class Listener(Observer):
        def closed(self, id: str, summary: Mapping[str, Any]) -> None:
            closed.append((id, summary.get("study")))

    folder = case.first.with_name("second")
    wanted = case.runs(1, 2)
    with monkeypatch.context() as patch:
        patch.setattr("scaling.training.train.open_state", None)  # not even a model is made
        case.train(folder, wanted, observer=Listener())
    assert outcome(folder) == outcome(case.first)
    assert closed == [*((run.id, "first") for run in wanted.runs), (wanted.spec.id, None)]
    shutil.rmtree(case.first)  # a study of its own: it can be read and gone on with
    case.train(folder)
    assert outcome(folder) == case.alone


def test_nothing_is_taken_where_sharing_is_off(case: Case, trained: list[int]) -> None:
    case.train(case.first.with_name("second"), case.runs(1), reuse=False)
    assert len(trained) == steps_of(case.runs(1))


def test_what_is_found_is_what_is_taken(case: Case) -> None:
    facts = attempt_facts(case.trunk, choose_numerics("float32", 16, "cpu", 1))
    home = case.first.with_name("second") / case.trunk.spec.id
    found = TrunkCache(case.trunk.spec, home, facts).find(case.trunk)
    one, two, three, _ = case.trunk.runs
    assert found.shared == {two.id: "first", three.id: "first"}
    assert found.done == frozenset()
    assert found.steps == {two.branch_step, three.branch_step}
    case.train(home.parent, case.runs(0, 1))
    found = TrunkCache(case.trunk.spec, home, facts).find(case.trunk)
    assert found.done == {one.id, two.id}
    assert found.shared == {three.id: "first"}
    assert TrunkCache(case.trunk.spec, home, facts, reuse=False).find(case.trunk).shared == {}


def flip(path: Path, at: float = 0.5) -> None:
    data = bytearray(path.read_bytes())
    data[int(at * (len(data) - 1))] ^= 1
    path.unlink()  # the module's fixture may share it
    path.write_bytes(data)


def say(path: Path, **facts: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **facts}))


def each(pattern: str, change: Callable[[Path], object]) -> Callable[[Path], None]:
    def act(trunk: Path) -> None:
        paths = list(trunk.glob(pattern))
        assert paths
        for path in paths:
            change(path)

    return act


ATTEMPT = "attempts/000001.json"
VERSIONS = {"torch": "2.0.0"}
USELESS: dict[str, Callable[[Path], None]] = {
    "weights are damaged": each("**/*.pt", flip),
    "weights are gone": each("**/*.pt", Path.unlink),
    "logs are cut": each("**/metrics.jsonl", lambda path: os.truncate(path, path.stat().st_size // 10)),
    "logs miss a step": each(
        "**/metrics.jsonl",
        lambda path: path.write_bytes(path.read_bytes().replace(b'"step":', b'"stop":', 1)),
    ),
    "the spec is another": each("spec.json", lambda path: say(path, seed=1)),
    "the spec is damaged": each("spec.json", lambda path: os.truncate(path, 20)),
    "no attempt is noted": each(ATTEMPT, Path.unlink),
    "an attempt cannot be read": each(ATTEMPT, lambda path: os.truncate(path, 20)),
    "other threads": each(ATTEMPT, lambda path: say(path, threads=2)),
    "other precision": each(ATTEMPT, lambda path: say(path, precision="bfloat16")),
    "another device": each(ATTEMPT, lambda path: say(path, device="cuda:0")),
    "another PyTorch": each(ATTEMPT, lambda path: say(path, versions=VERSIONS)),
    "a second attempt differs": lambda trunk: say(
        Path(shutil.copy(trunk / ATTEMPT, trunk / "attempts/000002.json")), threads=2
    ),
}


@pytest.mark.parametrize("why", USELESS)
def test_what_cannot_be_trusted_is_trained(case: Case, trained: list[int], why: str) -> None:
    USELESS[why](case.first / case.trunk.spec.id)
    before = {path: path.read_bytes() for path in case.first.rglob("*") if path.is_file()}
    folder = case.first.with_name("second")
    case.train(folder, case.runs(0, 1))
    assert outcome(folder) == case.short
    assert len(trained) == steps_of(case.runs(0, 1))
    assert {path: path.read_bytes() for path in case.first.rglob("*") if path.is_file()} == before


def test_one_damaged_record_is_trained_from_the_checkpoint_of_its_branch(
    case: Case, trained: list[int]
) -> None:
    two, three = case.trunk.runs[1:3]
    flip(case.first / case.trunk.spec.id / three.id / "record.json")
    folder = case.first.with_name("second")
    records = case.train(folder, case.runs(1, 2))
    assert len(trained) == three.cooldown_steps
    assert [r.study for r in records] == ["first", "second"]
    flip(case.first / case.trunk.spec.id / two.id / "record.json")  # the second's is whole: a third finds it
    case.train(case.first.with_name("third"), case.runs(1, 2))
    assert len(trained) == three.cooldown_steps


def test_other_threads_here_take_nothing(case: Case, trained: list[int]) -> None:
    case.train(case.first.with_name("second"), case.runs(1), threads=2)
    assert len(trained) == steps_of(case.runs(1))


def test_a_log_that_differs_where_both_have_one_is_another_computation(
    case: Case, trained: list[int]
) -> None:
    folder = case.first.with_name("second")
    case.train(folder, case.runs(0))
    own = next(folder.glob("*/metrics.jsonl"))
    flip(own, 0.01)
    done, before = len(trained), own.read_bytes()
    case.train(folder, case.runs(0, 3))
    assert len(trained) - done == steps_of(case.runs(3), done=case.trunk.runs[0].branch_step)
    assert own.read_bytes().startswith(before)


class During(Observer):
    """Does something else in the middle of training, once it has seen so many rows."""

    def __init__(self, rows: int, act: Callable[[], object]) -> None:
        self.left, self.act = rows, act

    def logged(self, id: str, row: Mapping[str, Any]) -> None:
        self.left -= 1
        if self.left == 0:
            self.act()


@pytest.mark.parametrize("rows", [8, 25])
def test_two_studies_at_the_same_time(
    case: Case, tmp_path: Path, trained: list[int], monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    """One starts, and ends, while the other is at work; each takes what the other has just then."""
    monkeypatch.setattr(segment, "CHECKPOINT_SECONDS", 0.0)  # a checkpoint a step
    one, other = tmp_path / "both" / "one", tmp_path / "both" / "other"
    wanted = case.runs(0, 1)
    case.train(one, wanted, observer=During(rows, lambda: case.train(other, wanted)))
    assert outcome(one) == outcome(other) == case.short
    assert len(trained) < 2 * steps_of(wanted)


def test_a_study_that_vanishes_meanwhile_is_done_without(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    read = reuse._read_stretch

    def then_gone(*arguments: Any) -> Any:
        found = read(*arguments)
        shutil.rmtree(case.first, ignore_errors=True)
        return found

    monkeypatch.setattr(reuse, "_read_stretch", then_gone)
    case.train(case.first.with_name("second"), case.runs(0, 1))
    assert outcome(case.first.with_name("second")) == case.short


class Elsewhere:
    """`os` on a file system that is not the other study's."""

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def link(self, *_: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))


def test_weights_are_copied_where_they_cannot_be_linked(
    case: Case, trained: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "os", Elsewhere())
    folder = case.first.with_name("second")
    case.train(folder, case.runs(1, 2))
    assert trained == []
    assert outcome(folder) == outcome(case.first)
    assert {path.stat().st_nlink for path in folder.rglob("*.pt")} == {1}


def lives(case: Case, tmp: Path, mode: str, stride: int) -> Iterator[Path]:
    """A study that was killed, or met a full disk, at every `stride`th operation of taking over."""
    at = 0
    while True:
        home = tmp / f"{mode}-{at}"
        shutil.copytree(case.first, home / "first")
        disk = Disk(at=at, mode=mode)
        with disk.installed(), suppress(Killed, OSError):
            case.train(home / "second", case.runs(2))
        if disk.count <= at:
            return
        yield home
        shutil.rmtree(home)
        at += stride


@pytest.mark.parametrize(("mode", "stride"), [("torn", 1), ("ENOSPC", 4)])
def test_killed_at_any_instant_of_taking_over(
    case: Case, tmp_path: Path, trained: list[int], mode: str, stride: int
) -> None:
    case.train(case.first.with_name("second"), case.runs(2))
    wanted, number = outcome(case.first.with_name("second")), 0
    for home in lives(case, tmp_path / "lives", mode, stride):
        case.train(home / "second", case.runs(2))
        assert outcome(home / "second") == wanted
        number += stride
    assert number > 40
    assert trained == []
