"""The default peak learning rate across sizes."""

from __future__ import annotations

RULES: dict[str, tuple[float, float]] = {"decoder": (0.01, 0.25)}


def default_learning_rate(family: str, params: int) -> float:
    """Placeholder until measured."""
    at_100k, exponent = RULES[family]
    return float(f"{at_100k * (params / 1e5) ** -exponent:.3g}")
