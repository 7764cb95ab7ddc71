"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from scaling.recipe.optimizers.optimizer import (
    Optimizer,
    OptimizerOptions,
    Parameter,
    group_parameters,
    without_eps,
)

if TYPE_CHECKING:
    from torch.optim import SGD

_CLIPPED = (
    "its factors of width hold for plain gradients, and here gradients are clipped by a norm that itself "
    "grows with the width."
)


def make(parameters: Sequence[Parameter], options: OptimizerOptions) -> SGD:
    """SGD, with the decay added to the gradient, as `torch.optim.SGD` does.

    Source: Sutskever et al. 2013 (ICML), section 2, momentum and Nesterov's form of it.
    """
    from torch.optim import SGD

    momentum = options.settings["momentum"]
    if not 0 <= momentum < 1:
        raise ValueError(f"optimizer.settings.momentum: from 0 to below 1; got {momentum:g}.")
    return SGD(
        without_eps(group_parameters(parameters, options)),
        lr=options.learning_rate,
        momentum=momentum,
        nesterov=bool(options.settings["nesterov"]) and momentum > 0,
    )


OPTIMIZER = Optimizer(
    make,
    settings={"momentum": 0.9, "nesterov": 0.0},
    unused=("beta1", "beta2"),
    decoupled=False,
    refused={"mup": _CLIPPED, "completep": _CLIPPED},
)
