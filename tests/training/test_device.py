"""Where and how a trunk trains: the rules, and that a compiled trunk is the trunk."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from experiments.commands.plan import by_compiler
from scaling.data.corpora import open_dataset
from scaling.launch.study import run_study
from scaling.models.settings import own_settings
from scaling.study.plan import plan_study
from scaling.study.spec import Trunk
from scaling.training import device as rules
from scaling.training.device import (
    Numerics,
    can_compile,
    choose_numerics,
    resolve_numerics,
    usable_cores,
)
from tests.training.test_train import StopAfter, Stopped, results, train


@pytest.mark.parametrize("raised", [False, True])
def test_what_a_model_changes_of_pytorch_ends_with_its_trunk(raised: bool) -> None:
    def settings() -> list[object]:
        mkldnn, products = torch.backends.mkldnn.enabled, torch.get_float32_matmul_precision()
        return [torch.get_default_dtype(), torch.is_grad_enabled(), mkldnn, products, torch.zeros(1).device]

    before = settings()
    with suppress(RuntimeError), own_settings():
        torch.set_default_dtype(torch.float64)
        torch.set_default_device("meta")
        torch.set_grad_enabled(False)
        torch.backends.mkldnn.enabled = False
        torch.set_float32_matmul_precision("medium")
        assert not any(a == b for a, b in zip(before, settings(), strict=True))
        if raised:
            raise RuntimeError
    assert settings() == before


def test_a_default_device_of_the_caller_stays() -> None:
    try:
        torch.set_default_device("meta")
        with own_settings():
            torch.set_default_device("cpu")
        assert torch.zeros(1).device.type == "meta"
    finally:
        torch.set_default_device(None)


@pytest.mark.parametrize(
    ("device", "message"),
    [("cuda:0", "PyTorch sees no CUDA device"), ("meta", "cpu, cuda, cuda:N or auto; got 'meta'")],
)
def test_a_device_that_is_not_there_is_refused(device: str, message: str) -> None:
    if device.startswith("cuda") and torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(ValueError, match=message):
        choose_numerics("auto", 64, device)


def test_threads_and_precision_follow_the_rule() -> None:
    assert choose_numerics("bfloat16", 16, "cpu", 3) == Numerics("cpu", "bfloat16", 3)
    assert choose_numerics("auto", 16, "cpu").precision == "float32"
    assert choose_numerics("auto", 16, "cpu").threads >= 1


@pytest.fixture
def trunk(tiny_study: list[str], monkeypatch: pytest.MonkeyPatch) -> Trunk:
    """One whose steps are just worth compiling, on a machine that can."""
    trunk, _ = plan_study(tiny_study).trunks
    flops = trunk.flops_per_token * trunk.spec.tokens(trunk.steps_to_train)
    monkeypatch.setattr(rules, "COMPILE_FLOPS", flops / trunk.spec.width)
    monkeypatch.setattr(rules, "can_compile", lambda: True)
    return trunk


def asking(trunk: Trunk, compiled: bool) -> Trunk:
    return replace(trunk, spec=replace(trunk.spec, compile=compiled))


def test_a_long_trunk_is_compiled(trunk: Trunk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_numerics(trunk, "cpu", 1).compiled
    assert not resolve_numerics(trunk, "cpu", 1, alone=False).compiled
    assert not resolve_numerics(replace(trunk, runs=trunk.runs[:1]), "cpu", 1).compiled
    assert not resolve_numerics(replace(trunk, spec=replace(trunk.spec, family="lstm")), "cpu", 1).compiled
    monkeypatch.setattr(rules, "can_compile", lambda: False)
    assert not resolve_numerics(trunk, "cpu", 1).compiled


def test_a_plan_says_what_is_compiled() -> None:
    eager = Numerics("cpu", "float32", 1)
    assert by_compiler([eager]) == []
    (line,) = by_compiler([eager, replace(eager, compiled=True)])
    assert line.startswith("steps of 1 of 2 trunks go through torch.compile")


@pytest.mark.parametrize("asked", [True, False])
def test_what_was_asked_is_done(trunk: Trunk, asked: bool) -> None:
    short = replace(trunk, runs=trunk.runs[:1])
    for one in (trunk, short):
        assert resolve_numerics(asking(one, asked), "cpu", 1, alone=False).compiled is asked


def test_what_was_asked_is_another_trunk_and_a_rule_is_not(tiny_study: list[str]) -> None:
    """Records made before there was a rule are found again."""
    ids = [
        plan_study([*tiny_study, f"training.compile={word}"]).trunks[0].spec.id
        for word in ("null", "true", "false")
    ]
    assert ids[0] == plan_study(tiny_study).trunks[0].spec.id
    assert len(set(ids)) == 3


def test_a_machine_that_cannot_compile_trains_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: object) -> None:
        raise RuntimeError("no C++ compiler")

    monkeypatch.setattr(torch, "compile", fails)
    can_compile.cache_clear()
    assert not can_compile()
    can_compile.cache_clear()


@pytest.mark.slow
@pytest.mark.usefixtures("quiet")
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")  # PyTorch's own compiler
def test_a_compiled_study_is_the_study(tiny_study: list[str], tmp_path: Path) -> None:
    """By a worker, with a compiler: same losses to rounding, and every record says how it was made.

    Steps that a compiler was waited for teach no plan what steps take.
    """
    found = []
    for word in ("false", "true"):
        asked = [f"training.compile={word}", f"runs={tmp_path / word}", f"cache={tmp_path}", "workers=2"]
        records = run_study(plan_study([*tiny_study, *asked])).records.records
        found.append(sorted(records, key=lambda r: (r.params, r.tokens)))
    for plain, compiled in zip(*found, strict=True):
        assert compiled.loss == pytest.approx(plain.loss, rel=1e-4)
        assert compiled.versions["step"] == "compiled"
        assert "step" not in plain.versions
    medians = [median for median, _, _ in json.loads((tmp_path / "throughput.json").read_text()).values()]
    assert len(medians) == 4
    assert max(medians) < 0.2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")  # PyTorch's own compiler
def test_stopping_a_compiled_trunk_changes_no_bit(tiny_study: list[str], tmp_path: Path) -> None:
    plan = plan_study([*tiny_study, "training.compile=true"])
    case = plan.trunks[0], open_dataset(plan.trunks[0].spec.data, plan.config.cache)
    train(case, tmp_path / "once")
    with pytest.raises(Stopped):
        train(case, tmp_path / "stopped", StopAfter(20))
    torch.compiler.reset()  # as in another process
    train(case, tmp_path / "stopped")
    assert results(tmp_path / "stopped") == results(tmp_path / "once")


def test_cores_are_counted_where_the_system_names_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert usable_cores() >= 1
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert usable_cores() == 3
