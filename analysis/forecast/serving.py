"""The best model to train when it will also be served: fewer parameters, more tokens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize

from analysis.laws.law import FLOPS_PER_PARAM_TOKEN, Law

FLOPS_PER_SERVED_TOKEN = 2.0  # one forward pass a parameter
WIDEST = 60.0  # how far from the start, in log N or log D, a solution is sought


@dataclass(frozen=True)
class ServingOptimum:
    """The cheapest model of a given loss, training and serving together."""

    N: float  # parameters
    D: float  # training tokens
    flops: float  # 6 N D + 2 N × served tokens
    training_flops: float  # 6 N D


def serving_optimum(law: Law, *, loss: float, served: float) -> ServingOptimum:
    """Minimise 6 N D + 2 N × served over models of this loss [nats/token]; `served` is tokens in all.

    Post-processing of any surface L(N, D): for each N the D that reaches the loss, then the cheapest N.
    served = 0 gives the training optimum.

    Raises:
        ValueError: when the law cannot reach the loss.

    Source: Sardana et al. 2024 (arXiv:2401.00448) section 2.
    """
    if served < 0:
        raise ValueError(f"served: a number of tokens, 0 or more; got {served!r}.")
    limit = float(law(N=np.exp(WIDEST), D=np.exp(WIDEST)))
    if loss <= limit:
        raise ValueError(
            f"loss {loss:g} is out of reach: with unlimited params and tokens the law gives {limit:.4g}."
        )

    def log_tokens(log_n: float) -> float:
        def gap(log_d: float) -> float:
            return float(law(N=np.exp(log_n), D=np.exp(log_d))) - loss

        return float(optimize.brentq(gap, -WIDEST, WIDEST, xtol=1e-13)) if gap(-WIDEST) > 0 else -WIDEST

    def log_cost(log_n: float) -> float:
        tokens = np.exp(log_tokens(log_n))
        return float(log_n + np.log(FLOPS_PER_PARAM_TOKEN * tokens + FLOPS_PER_SERVED_TOKEN * served))

    def shortfall(log_n: float) -> float:
        return float(law(N=np.exp(log_n), D=np.exp(WIDEST))) - loss

    smallest = float(optimize.brentq(shortfall, -WIDEST, WIDEST))  # below it no amount of data suffices
    grid = smallest + np.geomspace(1e-6, WIDEST, 161)
    best = int(np.argmin([log_cost(g) for g in grid]))
    low, high = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    found = optimize.minimize_scalar(log_cost, bounds=(low, high), method="bounded", options={"xatol": 1e-10})
    N, D = float(np.exp(found.x)), float(np.exp(log_tokens(found.x)))
    training = FLOPS_PER_PARAM_TOKEN * N * D
    return ServingOptimum(N, D, training + FLOPS_PER_SERVED_TOKEN * N * served, training)
