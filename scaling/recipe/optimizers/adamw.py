"""AdamW."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from scaling.recipe.optimizers.optimizer import Optimizer, OptimizerOptions, Parameter, group_parameters


def make(parameters: Sequence[Parameter], options: OptimizerOptions) -> torch.optim.AdamW:
    """AdamW, fused.

    Source: Loshchilov & Hutter 2019 (arXiv:1711.05101), decoupled weight decay, scaled by the rate.
    """
    return torch.optim.AdamW(
        group_parameters(parameters, options),
        lr=options.learning_rate,
        betas=(options.beta1, options.beta2),
        fused=True,
    )


OPTIMIZER = Optimizer(make)
