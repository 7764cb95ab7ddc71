"""Copies of a trained model with fewer bits: weights rounded, or the smallest set to zero; no retraining."""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FULL = 32  # bits of a weight as it is kept
SCALE = 32  # bits of the scale of a row or group of its weights


def compress(model: nn.Module, setting: dict[str, Any]) -> tuple[nn.Module, float]:
    """A copy under a setting, and its size [bits], which is that of the file that `scaling export` writes.

    Every matrix is compressed, embedding and output layer included: in small models they are most of the
    weights. Vectors (gains, biases) stay as they are and count in full. A pruned model is counted by its
    nonzero weights, and a bit for every weight, which says where they are.

    Args:
        setting: {"quantise": bits}, with "group" also a scale for so many weights of a row; {"prune":
            fraction}; or {} for none.

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
                codes, scales = quantise_codes(weight, setting["quantise"], setting.get("group"))
                weight.copy_(multiply_out(codes, scales, weight.shape))
                size += setting["quantise"] * codes.numel() + SCALE * scales.numel()
            else:
                weight.copy_(prune(weight, setting["prune"]))
                size += FULL * int((weight != 0).sum()) + weight.numel()
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
        case {"quantise": int(bits), "group": int(group)} if (
            len(setting) == 2 and 2 <= bits <= 16 and group >= 4
        ):
            return
        case {"prune": float(part)} if len(setting) == 1 and 0 < part < 1:
            return
    raise ValueError(
        "compression: quantise to 2 to 16 bits, by rows or groups of 4 weights or more, or prune a fraction "
        f"above 0 and below 1; got {setting}."
    )


def quantise(weight: Tensor, bits: int, group: int | None = None) -> Tensor:
    """Round to nearest on 2^bits - 1 levels that are symmetric about 0, scaled by a row's largest weight.

    A row is an output channel, or the embedding of a token; with `group`, every so many weights of one have a
    scale of their own.

    Source: Dettmers & Zettlemoyer 2023 (arXiv:2212.09720), section 2, absmax quantisation.
    """
    return multiply_out(*quantise_codes(weight, bits, group), weight.shape)


def multiply_out(codes: Tensor, scales: Tensor, shape: torch.Size) -> Tensor:
    """The matrix of codes; what fills up the last group of a row is left out."""
    rows = (codes * scales).view(shape[0], -1)
    return rows[:, : shape.numel() // shape[0]].reshape(shape)


def quantise_codes(weight: Tensor, bits: int, group: int | None = None) -> tuple[Tensor, Tensor]:
    """Whole numbers (groups, n) and their scales (groups, 1); a row's last group is filled up with zeros."""
    most = 2 ** (bits - 1) - 1
    rows = weight.flatten(1)
    if group is not None and group < rows.shape[1]:
        rows = F.pad(rows, (0, -rows.shape[1] % group)).view(-1, group)
    scale = rows.abs().amax(dim=1, keepdim=True).clamp(min=torch.finfo(weight.dtype).tiny) / most
    return torch.round(rows / scale).clamp(-most, most).to(torch.int64), scale


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
