"""Fine-tuning: a copy of a model learns something else, a fixed number of steps from a fixed seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

SEQUENCES = 32  # a step
SHARE = 0.3  # of the rate that the model was trained at, falling linearly to 0
LORA_TIMES = 10.0  # as high for an update of low rank; Biderman et al. 2024 (arXiv:2405.09673), section 5
FEWEST_STEPS, MOST_STEPS, EPOCHS = 48, 256, 8


def steps_for(examples: int) -> int:
    """Eight epochs, but no fewer than 48 steps and no more than 256."""
    return min(MOST_STEPS, max(FEWEST_STEPS, -(-EPOCHS * examples // SEQUENCES)))


def tune(
    parameters: Iterable[nn.Parameter],
    loss: Callable[[Sequence[int]], Tensor],
    *,
    examples: int,
    steps: int,
    rate: float,
    share: float = SHARE,
    seed: int = 0,
) -> None:
    """AdamW on `loss` of the examples of a batch, given by their numbers; each epoch takes each once.

    Source: the recipe of Devlin et al. 2019 (arXiv:1810.04805), appendix A.3: all weights, a low rate that
    falls linearly; here the rate is a `share` of the run's own, so that every size is treated alike. `seed`
    orders the examples.
    """
    weights = list(parameters)
    optimizer = torch.optim.AdamW(weights, lr=rate * share, weight_decay=0.0)
    rng = np.random.default_rng(seed)
    epochs = -(-steps * SEQUENCES // examples)
    order = np.concatenate([rng.permutation(examples) for _ in range(epochs)])
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * share * (1 - step / steps)
        loss(order[step * SEQUENCES : (step + 1) * SEQUENCES].tolist()).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
