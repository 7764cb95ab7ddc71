"""Weights that are small on disk: rounded ones as codes of 2, 3, 4 or 8 bits, pruned ones as bits and values.

Of our own. torchao 0.18 packs 4 and 8 bits for kernels of its own, by groups of 32 or more and for linear
layers; it stores 2 and 3 bits a byte each, rounds by another rule, and knows neither LSTM nor a width of 16.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from scaling.capability.compress import check_setting, multiply_out, prune, quantise_codes
from scaling.models.derived import derive

PACKED = (2, 3, 4, 8)  # bits of a code


class PackedWeight(nn.Module):
    """A matrix as codes and scales, which are multiplied out each time it is read."""

    codes: Tensor
    scales: Tensor

    def __init__(
        self, codes: Tensor, scales: Tensor, shape: torch.Size, bits: int, group: int | None
    ) -> None:
        super().__init__()
        row = shape.numel() // shape[0]
        self.shape, self.bits, self.group = shape, bits, min(group or row, row)
        self.register_buffer("codes", codes)
        self.register_buffer("scales", scales)

    @classmethod
    def of(cls, weight: Tensor, bits: int, group: int | None) -> PackedWeight:
        """Round and pack a matrix."""
        codes, scales = quantise_codes(weight.detach(), bits, group)
        return cls(pack(codes + 2 ** (bits - 1), bits), scales[:, 0], weight.shape, bits, group)

    def forward(self) -> Tensor:
        codes = unpack(self.codes, self.bits, len(self.scales) * self.group).view(-1, self.group)
        return multiply_out(codes - 2 ** (self.bits - 1), self.scales[:, None], self.shape)


class SparseWeight(nn.Module):
    """A pruned matrix as a bit for each weight, whether it is zero, and the values of the others."""

    places: Tensor
    values: Tensor

    def __init__(self, places: Tensor, values: Tensor, shape: torch.Size) -> None:
        super().__init__()
        self.shape = shape
        self.register_buffer("places", places)
        self.register_buffer("values", values)

    @classmethod
    def of(cls, weight: Tensor, fraction: float) -> SparseWeight:
        """Prune and pack a matrix."""
        kept = prune(weight.detach(), fraction).flatten()
        return cls(pack((kept != 0).to(torch.int64), 1), kept[kept != 0], weight.shape)

    def forward(self) -> Tensor:
        zeros = torch.zeros(self.shape.numel(), dtype=self.values.dtype, device=self.values.device)
        zeros[unpack(self.places, 1, self.shape.numel()) == 1] = self.values
        return zeros.view(self.shape)


def pack(codes: Tensor, bits: int) -> Tensor:
    """Codes (n,) from 0 to 2^bits - 1 as bytes (ceil(n bits / 8),), the lowest bit first."""
    places = torch.arange(bits, device=codes.device)
    stream = ((codes.flatten()[:, None] >> places) & 1).flatten()
    stream = torch.cat([stream, stream.new_zeros(-len(stream) % 8)]).view(-1, 8)
    return (stream << torch.arange(8, device=codes.device)).sum(dim=1).to(torch.uint8)


def unpack(packed: Tensor, bits: int, count: int) -> Tensor:
    """The first `count` codes (count,) of `pack`."""
    if bits == 8:
        return packed[:count].to(torch.int64)
    stream = ((packed[:, None] >> torch.arange(8, device=packed.device)) & 1).flatten()[: count * bits]
    return (stream.view(count, bits).to(torch.int64) << torch.arange(bits, device=packed.device)).sum(dim=1)


def pack_model(model: nn.Module, setting: Mapping[str, Any]) -> nn.Module:
    """Let every matrix of a model be packed, in place, as `compress` would round or prune it.

    Raises:
        ValueError: for a setting that cannot be packed.
    """
    check_setting(dict(setting))
    if setting.get("quantise", 4) not in PACKED:
        raise ValueError(
            f"--quantise: weights are packed into {', '.join(map(str, PACKED))} bits; "
            f"got {setting['quantise']}. `scaling evaluate` rounds to any from 2 to 16."
        )

    def part(name: str, owner: nn.Module, weight: nn.Parameter) -> nn.Module | None:
        if weight.ndim < 2:
            return None
        if "quantise" in setting:
            return PackedWeight.of(weight, setting["quantise"], setting.get("group"))
        return SparseWeight.of(weight, setting["prune"])

    derive(model, part)
    return model


def load_packed(model: nn.Module, state: Mapping[str, Tensor], setting: Mapping[str, Any]) -> nn.Module:
    """Give a freshly built model the packed weights that `state` holds."""
    shapes = {name: parameter.shape for name, parameter in model.named_parameters()}

    def part(name: str, owner: nn.Module, weight: nn.Parameter) -> nn.Module | None:
        if weight.ndim < 2:
            return None
        if "quantise" in setting:
            codes, scales = state[f"{name}_of.codes"], state[f"{name}_of.scales"]
            return PackedWeight(codes, scales, shapes[name], setting["quantise"], setting.get("group"))
        return SparseWeight(state[f"{name}_of.places"], state[f"{name}_of.values"], shapes[name])

    derive(model, part)
    model.load_state_dict(dict(state))
    return model
