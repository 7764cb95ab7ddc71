"""Rates that fall as a power of the tokens seen, which no budget enters: any can leave such a trunk."""

from __future__ import annotations

from collections.abc import Mapping

from scaling.recipe.schedules.schedule import Place, Schedule


def share(place: Place, settings: Mapping[str, float]) -> float:
    """min(1, (knee / tokens)^exponent): the peak up to `knee` tokens, then a power law.

    Source: Shen et al. 2024 (arXiv:2408.13359), equation 7: min(peak, beta a n^b) at n tokens, with b about
    -0.51. Our knee is where the two meet, so that it is read in tokens and the amplitude a is not needed.
    """
    return float(min(1.0, (settings["knee"] / max(place.tokens, 1)) ** settings["exponent"]))


def inverse_sqrt(place: Place, settings: Mapping[str, float]) -> float:
    """sqrt(warm-up / tokens), the peak at the end of the warm-up.

    Source: Vaswani et al. 2017 (arXiv:1706.03762), equation 3.
    """
    return float(min(1.0, (max(place.warmup_tokens, 1) / max(place.tokens, 1)) ** 0.5))


POWER = Schedule(share, settings={"exponent": 0.51, "knee": 2e5})
INVERSE_SQRT = Schedule(inverse_sqrt)
