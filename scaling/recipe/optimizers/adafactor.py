"""Adafactor: second moments of a matrix kept as a row and a column."""

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
    from torch.optim import Adafactor

_CAPPED = (
    "its step is the spread of each tensor times the rate, and the rate is capped at 1 / sqrt(step): no "
    "factor on the rate carries over from one width to another."
)


def make(parameters: Sequence[Parameter], options: OptimizerOptions) -> Adafactor:
    """Adafactor of PyTorch: steps relative to the spread of a tensor, clipped updates, no first moment.

    Source: Shazeer & Stern 2018 (arXiv:1804.04235), algorithms 4 and 5.
    """
    from torch.optim import Adafactor

    return Adafactor(
        without_eps(group_parameters(parameters, options)),
        lr=options.learning_rate,
        beta2_decay=options.settings["beta2_decay"],
        d=options.settings["clip_update"],
    )


OPTIMIZER = Optimizer(
    make,
    settings={"beta2_decay": -0.8, "clip_update": 1.0},
    unused=("beta1", "beta2"),
    refused={"mup": _CAPPED, "completep": _CAPPED},
    refused_parallel={
        "fsdp": "its moments are rows and columns of whole matrices, of which fsdp gives each process a "
        "part. Use training.parallel=ddp."
    },
)
