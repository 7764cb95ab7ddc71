"""What a model is by numbers: its shape, and what it has and costs at that shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

NOTHING = -1  # in inputs: padding, no token here; in targets: nothing is predicted here

Size = int | float | bool | str
Role = Literal["embedding", "vector", "hidden", "residual", "output"]  # of a parameter, in a parametrisation


@dataclass(frozen=True, init=False)
class Shape:
    """Width, depth, and any further sizes of a family, by name.

    >>> shape = Shape(64, 2, experts=8)
    >>> shape.experts, str(shape)
    (8, '64x2 experts=8')
    """

    width: int
    depth: int
    extra: tuple[tuple[str, Size], ...]

    def __init__(self, width: int, depth: int, **extra: Size) -> None:
        for name, value in (("width", width), ("depth", depth), ("extra", tuple(sorted(extra.items())))):
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        for known, value in self.__dict__.get("extra", ()):
            if known == name:
                return value
        raise AttributeError(f"this shape has no size {name!r}; it has width, depth" + self._more(", "))

    def get(self, name: str, default: Any = None) -> Any:
        """The size of this name, or `default`."""
        return dict(self.extra).get(name, default)

    def set(self, **sizes: Any) -> Shape:
        """The same with other sizes."""
        return Shape(**{"width": self.width, "depth": self.depth, **dict(self.extra), **sizes})

    def __str__(self) -> str:
        return f"{self.width}x{self.depth}" + "".join(f" {name}={value}" for name, value in self.extra)

    def _more(self, before: str) -> str:
        return "".join(f"{before}{name}" for name, _ in self.extra)


BASE = Shape(width=64, depth=2)  # where muP and CompleteP agree with the standard parametrisation


@dataclass(frozen=True)
class Counts:
    """Size of one model under every convention, and the cost of one forward pass.

    `params` excludes embedding and output layer (Kaplan), `params_matmul` adds the output layer,
    `params_total` is everything (Hoffmann). `forward_flops` is per token of a full context,
    multiply-add = 2, attention counted over the whole context (no causal discount). The two halves of an
    encoder_decoder are counted separately too (Ghorbani et al. 2021, arXiv:2109.07740); they sum to `params`.
    `params_active` are those of `params` that a token goes through, where these are fewer.
    """

    params: int
    params_matmul: int
    params_total: int
    forward_flops: float  # [FLOP/token]
    params_encoder: int | None = None
    params_decoder: int | None = None
    params_active: int | None = None

    @property
    def training_flops(self) -> float:
        """[FLOP/token]: the backward pass costs twice the forward pass."""
        return 3 * self.forward_flops


def input_lengths(objective: str, context: int) -> tuple[int, ...]:
    """Tokens of each input of a model in a full context; seq2seq reads its first half and writes the rest."""
    half = context // 2
    return (half, context - half) if objective == "seq2seq" else (context,)
