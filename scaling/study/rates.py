"""The default peak learning rate across sizes: a power law whose numbers are in `conf/rates/`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from scaling.registry import Registry
from scaling.study.config import RateRule

RATES: Registry[RateRule] = Registry("learning-rate rule", "rates")  # of families from outside, by family
PARAMS, TOKENS, BATCH = 1e5, 1e6, 1024  # where a rule's `rate` holds
ANY = "any"  # the rule of families that have none of their own


def default_learning_rate(
    rules: Mapping[str, RateRule],
    family: str,
    params: int,
    tokens: float,
    batch_tokens: int,
    optimizer: str = "adamw",
) -> float:
    """Peak rate = r (N / 1e5)^-n (D / 1e6)^d (batch / 1024)^b, to three digits.

    The square root of the batch, the default of b, is the scaling of Adam under noisy gradients.
    Source: Malladi et al. 2022 (arXiv:2205.10343), the square-root rule.

    Raises:
        ValueError: for a family without a rule under this optimizer.
    """
    rule = _rule(rules, family, optimizer)
    if rule is None:
        under = "" if optimizer == "adamw" else f" under optimizer {optimizer!r}"
        raise ValueError(
            f"no learning rate was measured for family {family!r}{under} (known: {', '.join(rules)}); "
            "give training.learning_rate, or rules that have it: rates=NAME."
        )
    return float(f"{rule.rate * _factor(rule, params, tokens, batch_tokens):.3g}")


def rule_name(family: str, optimizer: str) -> str:
    """The key of a rule in `conf/rates/`: `family` under AdamW, `family.optimizer` under any other."""
    return family if optimizer == "adamw" else f"{family}.{optimizer}"


def rule_through(
    rate: float,
    rules: Mapping[str, RateRule],
    family: str,
    params: int,
    tokens: float,
    batch_tokens: int,
    optimizer: str = "adamw",
) -> RateRule:
    """The rule of a family, moved to give `rate` there; where there is none, the same rate everywhere."""
    rule = _rule(rules, family, optimizer) or RateRule(rate, 0.0)
    return replace(rule, rate=rate / _factor(rule, params, tokens, batch_tokens))


def _rule(rules: Mapping[str, RateRule], family: str, optimizer: str) -> RateRule | None:
    """What the config says of a family, else what was registered for it, else what holds for any."""
    own = rule_name(family, optimizer)
    return rules.get(own) or RATES.get(own) or rules.get(rule_name(ANY, optimizer))


def _factor(rule: RateRule, params: int, tokens: float, batch_tokens: int) -> float:
    by_size: float = (params / PARAMS) ** -rule.params_exponent
    by_data: float = (tokens / TOKENS) ** rule.tokens_exponent * (batch_tokens / BATCH) ** rule.batch_exponent
    return by_size * by_data
