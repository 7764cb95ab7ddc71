"""The runs that could be trained next, and what each of them costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set

import numpy as np

from analysis.fitting.runs import Runs
from analysis.laws.law import FLOPS_PER_PARAM_TOKEN, Array

WIDE = 10.0  # tokens per parameter of candidates: at most so many times beyond those of the runs
LONGER = 16.0  # times the largest budget and size that candidates go
SHORTER = 4.0  # times below the smallest; two corners that are cheap tell most of the exponents
COOLDOWN = 0.2  # share of a branched run's steps that only it needs


def candidates(
    runs: Runs, spend: float, buildable: Callable[[Array], Array] | None, shortest: float
) -> Array:
    """(J, 2) N and D that the spend pays for, on a grid of those that exist and of some beyond."""
    N, D = runs.inputs["N"], runs.inputs["D"]

    def axis(values: Array) -> Array:
        known = np.unique(values)
        if len(known) > 6:
            known = known[np.unique(np.linspace(0, len(known) - 1, 6).round().astype(int))]
        beyond = float(values.max()) * 2.0 ** np.arange(1, np.log2(LONGER) + 1)
        below = np.maximum(float(values.min()) / 2.0 ** np.arange(1, np.log2(SHORTER) + 1), 1.0)
        between = np.sqrt(known[1:] * known[:-1])
        return np.concatenate([known, beyond, between, below])

    sizes = axis(N) if buildable is None else np.unique(buildable(axis(N)))
    budgets = axis(D)
    budgets = budgets[budgets >= min(shortest, float(D.min()))]
    pairs = np.array([(n, d) for n in sizes for d in budgets]).reshape(-1, 2)
    ratio, cost = pairs[:, 1] / pairs[:, 0], FLOPS_PER_PARAM_TOKEN * pairs.prod(axis=1)
    near = (ratio > (D / N).min() / WIDE) & (ratio < (D / N).max() * WIDE)
    # Far cheaper runs than there are would all be chosen, for next to nothing, where the law need not hold.
    near &= cost >= FLOPS_PER_PARAM_TOKEN * (N * D).min() / SHORTER * (1 - 1e-9)
    # An extension or a cooldown costs a part of the whole run, so dearer runs may be within the spend.
    return np.asarray(pairs[near & (cost * COOLDOWN <= spend)])


def price(
    N: float, D: float, held: Mapping[float, float], taken: Set[tuple[float, float]], resumable: bool
) -> tuple[float, str]:
    """What a run adds [FLOP], and what it is; `taken` holds N and D of those there are or will be."""
    whole = FLOPS_PER_PARAM_TOKEN * N * D
    if (N, D) in taken:
        return whole, "new seed"
    reached = held.get(N)
    if not resumable or reached is None:
        return whole, "new run" if any(size == N for size, _ in taken) else "new size"
    if reached < D:
        return FLOPS_PER_PARAM_TOKEN * N * (D - reached * (1 - COOLDOWN)), "extension"
    return COOLDOWN * whole, "cooldown"
