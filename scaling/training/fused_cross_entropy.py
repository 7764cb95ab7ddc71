"""Output layer and cross-entropy in one: the logits of a batch are never held whole.

With a vocabulary of thousands the logits are the largest tensor of a small model, and a CPU spends more time
on moving them than on computing them. A chunk of rows at a time they stay in its cache: what is kept for the
backward pass is their gradient, in the type of the matrix products.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

CHUNK = 2**19  # logits at a time on a CPU: 2 MB; a GPU takes more, its calls cost more than its memory
CHUNK_GPU = 2**27


def sum_of_cross_entropies(
    features: Tensor, head: nn.Module, targets: Tensor, places: Tensor | None = None
) -> Tensor:
    """Sum of losses [nats] over predicted tokens, of features (n, t, width) and targets (n, t).

    `places` are those of the predicted tokens in n t, None for all: given, as a GPU would be waited for.

    The same as `cross_entropy` of the head's logits; what is not predicted costs no output layer.
    """
    assert isinstance(head, nn.Linear)
    features, targets = features.flatten(0, 1), targets.flatten()
    if places is not None:
        features, targets = features[places], targets[places]
    dtype = getattr(head, "compute_dtype", None) or head.weight.dtype
    return _Sum.apply(features.to(dtype), head.weight.to(dtype), targets)  # type: ignore[no-untyped-call, no-any-return]


class _Sum(torch.autograd.Function):
    """d loss / d logit = softmax - one at the target. Features (rows, width), weight (vocab, width)."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        slopes = features.new_empty(len(features), len(weight))
        total = torch.zeros((), device=features.device)
        rows = max(1, (CHUNK if features.device.type == "cpu" else CHUNK_GPU) // len(weight))
        for start in range(0, len(features), rows):
            x, y, slope = (whole[start : start + rows] for whole in (features, targets[:, None], slopes))
            log_p = torch.log_softmax(x @ weight.mT, dim=-1, dtype=torch.float32)
            total -= log_p.gather(-1, y).sum()
            p = log_p.exp_()
            p.scatter_add_(-1, y, p.new_full(y.shape, -1.0))
            slope.copy_(p)
        ctx.save_for_backward(features, weight, slopes)
        return total

    @staticmethod
    def backward(ctx: Any, *slope: Tensor) -> tuple[Tensor, Tensor, None]:
        features, weight, slopes = ctx.saved_tensors
        return (slopes @ weight).mul_(slope[0]), (slopes.mT @ features).mul_(slope[0]), None
