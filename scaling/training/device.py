"""Where and in which arithmetic a trunk trains: decided once, recorded with every run."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

BFLOAT16_WIDTH = 64  # on a CPU with AMX: measured, see `choose_arithmetic`


@dataclass(frozen=True)
class Arithmetic:
    """What the bits of a result depend on besides its spec."""

    device: str
    precision: str
    threads: int

    @property
    def compute_dtype(self) -> torch.dtype | None:
        """What matrix products run in; None is the weights' own float32."""
        return torch.bfloat16 if self.precision == "bfloat16" else None


def choose_arithmetic(
    precision: str, width: int, device: str = "auto", threads: int | None = None
) -> Arithmetic:
    """Resolve `auto` by rule, not by a stopwatch, so that two executions give the same bits.

    bfloat16 on a GPU that has it; on a CPU with AMX from width 256, where it is faster in spite of its
    conversions; float32 otherwise. All the cores, at most 8: more threads lose at these sizes.

    Raises:
        ValueError: for a device that PyTorch does not see here.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(
            f"training.device: {device!r} asked, but PyTorch sees no CUDA device. Use cpu or auto."
        )
    if torch.device(device).type not in ("cpu", "cuda"):
        raise ValueError(f"training.device: cpu, cuda, cuda:N or auto; got {device!r}.")
    if precision == "auto":
        if device.startswith("cuda"):
            fast = torch.cuda.is_bf16_supported()
        else:
            fast = torch.cpu._is_amx_tile_supported() and width >= BFLOAT16_WIDTH
        precision = "bfloat16" if fast else "float32"
    return Arithmetic(device, precision, threads or min(len(os.sched_getaffinity(0)), 8))
