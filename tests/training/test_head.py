"""Output layer and cross-entropy in one against the two in turn."""

from __future__ import annotations

import pytest
import torch

from scaling.data.layout import NOTHING
from scaling.models.blocks import Linear
from scaling.training import head as fused
from scaling.training.objectives import cross_entropy


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
    found = []
    for both in (False, True):
        features = torch.randn(5, 9, 16, generator=generator.manual_seed(1)).requires_grad_()
        head.weight.grad = None
        if both:
            loss = fused.sum_of_cross_entropies(features, head, targets) / 3
        else:
            loss = cross_entropy(head(features), targets).sum() / 3
        loss.backward()  # type: ignore[no-untyped-call]
        assert features.grad is not None
        found.append((loss.detach(), features.grad, head.weight.grad))
    for two, one in zip(*found, strict=True):
        assert two.dtype == one.dtype
        assert float((one - two).abs().max()) <= tolerance * float(two.abs().max())
