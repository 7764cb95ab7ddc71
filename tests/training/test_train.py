"""One trunk, its cooldowns, and the promise that stopping and sharing change no bit."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scaling.data.corpora import open_dataset
from scaling.data.dataset import Dataset
from scaling.records.record import RunRecord, read_study
from scaling.records.storage import Lock, LockedError
from scaling.study.plan import plan_study
from scaling.study.spec import Trunk
from scaling.training import segment, stop
from scaling.training import train as training
from scaling.training.device import Numerics
from scaling.training.evaluate import evaluate, predictions
from scaling.training.objectives import OBJECTIVES, cross_entropy
from scaling.training.observer import Observer
from scaling.training.state import LocalState
from scaling.training.train import train_trunk

Case = tuple[Trunk, Dataset]


@pytest.fixture
def case(tiny_study: list[str]) -> Case:
    plan = plan_study([*tiny_study, "budget.tokens=[2e3, 4e3, 6e3]"])
    return plan.trunks[0], open_dataset(plan.trunks[0].spec.data, plan.config.cache)


def train(case: Case, folder: Path, observer: Observer | None = None) -> list[RunRecord]:
    return train_trunk(case[0], case[1], folder, study="tiny", threads=1, observer=observer)


def results(folder: Path) -> dict[str, tuple[str, bytes]]:
    """Loss to the bit and every byte of the log, of each run and of the trunk."""
    found = {
        r.run_id: (
            float(r.loss or math.nan).hex(),
            (folder / r.trunk_id / r.run_id / "metrics.jsonl").read_bytes(),
        )
        for r in read_study(folder).records
    }
    for trunk in folder.iterdir():
        found[trunk.name] = ("", (trunk / "metrics.jsonl").read_bytes())
    return found


def test_a_trunk_gives_a_record_a_budget(case: Case, tmp_path: Path) -> None:
    trunk, dataset = case
    records = train(case, tmp_path)
    assert [r.tokens for r in records] == [run.tokens for run in trunk.runs] == [2048, 3968, 6016]
    for run, record in zip(trunk.runs, records, strict=True):
        assert record.status == "done"
        assert record.run_id == run.id
        assert record.loss is not None
        assert record.loss < math.log(dataset.vocab)
        assert record.flops == trunk.flops_per_token * run.tokens
        assert record.flops_6nd == 6 * trunk.params * run.tokens
        assert record.tokens_unique == record.tokens
        assert record.epochs == record.tokens / (len(dataset.train) // 32 * 32)
        assert record.data_fingerprint == dataset.fingerprint
        assert record.spec == json.loads(json.dumps(run.to_dict()))
        assert (record.device, record.precision, record.threads) == ("cpu", "float32", 1)
    assert records[0].loss > records[-1].loss  # type: ignore[operator]


def test_two_executions_give_the_same_bits(case: Case, tmp_path: Path) -> None:
    for name in "ab":
        train(case, tmp_path / name)
    assert results(tmp_path / "a") == results(tmp_path / "b")


def test_sharing_a_trunk_changes_no_bit(case: Case, tmp_path: Path) -> None:
    together = {r.run_id: r.loss for r in train(case, tmp_path / "together")}
    for run in case[0].runs:
        (alone,) = train((replace(case[0], runs=(run,)), case[1]), tmp_path / run.id)
        assert alone.loss == together[run.id]


def test_a_budget_added_later_continues_the_trunk(case: Case, tmp_path: Path) -> None:
    trunk, dataset = case
    train(case, tmp_path / "once")
    for runs in (trunk.runs[1:2], trunk.runs):  # a longer and a shorter budget come later
        train((replace(trunk, runs=runs), dataset), tmp_path / "grown")
    once, grown = results(tmp_path / "once"), results(tmp_path / "grown")
    assert {run.id: grown[run.id] for run in trunk.runs} == {run.id: once[run.id] for run in trunk.runs}


class Stopped(Exception):
    pass


class StopAfter(Observer):
    """Stops training in the middle, at the n-th thing it hears of."""

    def __init__(self, events: int) -> None:
        self.left = events

    def logged(self, id: str, row: Mapping[str, Any]) -> None:
        self._count()

    def opened(self, id: str, kind: str, config: Mapping[str, Any]) -> None:
        self._count()

    def closed(self, id: str, summary: Mapping[str, Any]) -> None:
        self._count()

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Stopped


def test_stopping_anywhere_and_starting_again_changes_no_bit(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(case, tmp_path / "untouched")
    monkeypatch.setattr(segment, "CHECKPOINT_SECONDS", 0.0)  # a checkpoint a step
    stops = 0
    rng = np.random.default_rng(0)
    while True:
        try:
            train(case, tmp_path / "stopped", StopAfter(int(rng.integers(0, 25))))
            break
        except Stopped:
            stops += 1
    assert stops > 3
    assert results(tmp_path / "stopped") == results(tmp_path / "untouched")
    assert max(r.attempts for r in read_study(tmp_path / "stopped").records) > 1


def test_a_request_to_stop_does_not_wait_for_the_last_evaluation(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(case, tmp_path / "untouched")
    seen: list[object] = []

    def asked_meanwhile(model: Any, objective: str, rows: Any, *rest: Any) -> Any:
        def ask(rows: Any) -> Any:
            for row in rows:
                seen.append(row)
                monkeypatch.setattr(stop, "requested", lambda: True)
                yield row

        return evaluate(model, objective, rows if isinstance(rows, list) else ask(rows), *rest)

    with monkeypatch.context() as patch:
        patch.setattr(training, "evaluate", asked_meanwhile)
        with pytest.raises(stop.Stopped, match="saved before its last evaluation"):
            train(case, tmp_path / "stopped")
    monkeypatch.undo()
    assert len(seen) == 1
    train(case, tmp_path / "stopped")
    assert results(tmp_path / "stopped") == results(tmp_path / "untouched")


def test_a_finished_trunk_is_not_trained_again(case: Case, tmp_path: Path) -> None:
    first = train(case, tmp_path)
    assert train(case, tmp_path, StopAfter(0)) == first


def test_a_damaged_record_is_set_aside_and_made_again(case: Case, tmp_path: Path) -> None:
    first = train(case, tmp_path)[1]
    path = tmp_path / first.trunk_id / first.run_id / "record.json"
    path.write_bytes(path.read_bytes().replace(b"3968", b"3967"))
    assert "sha256" in next(iter(read_study(tmp_path).damaged.values()))
    again = train(case, tmp_path)[1]
    assert again.loss == first.loss
    assert len(list(tmp_path.glob("**/quarantine/*"))) >= 1


def test_divergence_is_a_record_with_its_step_and_no_number(case: Case, tmp_path: Path) -> None:
    trunk, dataset = case
    wild = replace(trunk.spec, learning_rate=1e30, clip=1e30)
    runs = tuple(replace(run, trunk=wild) for run in trunk.runs)
    records = train((replace(trunk, spec=wild, runs=runs), dataset), tmp_path)
    assert [r.status for r in records] == ["diverged"] * 3
    assert all(r.loss is None and r.bits_per_byte is None for r in records)
    assert "at step" in (records[0].reason or "")
    study = read_study(tmp_path)
    assert (len(study.done), len(study.diverged)) == (0, 3)
    assert train((replace(trunk, spec=wild, runs=runs), dataset), tmp_path, StopAfter(0)) == records


def test_a_loss_above_guessing_is_divergence(case: Case, tmp_path: Path) -> None:
    trunk, dataset = case
    wild = replace(trunk.spec, learning_rate=30.0)
    run = replace(trunk.runs[0], trunk=wild)
    (record,) = train((replace(trunk, spec=wild, runs=(run,)), dataset), tmp_path)
    assert record.status == "diverged"
    assert "is above that of guessing, ln 256 = 5.5452" in (record.reason or "")


def test_gradient_accumulation_equals_one_batch(case: Case) -> None:
    trunk, dataset = case
    batch = OBJECTIVES["causal"](np.random.default_rng(0).integers(0, 256, (4, 33)), dataset.layout, ())
    numerics = Numerics("cpu", "float32", 1)
    whole = LocalState(trunk.spec, numerics)
    parts = LocalState(replace(trunk.spec, microbatch=1), numerics)
    for state in (whole, parts):
        state.loss, state.norm = state.train_step(batch, 1e-2)  # type: ignore[attr-defined]
    torch.testing.assert_close(whole.loss, parts.loss)  # type: ignore[attr-defined]
    torch.testing.assert_close(whole.norm, parts.norm, rtol=1e-4, atol=1e-6)  # type: ignore[attr-defined]
    for a, b in zip(whole.model.parameters(), parts.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_evaluation_is_exact_for_a_model_that_guesses(case: Case) -> None:
    trunk, dataset = case
    state = LocalState(trunk.spec, Numerics("cpu", "float32", 1))
    torch.nn.init.zeros_(state.model.head.weight)  # type: ignore[arg-type, union-attr]
    batches = dataset.heldout_batches(32, 16, 2048)
    found = evaluate(state.model, "causal", batches, dataset, "cpu")
    assert found.loss == pytest.approx(math.log(256), rel=1e-6)
    assert found.loss_se == pytest.approx(0, abs=1e-6)
    assert found.tokens == 2048
    text = sum(int((batch[:, 1:] != 0).sum()) for batch in batches)
    assert found.bits_per_byte == pytest.approx(8 * 2048 / text, rel=1e-6)


@pytest.mark.parametrize(("tokens", "together"), [(1024, 1), (2048, 2)])
def test_standard_error_is_over_neighbours(case: Case, tokens: int, together: int) -> None:
    """Of few rows between rows, else between 32 stretches of them."""
    trunk, dataset = case
    state = LocalState(trunk.spec, Numerics("cpu", "float32", 1))
    batches = dataset.heldout_batches(32, 16, tokens)
    with torch.no_grad():
        rows = torch.cat(
            [
                cross_entropy(logits, torch.from_numpy(batch.targets)).mean(1)
                for _, batch, logits in predictions(state.model, "causal", batches, dataset, "cpu")
            ]
        )
    found = evaluate(state.model, "causal", batches, dataset, "cpu")
    assert found.loss == pytest.approx(rows.mean().item(), rel=1e-6)
    stretches = rows.view(32, together).mean(1)
    assert found.loss_se == pytest.approx(stretches.std().item() / math.sqrt(32), rel=1e-5)


def test_a_changed_corpus_is_refused(case: Case, tmp_path: Path) -> None:
    other = replace(case[1], fingerprint="f" * 16)
    with pytest.raises(ValueError, match=r"was planned with data .*, but the corpus now is ffff"):
        train((case[0], other), tmp_path)


def test_two_processes_do_not_train_one_trunk(case: Case, tmp_path: Path) -> None:
    (tmp_path / case[0].spec.id).mkdir()
    with Lock(tmp_path / case[0].spec.id / "lock"), pytest.raises(LockedError):
        train(case, tmp_path)


def test_what_stops_training_is_noted(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(segment, "save_checkpoint", full)
    with pytest.raises(OSError, match="No space"):
        train(case, tmp_path)
    (failure,) = [f for p in tmp_path.glob("*/failures/*.json") for f in [json.loads(p.read_bytes())]]
    assert failure["kind"] == "enospc"
    assert "No space left on device" in failure["message"]


def log_of(case: Case, folder: Path) -> bytes:
    return (folder / case[0].spec.id / "metrics.jsonl").read_bytes()


@pytest.mark.parametrize("lost", ["record", "checkpoints", "whole checkpoints", "folder"])
def test_a_shorter_run_that_is_damaged_later_cuts_nothing_of_the_trunk(
    case: Case, tmp_path: Path, trained_steps: list[int], lost: str
) -> None:
    """Its own checkpoint is enough; without one the way to its branch is trained beside the trunk."""
    trunk, _ = case
    before = {r.run_id: r for r in train(case, tmp_path)}
    wanted, folder = results(tmp_path), tmp_path / trunk.spec.id
    trained_steps.clear()
    short = trunk.runs[0]
    record = folder / short.id / "record.json"
    record.write_bytes(record.read_bytes()[:-30])
    if lost == "checkpoints":
        shutil.rmtree(folder / short.id / "checkpoints")
    elif lost == "whole checkpoints":
        for path in (folder / short.id / "checkpoints").iterdir():
            path.write_bytes(path.read_bytes()[:-1])
    elif lost == "folder":
        shutil.rmtree(folder / short.id)
    train(case, tmp_path)
    assert results(tmp_path) == wanted
    assert len(trained_steps) == (0 if lost == "record" else short.steps)
    assert not (folder / short.id / "way").exists()
    again = {r.run_id: r for r in read_study(tmp_path).records}
    assert again[short.id].seconds == before[short.id].seconds or lost != "record"
    trained_steps.clear()
    grown = replace(trunk, runs=(*trunk.runs, replace(trunk.runs[-1], steps=60, cooldown_steps=12)))
    train((grown, case[1]), tmp_path)  # and the trunk continues from its end
    assert min(trained_steps) == trunk.runs[-1].branch_step


def test_stopping_on_the_way_to_a_branch_changes_no_bit(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trunk, _ = case
    train(case, tmp_path)
    wanted = results(tmp_path)
    shutil.rmtree(tmp_path / trunk.spec.id / trunk.runs[0].id)
    monkeypatch.setattr(segment, "CHECKPOINT_SECONDS", 0.0)
    asked = iter([False] * 6 + [True] + [False] * 1000)
    with monkeypatch.context() as patch:
        patch.setattr(stop, "requested", lambda: next(asked))
        with pytest.raises(stop.Stopped):
            train(case, tmp_path)
    assert list(tmp_path.glob("*/*/way/checkpoints/*.pt"))
    train(case, tmp_path)
    assert results(tmp_path) == wanted


def test_a_damaged_spec_is_written_again(case: Case, tmp_path: Path) -> None:
    """One changed digit: the folder's name says which spec it was."""
    trunk, _ = case
    train(case, tmp_path)
    folder = tmp_path / trunk.spec.id
    for path in (folder / "spec.json", folder / trunk.runs[0].id / "spec.json"):
        whole = path.read_bytes()
        for damaged in (whole.replace(b'"seed": 0', b'"seed": 7'), b"[" * 100_000, whole[:40], b"[]"):
            path.write_bytes(damaged)
            (folder / trunk.runs[0].id / "record.json").unlink()
            train(case, tmp_path)
            assert path.read_bytes() == whole
        assert len(list((path.parent / "quarantine").glob("spec*.reason"))) == 4
