"""What a model family is: a ladder of shapes, a closed form for its size, and a way to build it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn

NOTHING = -1  # in inputs: padding, no token here; in targets: nothing is predicted here


@dataclass(frozen=True)
class Shape:
    """The two sizes that a family's ladder varies."""

    width: int
    depth: int

    def __str__(self) -> str:
        return f"{self.width}x{self.depth}"


BASE = Shape(width=64, depth=2)  # where muP and CompleteP agree with the standard parametrisation


@dataclass(frozen=True)
class Counts:
    """Size of one model under every convention, and the cost of one forward pass.

    `params` excludes embedding and output layer (Kaplan), `params_matmul` adds the output layer,
    `params_total` is everything (Hoffmann). `forward_flops` is per token of a full context,
    multiply-add = 2, attention counted over the whole context (no causal discount). The two halves of an
    encoder_decoder are counted separately too (Ghorbani et al. 2021, arXiv:2109.07740); they sum to `params`.
    """

    params: int
    params_matmul: int
    params_total: int
    forward_flops: float  # [FLOP/token]
    params_encoder: int | None = None
    params_decoder: int | None = None

    @property
    def training_flops(self) -> float:
        """[FLOP/token]: the backward pass costs twice the forward pass."""
        return 3 * self.forward_flops


def input_lengths(objective: str, context: int) -> tuple[int, ...]:
    """Tokens of each input of a model in a full context; seq2seq reads its first half and writes the rest."""
    half = context // 2
    return (half, context - half) if objective == "seq2seq" else (context,)


def widths(first: int, last: int) -> list[int]:
    """Even widths from `first` to `last` in steps of about an eighth, and of 32 at most."""
    found = [first]
    while found[-1] < last:
        found.append(found[-1] + min(max(2, 2 ** (found[-1].bit_length() - 4)), 32))
    return found


@dataclass(frozen=True)
class Family:
    """One registration. `counts` is the closed form; a test holds it to the built model."""

    name: str
    objective: str
    ladder: Sequence[Shape]
    counts: Callable[[Shape, int, int], Counts]  # (shape, vocab, context)
    build: Callable[[Shape, int, int], nn.Module]  # (shape, vocab, context)

    def params(self, shape: Shape) -> int:
        """Non-embedding parameters of a shape."""
        return self.counts(shape, 1, 1).params

    def shape_for(self, params: float, tolerance: float = 0.15) -> Shape:
        """The shape of the ladder whose non-embedding parameters come closest, by ratio.

        Raises:
            ValueError: when the closest is further away than `tolerance`, naming it and the ladder's ends.
        """
        if not (math.isfinite(params) and params > 0):
            raise ValueError(f"model.params: a positive number of parameters is needed; got {params!r}.")
        nearest = min(self.ladder, key=lambda shape: abs(math.log(self.params(shape) / params)))
        if abs(self.params(nearest) / params - 1) > tolerance:
            sizes = [self.params(shape) for shape in self.ladder]
            raise ValueError(
                f"family {self.name!r} has no shape within {tolerance:.0%} of {params:,.0f} parameters; "
                f"the nearest is {self.params(nearest):,}. "
                f"Its ladder goes from {min(sizes):,} to {max(sizes):,}."
            )
        return nearest
