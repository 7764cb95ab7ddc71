"""Where and in which arithmetic a trunk trains: decided once, recorded with every run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from scaling.models import get_family
from scaling.study.spec import Trunk

if TYPE_CHECKING:
    import torch

BFLOAT16_WIDTH = 64  # on a CPU with AMX: see `choose_numerics`
COMPILE_FLOPS = 5e11  # of a whole trunk, a unit of width: ten minutes or more of two threads


@dataclass(frozen=True)
class Numerics:
    """What the bits of a result depend on besides its spec."""

    device: str
    precision: str
    threads: int
    compiled: bool = False  # training steps by torch.compile

    @property
    def compute_dtype(self) -> torch.dtype | None:
        """What matrix products run in; None is the weights' own float32."""
        import torch

        return torch.bfloat16 if self.precision == "bfloat16" else None


def choose_numerics(precision: str, width: int, device: str = "auto", threads: int | None = None) -> Numerics:
    """Resolve `auto` by rule, not by a stopwatch, so that two executions give the same bits.

    Precision: bfloat16 on a GPU that has it, and on a CPU with AMX from width 64; float32 otherwise. What
    bfloat16 gains there is printed by `python -m experiments.benchmarks.training --precisions`: with two
    threads 0.8 times the tokens at width 32, 1.1 at 64 and more with larger vocabularies.
    Threads: all cores up to 2 below width 128, up to 4 below 512, up to 8 from there; more than 2 were
    not measured.

    Raises:
        ValueError: for a device that PyTorch does not see here.
    """
    import torch

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
    most = 2 if width < 128 else 4 if width < 512 else 8
    return Numerics(device, precision, threads or min(usable_cores(), most))


def usable_cores() -> int:
    """The cores that this process may use; where no system call says so (macOS), all cores."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def resolve_numerics(
    trunk: Trunk,
    device: str = "auto",
    threads: int | None = None,
    *,
    alone: bool = True,
    begun: Mapping[str, Any] | None = None,
) -> Numerics:
    """The arithmetic of a trunk: `choose_arithmetic`, and whether its steps are compiled.

    Where that was left open, the rule is whether it pays back within the trunk. On a CPU a first trunk of its
    shape waits for a compiler; after it a step of a model of `gains_by_compiling` takes a twentieth to a
    quarter less (`python -m experiments.benchmarks.training`). So it is done from about ten minutes of
    training, by FLOPs and not by a stopwatch. On a GPU it was not measured, and is done when asked.

    Args:
        alone: not spread over devices; what is, is compiled when asked only.
        begun: what its last attempt said of itself. What was left open stays as it was begun: a longer budget
            would pay for compiling, and a resume may not mix both.
    """
    spec = trunk.spec
    found = choose_numerics(spec.precision, spec.width, device, threads)
    if spec.precision == "auto" and found.device == "cpu" and not get_family(spec.family).builtin:
        found = replace(found, precision="float32")  # a stranger's layers need not know bfloat16 on a CPU
    if spec.teacher:
        return found
    if spec.compile is not None:
        return replace(found, compiled=spec.compile)
    if begun:
        return replace(found, compiled=begun.get("versions", {}).get("step") == "compiled")
    flops = trunk.flops_per_token * trunk.tokens_to_train
    worth = gains_by_compiling(spec.family, spec.width) and flops >= COMPILE_FLOPS * spec.width
    return replace(found, compiled=worth and alone and found.device == "cpu" and can_compile())


def gains_by_compiling(family: str, width: int) -> bool:
    """Transformers whose steps are many small operations; recurrent layers and wide products gain nothing."""
    return family in ("decoder", "masked", "encoder_decoder") and width <= 192


@cache
def can_compile() -> bool:
    """Whether torch.compile finds a compiler and all that it needs here. Tried once, on a line."""
    import torch

    try:
        torch.compile(lambda x: x.sin() + 1)(torch.zeros(8))
    except (RuntimeError, OSError, ImportError):
        return False
    return True
