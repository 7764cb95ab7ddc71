"""How an optimizer's rate, decay and epsilon and the initial weights scale with width and depth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from scaling.models import BASE, Shape

if TYPE_CHECKING:
    from torch import nn

Role = Literal["embedding", "vector", "hidden", "residual", "output"]


@dataclass(frozen=True)
class Factors:
    """What a tensor's initial spread, rate, decay and epsilon are multiplied by."""

    init: float = 1.0
    rate: float = 1.0
    decay: float = 1.0
    epsilon: float = 1.0


def factors(parametrisation: str, role: Role, shape: Shape) -> Factors:
    """The factors for Adam of a tensor of this role at this shape; 1 for `standard`, and for any at `BASE`.

    muP: with Adam the rate of matrices whose inputs grow with the width falls as 1 / width, and their decay
    grows as much, so that a step shrinks them as before. Our output layer starts with a spread of 1 / width,
    as muP asks, in every parametrisation; heads are added and not widened, so its 1 / d attention differs
    from the usual one by a constant.
    CompleteP: also, what a block adds to the residual stream is multiplied by base depth / depth. A factor m
    on the output of a matrix is, for Adam, the same as m on its initial spread and its rate, 1 / m on its
    decay and on its epsilon: so no forward pass changes. Standard weights already shrink by the root of the
    depth at first, which is taken back.

    Source: Yang et al. 2022 (arXiv:2203.03466), tables 3 and 8; Dey et al. 2025 (arXiv:2505.01618), table 1
    with alpha = 1.
    """
    if parametrisation == "standard":
        return Factors()
    wide = shape.width / BASE.width
    deep = shape.depth / BASE.depth if parametrisation == "completep" else 1.0
    if role == "vector":
        return Factors()
    if role == "embedding":
        return Factors(epsilon=1 / wide)
    if role == "residual":
        return Factors(init=deep**-0.5, rate=1 / (wide * deep), decay=wide * deep, epsilon=1 / wide)
    return Factors(rate=1 / wide, decay=wide, epsilon=1 / (wide * (deep if role == "hidden" else 1)))


def roles(model: nn.Module) -> Iterator[tuple[str, nn.Parameter, Role]]:
    """Every parameter of a model with its name and role: by name in ours, as found in a stranger's."""
    found: Any = getattr(model, "roles", {})
    for name, parameter in model.named_parameters():
        if name in found:
            yield name, parameter, found[name]
        elif parameter.ndim < 2:
            yield name, parameter, "vector"
        elif name.startswith("embedding."):
            yield name, parameter, "embedding"
        elif name.startswith("head."):
            yield name, parameter, "output"
        elif name.endswith((".out.weight", ".down.weight")):
            yield name, parameter, "residual"
        else:
            yield name, parameter, "hidden"


def parametrise(model: nn.Module, parametrisation: str, shape: Shape, family: str) -> None:
    """Give freshly built weights of this shape the spread that the parametrisation asks for.

    Raises:
        ValueError: for CompleteP asked of a family without a residual stream.
    """
    found = {role for _, _, role in roles(model)}
    if parametrisation == "completep" and "residual" not in found:
        raise ValueError(
            f"training.parametrisation: completep scales what blocks add to a residual stream, and family "
            f"{family!r} has none. Use mup or standard."
        )
    import torch

    with torch.no_grad():
        for _, parameter, role in roles(model):
            init = factors(parametrisation, role, shape).init
            if init != 1:
                parameter.mul_(init)
