"""What a family is trained on: a batch of tokens → the loss of every predicted token."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

Objective = Callable[[nn.Module, Tensor], tuple[Tensor, Tensor]]


def causal(model: nn.Module, batch: Tensor) -> tuple[Tensor, Tensor]:
    """Next-token cross-entropy.

    Args:
        model: tokens (n, t) → logits (n, t, vocab).
        batch: (n, t + 1) token ids.

    Returns:
        Losses [nats] and the tokens they are of, both (n, t).
    """
    logits, targets = model(batch[:, :-1]), batch[:, 1:]
    losses = F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), reduction="none")
    return losses.view_as(targets), targets


OBJECTIVES: dict[str, Objective] = {"causal": causal}
