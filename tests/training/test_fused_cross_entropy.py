"""Output layer and cross-entropy in one against the two in turn."""

from __future__ import annotations

import pytest
import torch

from experiments.benchmarks.ours import draw_from, spec_of
from experiments.benchmarks.peer import Cell
from scaling.data.layout import NOTHING
from scaling.models.blocks import Linear
from scaling.training import fused_cross_entropy as fused
from scaling.training.device import Numerics
from scaling.training.objectives import cross_entropy
from scaling.training.state import LocalState


@pytest.mark.parametrize("part", [0.0, 0.85], ids=["every token", "some tokens"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(None, 1e-5), (torch.bfloat16, 2e-2)])
def test_one_pass_is_the_two(
    dtype: torch.dtype | None, tolerance: float, part: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Losses and both gradients, over chunks that do not divide the rows."""
    monkeypatch.setattr(fused, "CHUNK", 7 * 40)
    generator = torch.Generator().manual_seed(0)
    head = Linear(16, 40)
    torch.nn.init.normal_(head.weight, generator=generator)
    head.compute_dtype = dtype
    targets = torch.randint(0, 40, (5, 9), generator=generator)
    targets[torch.rand(5, 9, generator=generator) < part] = NOTHING
    places = torch.nonzero(targets.flatten() != NOTHING)[:, 0] if part else None
    found = []
    for both in (False, True):
        features = torch.randn(5, 9, 16, generator=generator.manual_seed(1)).requires_grad_()
        head.weight.grad = None
        if both:
            loss = fused.sum_of_cross_entropies(features, head, targets, places) / 3
        else:
            loss = cross_entropy(head(features), targets).sum() / 3
        loss.backward()  # type: ignore[no-untyped-call]
        assert features.grad is not None
        found.append((loss.detach(), features.grad, head.weight.grad))
    for two, one in zip(*found, strict=True):
        assert two.dtype == one.dtype
        assert float((one - two).abs().max()) <= tolerance * float(two.abs().max())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")  # PyTorch's own compiler
def test_a_compiled_step_is_the_step() -> None:
    """Needs a compiler and half a minute; on a GPU it is one of the tests of `make gpu-check`."""
    cell = Cell("decoder", 16, 2, 1, 40, 16, 4)
    found = []
    for compiled in (False, True):
        draw = draw_from(cell)
        state = LocalState(spec_of(cell, "float32"), Numerics("cpu", "float32", 1, compiled))
        found.append([float(state.train_step(draw(), 1e-3)[0]) for _ in range(5)])
    assert found[1] == pytest.approx(found[0], rel=1e-4)
