"""What must hold where there is a GPU: `make gpu-check`. Needs PyTorch and pytest only."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.benchmarks.gpu import a_trunk, generated
from experiments.benchmarks.ours import draw_from, spec_of
from experiments.benchmarks.peer import Cell
from scaling.models import FAMILIES
from scaling.training import stop
from scaling.training.device import Numerics, choose_numerics
from scaling.training.state import LocalState
from scaling.training.train import train_trunk

pytestmark = pytest.mark.gpu

STEPS = 20


def losses(family: str, device: str, precision: str, compiled: bool = False) -> list[float]:
    """Training losses of the first steps of a small model."""
    cell = Cell(family, 32, 2, 1, 64, 32, 8)
    state = LocalState(spec_of(cell, precision), Numerics(device, precision, 1, compiled))
    draw = draw_from(cell)
    return [float(state.train_step(draw(), 1e-3)[0]) for _ in range(STEPS)]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_gpu_computes_what_a_cpu_does(family: str) -> None:
    """In float32 to rounding, which twenty steps enlarge; in bfloat16 to its three digits."""
    exact = losses(family, "cpu", "float32")
    assert losses(family, "cuda", "float32") == pytest.approx(exact, rel=1e-3)
    assert losses(family, "cuda", "bfloat16") == pytest.approx(exact, rel=2e-2)


def test_a_compiled_step_is_the_step() -> None:
    plain = losses("decoder", "cuda", "float32")
    assert losses("decoder", "cuda", "float32", compiled=True) == pytest.approx(plain, rel=1e-3)


def test_auto_is_bfloat16_on_the_gpu() -> None:
    assert choose_numerics("auto", 64) == Numerics("cuda", "bfloat16", choose_numerics("auto", 64).threads)


def test_a_trunk_stopped_on_a_gpu_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To rounding: some kernels add in another order at each execution."""
    dataset = generated(tmp_path / "cache")
    trunk = a_trunk(dataset, width=32)
    whole = train_trunk(trunk, dataset, tmp_path / "whole", study="gpu")
    asked = iter([False] * 30 + [True])
    monkeypatch.setattr(stop, "requested", lambda: next(asked, False))
    with pytest.raises(stop.Stopped):
        train_trunk(trunk, dataset, tmp_path / "parts", study="gpu")
    parts = train_trunk(trunk, dataset, tmp_path / "parts", study="gpu")
    assert [r.loss for r in parts] == pytest.approx([r.loss for r in whole], rel=2e-2)
    assert {r.device for r in parts} == {"cuda"}
