"""One model over two processes: the losses of one, and checkpoints that any number of them can read."""

from __future__ import annotations

import io
import multiprocessing
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from scaling.data.corpora import open_dataset
from scaling.data.dataset import Dataset
from scaling.models import FAMILIES
from scaling.records.record import RunRecord, read_study
from scaling.records.storage import load_checkpoint
from scaling.study.plan import plan_study
from scaling.study.spec import Trunk
from scaling.training import parallel
from scaling.training.device import Numerics
from scaling.training.objectives import OBJECTIVES
from scaling.training.parallel import open_state, process_group
from scaling.training.state import evaluated_weights, read_checkpoint
from scaling.training.train import train_trunk

Case = tuple[Trunk, Dataset]
ONE_THREAD = Numerics("cpu", "float32", 1)


@pytest.fixture
def case(tiny_study: list[str]) -> Case:
    plan = plan_study(
        [
            *tiny_study,
            "training.microbatch=1",
            "budget.tokens=[640,1280]",
            "training.evaluation_tokens=512",
            "training.curve_evaluations=1",
        ]
    )
    return plan.trunks[0], open_dataset(plan.trunks[0].spec.data, plan.config.cache)


@contextmanager
def processes(count: int) -> Iterator[None]:
    """This process as rank 0 of `count`, started with the variables that torchrun sets."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", "scaling.launch.preload"])
    others = [
        context.Process(target=follow, args=({**started, "RANK": str(r), "LOCAL_RANK": str(r)},), daemon=True)
        for r in range(1, count)
    ]
    for other in others:
        other.start()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**started, "RANK": "0", "LOCAL_RANK": "0"}.items():
            patch.setenv(name, value)
        try:
            with process_group() as leads:
                assert leads
                yield
            for other in others:
                other.join()
        finally:
            for other in others:
                other.kill()  # it ignores a polite request, which is for rank 0 to decide on
        assert [other.exitcode for other in others] == [0] * (count - 1)


def follow(environment: dict[str, str]) -> None:
    os.environ.update(environment)
    with process_group() as leads:
        assert not leads


def train(case: Case, folder: Path, kind: str) -> list[RunRecord]:
    return train_trunk(case[0], case[1], folder, study="tiny", threads=1, parallel=kind)


def content(folder: Path) -> dict[str, Any]:
    found = load_checkpoint(folder, read_checkpoint)
    assert found is not None
    return found[1]


def test_two_processes_train_as_one_and_their_checkpoints_are_its(case: Case, tmp_path: Path) -> None:
    """Sums are taken in another order, so that single precision differs in its last digits, no more."""
    one = train(case, tmp_path / "none", "none")
    with processes(2):
        for kind in ("ddp", "fsdp"):
            train(case, tmp_path / kind, kind)
    for kind in ("ddp", "fsdp"):
        records = read_study(tmp_path / kind).records
        for mine, theirs in zip(one, sorted(records, key=lambda r: r.tokens), strict=True):
            assert (mine.run_id, mine.tokens, mine.flops) == (theirs.run_id, theirs.tokens, theirs.flops)
            assert mine.loss == pytest.approx(theirs.loss, rel=1e-5)
            assert mine.loss_se == pytest.approx(theirs.loss_se, rel=1e-3)
            assert theirs.versions["parallel"] == f"{kind} x 2"
        for folder in (case[0].spec.id, f"{case[0].spec.id}/{one[-1].run_id}"):
            whole, shared = content(tmp_path / "none" / folder), content(tmp_path / kind / folder)
            assert whole["step"] == shared["step"]
            assert list(whole["model"]) == list(shared["model"])
            for name, weight in whole["model"].items():
                torch.testing.assert_close(shared["model"][name], weight, rtol=1e-3, atol=1e-5)
            assert whole["optimizer"]["param_groups"] == shared["optimizer"]["param_groups"]
            for i, moments in whole["optimizer"]["state"].items():
                for name, value in moments.items():
                    assert shared["optimizer"]["state"][i][name].shape == value.shape


@pytest.mark.slow
def test_a_trunk_goes_on_at_any_number_of_processes(case: Case, tmp_path: Path) -> None:
    """The first budget on one number and by one means, the second on another: as if nothing had changed."""
    trunk, dataset = case
    first = replace(trunk, runs=trunk.runs[:1]), dataset
    (straight,) = [r.loss for r in train(case, tmp_path / "straight", "none")[1:]]
    for name, before, after in (
        ("grow", "none", "fsdp"),
        ("change", "fsdp", "ddp"),
        ("shrink", "ddp", "none"),
    ):
        for part, kind in ((first, before), (case, after)):
            if kind == "none":
                records = train(part, tmp_path / name, kind)
            else:
                with processes(2):
                    records = train(part, tmp_path / name, kind)
        assert records[-1].loss == pytest.approx(straight, rel=1e-5)
        assert len(list((tmp_path / name / trunk.spec.id / "attempts").iterdir())) == 2


@pytest.mark.slow
def test_every_family_takes_the_steps_of_one_process(tiny_study: list[str]) -> None:
    cases = []
    for family in FAMILIES:
        # How evenly experts are used is a matter of the rows that are computed at once.
        own = ["model.balance=0"] if family == "moe" else []
        plan = plan_study([*tiny_study, f"model.family={family}", "training.learning_rate=1e-3", *own])
        dataset = open_dataset(plan.trunks[0].spec.data, plan.config.cache)
        spec = plan.trunks[0].spec
        rows = dataset.batches(spec.data.context, spec.sequences, spec.seed)
        arrange = OBJECTIVES[plan.trunks[0].objective]
        batches = [arrange(rows.batch(i), dataset.layout, (0, i)) for i in range(2)]
        alone = open_state(spec, ONE_THREAD, "none")
        cases.append((spec, batches, [alone.train_step(batch, 1e-3) for batch in batches]))
    with processes(2):
        for spec, batches, expected in cases:
            for kind in ("ddp", "fsdp"):
                state = open_state(spec, ONE_THREAD, kind)
                found = [state.train_step(batch, 1e-3) for batch in batches]
                torch.testing.assert_close(found, expected, rtol=1e-4, atol=0)


def test_what_was_started_must_be_what_was_asked(case: Case) -> None:
    spec = case[0].spec
    with pytest.raises(ValueError, match="torchrun --nproc-per-node=2"):
        open_state(spec, ONE_THREAD, "ddp")
    with processes(2):
        assert parallel.ranks() == 2
        with pytest.raises(ValueError, match="torchrun started 2 processes"):
            open_state(spec, ONE_THREAD, "none")
        with pytest.raises(ValueError, match="3 rows cannot be shared evenly by 2"):
            open_state(replace(spec, sequences=3), ONE_THREAD, "ddp")
    assert parallel.ranks() == 1


@pytest.mark.parametrize(
    ("optimizer", "kinds"), [("muon", ["ddp"]), ("sgd", ["ddp", "fsdp"]), ("schedule_free", ["ddp", "fsdp"])]
)
def test_optimizers_step_and_save_as_one_process(
    optimizer: str, kinds: list[str], tiny_study: list[str]
) -> None:
    if optimizer == "schedule_free":
        pytest.importorskip("schedulefree")
    plan = plan_study(
        [*tiny_study, "model.params=5e3", f"optimizer={optimizer}", "training.learning_rate=1e-3"]
    )
    spec = plan.trunks[0].spec
    dataset = open_dataset(spec.data, plan.config.cache)
    rows = dataset.batches(spec.data.context, spec.batch_sizes, spec.seed)
    batches = [OBJECTIVES["causal"](rows.batch(i), dataset.layout, (0, i)) for i in range(4)]
    alone = open_state(spec, ONE_THREAD, "none")
    losses = [alone.train_step(batch, 1e-3)[0] for batch in batches]
    with alone.evaluating():
        judged = {name: weights.clone() for name, weights in alone.model.state_dict().items()}
    with processes(2):
        for kind in kinds:
            state = open_state(spec, ONE_THREAD, kind)
            found = [state.train_step(batch, 1e-3)[0] for batch in batches[:2]]
            file = io.BytesIO()
            state.save(file, {})
            file.seek(0)
            saved = read_checkpoint(file)
            state = open_state(spec, ONE_THREAD, kind)
            state.restore(saved)
            with state.evaluating():
                pass  # and back, to the bit
            found += [state.train_step(batch, 1e-3)[0] for batch in batches[2:]]
            torch.testing.assert_close(found, losses, rtol=1e-4, atol=0)
            file = io.BytesIO()
            state.save(file, {})
            file.seek(0)
            for name, weights in evaluated_weights(read_checkpoint(file)).items():
                torch.testing.assert_close(weights, judged[name], rtol=1e-3, atol=1e-5)
