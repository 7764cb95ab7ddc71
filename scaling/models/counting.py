"""Parameters and FLOPs counted on the built model, on the meta device, where nothing is allocated.

Only there does PyTorch's counter see every matrix product. On the CPU it does not look inside fused
kernels and returns too little in silence: for attention it returns 0.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from scaling.models.family import Counts, Family, Shape, input_lengths
from scaling.models.registry import get_family


def count_built(family: Family, shape: Shape, vocab: int, context: int) -> Counts:
    """Count one sequence through the model that `family.build` returns."""
    with torch.device("meta"):
        model = family.build(shape, vocab, context)
        lengths = input_lengths(family.objective, context)
        inputs = [torch.zeros(1, length, dtype=torch.long) for length in lengths]
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()}
    total = sum(p.numel() for p in model.parameters())
    for name, part in list(model.named_children()):
        if isinstance(part, nn.LSTM):
            setattr(model, name, AllSteps(part))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(*inputs)
    return Counts(
        params=total - sizes["head"] - sizes["embedding"],
        params_matmul=total - sizes["embedding"],
        params_total=total,
        forward_flops=counter.get_total_flops() / context,
        params_encoder=sizes.get("encoder"),
        params_decoder=sizes.get("decoder"),
    )


class AllSteps(nn.Module):
    """Stands in for an LSTM where it is only counted: each matrix times every token, in one product.

    PyTorch's meta kernel goes step by step, at 9 ms a step; a test holds this to it.
    """

    def __init__(self, lstm: nn.LSTM) -> None:
        super().__init__()
        self.matrices = [p for p in lstm.parameters() if p.ndim == 2]

    def forward(self, x: Tensor, state: None) -> tuple[Tensor, None]:
        for matrix in self.matrices:
            F.linear(x, matrix)
        return x, state


@cache
def check_counts(family: str, shape: Shape, vocab: int, context: int) -> None:
    """Hold the closed form, which plans and records carry, to the built model.

    Raises:
        ValueError: naming both counts. The family's `counts` is then wrong: nothing may be trained with it.
    """
    registered = get_family(family)
    closed = registered.counts(shape, vocab, context)
    built = count_built(registered, shape, vocab, context)
    if closed != built:
        raise ValueError(f"family {family!r} at {shape}: its closed form says {closed}, built: {built}.")
