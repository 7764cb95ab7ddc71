"""Matrices of a model that are computed from something smaller each time they are read.

A low-rank update or a packed weight takes the place of a parameter; the model's own code does not change.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

PART = "_of"  # a module's `weight` is what its part `weight_of` gives


def derive(model: nn.Module, part_of: Callable[[str, nn.Module, nn.Parameter], nn.Module | None]) -> None:
    """Replace parameters by what modules give.

    Args:
        part_of: (name, owner, parameter) → a module that is called without arguments and gives the matrix;
            None leaves the parameter as it is.
    """
    made: dict[int, nn.Module] = {}  # a parameter of two owners stays one
    for path, owner in list(model.named_modules(remove_duplicate=True)):
        parts = {}
        for name, parameter in list(owner._parameters.items()):
            if parameter is None:
                continue
            part = made.get(id(parameter)) or part_of(f"{path}.{name}".lstrip("."), owner, parameter)
            if part is not None:
                made[id(parameter)] = parts[name] = part
        if parts:
            _take_place(owner, parts)


def restore(model: nn.Module) -> None:
    """Put parameters back that hold what their parts give now."""
    for owner in list(model.modules()):
        names = [name.removesuffix(PART) for name in owner._modules if name.endswith(PART)]
        if not names:
            continue
        values = {name: getattr(owner, name).detach().clone() for name in names}
        owner.__class__ = type(owner).__mro__[1]
        for name, value in values.items():
            del owner._modules[name + PART]
            owner.register_parameter(name, nn.Parameter(value))
        if isinstance(owner, nn.RNNBase):
            owner._flat_weights = [getattr(owner, name) for name in owner._flat_weights_names]


def _take_place(owner: nn.Module, parts: dict[str, nn.Module]) -> None:
    """Give one module a class of its own, with a property for each of its parts."""
    cls = type(owner)
    body: dict[str, Any] = {name: property(_read(name + PART)) for name in parts}
    if isinstance(owner, nn.RNNBase):  # PyTorch's layers read a list of their weights
        body["_flat_weights"] = property(
            lambda self: [getattr(self, name) for name in self._flat_weights_names], lambda self, value: None
        )
        body["flatten_parameters"] = lambda self: None
    for name, part in parts.items():
        del owner._parameters[name]
        owner.add_module(name + PART, part)
    owner.__class__ = type(cls.__name__, (cls,), body)


def _read(part: str) -> Callable[[nn.Module], Tensor]:
    return lambda owner: owner._modules[part]()  # type: ignore[misc]


class LowRank(nn.Module):
    """A frozen matrix and a trained update of low rank, W + 2 B A; B begins at zero.

    Source: Hu et al. 2021 (arXiv:2106.09685), section 4.1, with alpha twice the rank. Of our own: peft, the
    library for it, needs `transformers` and knows no LSTM.
    """

    base: Tensor

    def __init__(self, weight: nn.Parameter, rank: int) -> None:
        super().__init__()
        rows = weight.detach().flatten(1)
        rank = min(rank, *rows.shape)
        self.register_buffer("base", weight.detach())
        self.down = nn.Parameter(torch.randn(rank, rows.shape[1], device=rows.device) / rows.shape[1] ** 0.5)
        self.up = nn.Parameter(torch.zeros(rows.shape[0], rank, device=rows.device))

    def forward(self) -> Tensor:
        return self.base + 2.0 * (self.up @ self.down).view_as(self.base)


def add_low_rank(model: nn.Module, rank: int) -> list[nn.Parameter]:
    """Freeze a model, and give each matrix but embeddings and output layer an update.

    Returns:
        What is trained.
    """
    for parameter in model.parameters():
        parameter.requires_grad_(False)

    def part(name: str, owner: nn.Module, parameter: nn.Parameter) -> nn.Module | None:
        if parameter.ndim < 2 or isinstance(owner, nn.Embedding) or name.startswith("head."):
            return None
        return LowRank(parameter, rank)

    derive(model, part)
    return [parameter for parameter in model.parameters() if parameter.requires_grad]
