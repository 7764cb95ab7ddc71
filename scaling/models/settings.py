"""PyTorch's global settings, which a model's code may change for all that comes after it in its process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

FLAGS: dict[Any, tuple[str, ...]] = {
    torch.backends.mkldnn: ("enabled",),
    torch.backends.cudnn: ("enabled", "benchmark", "deterministic"),
}
KERNELS: Any = (  # of attention
    (torch.backends.cuda.flash_sdp_enabled, torch.backends.cuda.enable_flash_sdp),
    (torch.backends.cuda.mem_efficient_sdp_enabled, torch.backends.cuda.enable_mem_efficient_sdp),
    (torch.backends.cuda.math_sdp_enabled, torch.backends.cuda.enable_math_sdp),
)


@contextmanager
def own_settings() -> Iterator[None]:
    """Put PyTorch's global settings back afterwards: what one model changes, the next does not compute in."""
    device = torch.get_default_device()
    dtype, grad = torch.get_default_dtype(), torch.is_grad_enabled()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn = torch.is_deterministic_algorithms_warn_only_enabled()
    products = torch.get_float32_matmul_precision()
    flags = [(b, name, getattr(b, name)) for b, names in FLAGS.items() for name in names]
    kernels = [(enable, enabled()) for enabled, enable in KERNELS]
    try:
        yield
    finally:
        if torch.get_default_device() != device:
            torch.set_default_device(device)
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(grad)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn)
        torch.set_float32_matmul_precision(products)
        for backend, name, value in flags:
            setattr(backend, name, value)
        for enable, value in kernels:
            enable(value)
