"""The default peak learning rate across sizes, measured."""

from __future__ import annotations

import math

RULES: dict[str, tuple[float, float]] = {
    # family: (rate at 1e5 parameters, exponent), as `python -m experiments.learning_rate` prints
    "decoder": (0.00716, 0.443),
}


BATCH = 1024  # tokens a step in the sweeps that the rules were fitted to


def default_learning_rate(family: str, params: int, batch_tokens: int = BATCH) -> float:
    """Peak rate = r (N / 1e5)^-p sqrt(batch / 1024), to three digits.

    Fitted to sweeps of six rates at N 8k to 130k and D 250k and 1M, batches of 1,024 tokens, under the trunk
    schedule (experiments/learning_rate). Every optimum lay inside its grid; the rule is within a factor 1.35
    of each, and costs less than 1 % of the loss there. Larger sizes extrapolate it. The square root of the
    batch is the scaling of Adam under noisy gradients; at batches of 512 the better of two or three rates
    tried at widths 16, 40 and 80 was 0.6 to 0.9 of the rule at 1,024.

    Source: Malladi et al. 2022 (arXiv:2205.10343), the square-root rule.

    Raises:
        ValueError: for a family without a measured rule.
    """
    if family not in RULES:
        raise ValueError(
            f"no learning rate was measured for family {family!r} (known: {', '.join(RULES)}); "
            "give training.learning_rate."
        )
    rate, exponent = RULES[family]
    return float(f"{rate * (params / 1e5) ** -exponent * math.sqrt(batch_tokens / BATCH):.3g}")
