"""AdamW."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from scaling.recipe.optimizers.optimizer import Optimizer, OptimizerOptions, Parameter, group_parameters

if TYPE_CHECKING:
    from torch.optim import AdamW


def make(parameters: Sequence[Parameter], options: OptimizerOptions) -> AdamW:
    """AdamW, fused.

    Source: Loshchilov & Hutter 2019 (arXiv:1711.05101), decoupled weight decay, scaled by the rate.
    """
    from torch.optim import AdamW

    return AdamW(
        group_parameters(parameters, options),
        lr=options.learning_rate,
        betas=(options.beta1, options.beta2),
        fused=True,
    )


OPTIMIZER = Optimizer(make)
