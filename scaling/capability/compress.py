"""Copies of a trained model with fewer bits: weights rounded, or the smallest set to zero; no retraining."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

FULL = 32  # bits of a weight as it is kept
SCALE = 16  # bits of a row's scale


def compress(model: nn.Module, setting: dict[str, Any]) -> tuple[nn.Module, float]:
    """A copy under a setting, {"quantise": bits} or {"prune": fraction} or {} for none, and its size [bits].

    Every matrix is compressed, embedding and output layer included: in small models they are most of the
    weights. Vectors (gains, biases) stay as they are and count in full. A pruned model is counted by its
    nonzero weights; where they are is left out.

    Raises:
        ValueError: for a setting that is none of these, or out of range.
    """
    check_setting(setting)
    model = copy.deepcopy(model)
    size = 0.0
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim < 2 or not setting:
                size += FULL * weight.numel()
            elif "quantise" in setting:
                weight.copy_(quantise(weight, setting["quantise"]))
                size += setting["quantise"] * weight.numel() + SCALE * weight.shape[0]
            else:
                weight.copy_(prune(weight, setting["prune"]))
                size += FULL * int((weight != 0).sum())
    return model, size


def check_setting(setting: dict[str, Any]) -> None:
    """
    Raises:
        ValueError: for a setting that `compress` does not know, or out of range.
    """
    match setting:
        case {} if not setting:
            return
        case {"quantise": int(bits)} if len(setting) == 1 and 2 <= bits <= 16:
            return
        case {"prune": float(part)} if len(setting) == 1 and 0 < part < 1:
            return
    raise ValueError(
        f"compression: quantise to 2 to 16 bits, or prune a fraction above 0 and below 1; got {setting}."
    )


def quantise(weight: Tensor, bits: int) -> Tensor:
    """Round to nearest on 2^bits - 1 levels that are symmetric about 0, scaled by each row's largest weight.

    A row is an output channel, or the embedding of a token. Source: Dettmers & Zettlemoyer 2023
    (arXiv:2212.09720), section 2, absmax quantisation; a row is our block.
    """
    most = 2 ** (bits - 1) - 1
    rows = weight.flatten(1)
    scale = rows.abs().amax(dim=1, keepdim=True).clamp(min=torch.finfo(weight.dtype).tiny) / most
    rounded: Tensor = torch.round(rows / scale).clamp(-most, most) * scale
    return rounded.view_as(weight)


def prune(weight: Tensor, fraction: float) -> Tensor:
    """Zero the smallest weights of a matrix, a `fraction` of them.

    Source: Han et al. 2015 (arXiv:1506.02626), section 3, magnitude pruning layer by layer; not retrained.
    """
    count = round(fraction * weight.numel())
    if count == 0:
        return weight.clone()
    order = weight.abs().flatten().argsort(stable=True)
    kept = weight.flatten().clone()
    kept[order[:count]] = 0
    return kept.view_as(weight)
