"""The default peak learning rate across sizes, measured."""

from __future__ import annotations

RULES: dict[str, tuple[float, float]] = {
    # family: (rate at 1e5 parameters, exponent), as `python -m experiments.learning_rate` prints
    "decoder": (0.00716, 0.443),
}


def default_learning_rate(family: str, params: int) -> float:
    """Peak rate = r (N / 1e5)^-p, to three digits.

    Fitted to sweeps of six rates at N 8k to 130k and D 250k and 1M, batches of 1,024 tokens, under the trunk
    schedule (experiments/learning_rate). Every optimum lay inside its grid; the rule is within a factor 1.35
    of each, and costs less than 1 % of the loss there. Larger sizes extrapolate it.

    Raises:
        ValueError: for a family without a measured rule.
    """
    if family not in RULES:
        raise ValueError(
            f"no learning rate was measured for family {family!r} (known: {', '.join(RULES)}); "
            "give training.learning_rate."
        )
    rate, exponent = RULES[family]
    return float(f"{rate * (params / 1e5) ** -exponent:.3g}")
