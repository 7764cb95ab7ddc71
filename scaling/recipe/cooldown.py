"""Shapes of a cooldown: the share of the branch's rate that is left, by the part of the cooldown passed."""

from __future__ import annotations

import math
from collections.abc import Callable

from scaling.registry import Registry


def sqrt(part: float) -> float:
    """1 - sqrt(part).

    Source: Hägele et al. 2024 (arXiv:2405.18392), section 3, the (1-sqrt) cooldown.
    """
    return 1 - math.sqrt(part)


def linear(part: float) -> float:
    """1 - part."""
    return 1 - part


def cosine(part: float) -> float:
    """Half a cosine."""
    return (1 + math.cos(math.pi * part)) / 2


COOLDOWNS: Registry[Callable[[float], float]] = Registry(
    "cooldown", "training.cooldown_shape", {"sqrt": sqrt, "linear": linear, "cosine": cosine}
)
