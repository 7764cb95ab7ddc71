"""The default peak learning rate across sizes: a power law whose numbers are in `conf/rates/`."""

from __future__ import annotations

from collections.abc import Mapping

from scaling.study.config import RateRule

PARAMS, TOKENS, BATCH = 1e5, 1e6, 1024  # where a rule's `rate` holds
ANY = "any"  # the rule of families that have none of their own


def default_learning_rate(
    rules: Mapping[str, RateRule], family: str, params: int, tokens: float, batch_tokens: int
) -> float:
    """Peak rate = r (N / 1e5)^-n (D / 1e6)^d (batch / 1024)^b, to three digits.

    The square root of the batch, the default of b, is the scaling of Adam under noisy gradients.
    Source: Malladi et al. 2022 (arXiv:2205.10343), the square-root rule.

    Raises:
        ValueError: for a family without a rule.
    """
    rule = rules.get(family, rules.get(ANY))
    if rule is None:
        raise ValueError(
            f"no learning rate was measured for family {family!r} (known: {', '.join(rules)}); "
            "give training.learning_rate, or rules that have it: rates=NAME."
        )
    by_size = (params / PARAMS) ** -rule.params_exponent
    by_data = (tokens / TOKENS) ** rule.tokens_exponent * (batch_tokens / BATCH) ** rule.batch_exponent
    return float(f"{rule.rate * by_size * by_data:.3g}")
