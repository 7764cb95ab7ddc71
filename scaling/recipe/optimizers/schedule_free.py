"""Schedule-free AdamW: an average of the iterates takes the place of a falling rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from scaling.recipe.optimizers.optimizer import Optimizer, OptimizerOptions, Parameter, group_parameters

if TYPE_CHECKING:
    import torch


def make(parameters: Sequence[Parameter], options: OptimizerOptions) -> torch.optim.Optimizer:
    """Schedule-free AdamW of the package `schedulefree`.

    Warm-up comes from the schedule, as for every optimizer. With `training.cooldown=0` every budget leaves
    the trunk as it is; a cooldown lowers the rate on top of the average. Its step is Adam's, and averages of
    iterates scale as they do: so muP and CompleteP are those of AdamW.

    Source: Defazio et al. 2024 (arXiv:2405.15682), algorithm 1.
    """
    from schedulefree import AdamWScheduleFree  # an extra: found missing when a study is planned

    optimizer: torch.optim.Optimizer = AdamWScheduleFree(
        group_parameters(parameters, options),
        lr=options.learning_rate,
        betas=(options.beta1, options.beta2),
        r=options.settings["weight_power"],
        weight_lr_power=options.settings["weight_rate_power"],
    )
    optimizer.train()  # type: ignore[attr-defined]
    return optimizer


OPTIMIZER = Optimizer(
    make,
    settings={"weight_power": 0.0, "weight_rate_power": 2.0},
    averages=True,
    package="schedulefree",
)
