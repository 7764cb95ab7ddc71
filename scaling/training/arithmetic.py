"""In which arithmetic a model computes, ours or a stranger's, and whether its loss can be fused."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from scaling.models.blocks import Linear, set_compute_dtype


def set_arithmetic(model: nn.Module, dtype: torch.dtype | None) -> None:
    """Let the matrix products of `model` run in `dtype`; None is the weight's own.

    A model that is not made of our layers runs under autocast, which chooses operation by operation.
    """
    set_compute_dtype(model, dtype)
    if dtype is not None and not _ours(model):
        model.autocast_dtype = dtype  # type: ignore[assignment]
        model.autocast_entered = []  # type: ignore[assignment]
        model.register_forward_pre_hook(_enter)
        model.register_forward_hook(_leave, always_call=True)


def can_fuse(model: nn.Module) -> bool:
    """Whether output layer and loss can be one: by `features`, a `head` without bias, and no autocast."""
    features, head = getattr(model, "features", None), getattr(model, "head", None)
    plain = callable(features) and not isinstance(features, nn.Module)
    linear = isinstance(head, nn.Linear) and getattr(head, "bias", None) is None
    return plain and linear and not hasattr(model, "autocast_dtype")


def _ours(model: nn.Module) -> bool:
    return any(isinstance(module, Linear) for module in model.modules())


def _enter(model: Any, _inputs: object) -> None:
    device = next(model.parameters()).device.type
    context = torch.autocast(device, model.autocast_dtype)
    context.__enter__()  # type: ignore[no-untyped-call]
    model.autocast_entered.append(context)


def _leave(model: Any, _inputs: object, _output: object) -> None:
    model.autocast_entered.pop().__exit__(None, None, None)
