"""Bootstrap replicates, as weights of the runs or as losses made from residuals. Whole trunks always.

Runs of one trunk share weights and data order, so they are drawn, reweighted or flipped together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from analysis.fitting.runs import Runs
from analysis.laws.law import Array

BootstrapKind = Literal["bayes", "pairs", "residual", "wild"]
BOOTSTRAP_KINDS: tuple[BootstrapKind, ...] = ("bayes", "pairs", "residual", "wild")
TRIES = 50


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are made."""

    kind: BootstrapKind = "bayes"
    resamples: int = 1000  # replicates, each solved globally; 0 for none
    seed: int = 0
    level: float = 0.95

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise ValueError(f"level: a probability between 0 and 1, e.g. 0.95; got {self.level!r}.")
        if self.kind not in BOOTSTRAP_KINDS:
            raise ValueError(f"bootstrap: one of {', '.join(BOOTSTRAP_KINDS)}; got {self.kind!r}.")
        if self.resamples < 0:
            raise ValueError(f"resamples: 0 or more bootstrap replicates; got {self.resamples!r}.")


@dataclass(frozen=True)
class Replicates:
    """What each replicate is fitted to."""

    counts: Array  # (R, n) factor on the weight of each run
    log_loss: Array  # (R, n), or (1, n) where all replicates share the losses
    redrawn: int  # draws refused because they could not determine the law


def replicates(
    kind: BootstrapKind, runs: Runs, log_loss: Array, predicted: Array, parameters: int, size: int, seed: int
) -> Replicates:
    """Draw `size` replicates; log_loss and predicted are (n,).

    bayes: trunks weighted by independent exponentials, so no replicate loses a size (Rubin 1981).
    pairs: trunks drawn with replacement (Efron 1979; for clusters Field & Welsh 2007).
    residual: losses of the law plus residuals drawn with replacement, trunk effects and the rest of each run
        apart (Davison & Hinkley 1997, section 3.8).
    wild: losses of the law plus each trunk's residuals with a random sign (Wu 1986; Cameron et al. 2008).

    Residuals are widened by sqrt(n / (n - p)) for the p parameters that were fitted to them.

    Raises:
        ValueError: for another kind.
    """
    rng = np.random.default_rng(seed)
    G, n = runs.n_groups, runs.n
    if kind == "bayes":
        return Replicates(trunk_weights(runs, size, seed)[:, runs.groups], log_loss[None], 0)
    if kind == "pairs":
        counts, redrawn = _pairs(runs, size, rng)
        return Replicates(counts, log_loss[None], redrawn)
    residual = (log_loss - predicted) * np.sqrt(n / max(n - parameters, 1))
    if kind == "wild":
        signs = rng.choice([-1.0, 1.0], size=(size, G))[:, runs.groups]
        return Replicates(np.ones((size, n)), predicted + signs * residual, 0)
    if kind == "residual":
        residual = residual - np.average(residual, weights=runs.weights)
        shared = np.zeros(G)
        if n > G:
            members = np.bincount(runs.groups)
            shared = np.bincount(runs.groups, residual) / members
        rest = residual - shared[runs.groups]
        drawn = shared[rng.integers(0, G, (size, G))][:, runs.groups] + rest[rng.integers(0, n, (size, n))]
        return Replicates(np.ones((size, n)), predicted + drawn, 0)
    raise ValueError(f"bootstrap: one of {', '.join(BOOTSTRAP_KINDS)}; got {kind!r}.")


def trunk_weights(runs: Runs, size: int, seed: int) -> Array:
    """The factor (R, G) on the weights of each trunk's runs in `bayes` replicates, 1 on average over runs."""
    weight = np.random.default_rng(seed).exponential(size=(size, runs.n_groups))
    weight *= runs.n / (weight @ np.bincount(runs.groups))[:, None]
    return weight


def _pairs(runs: Runs, size: int, rng: np.random.Generator) -> tuple[Array, int]:
    """How often each run is drawn, (size, n), and how many draws were refused.

    A replicate needs 3 distinct values of each input (a power law with offset has 3 parameters), or as many
    as the data have; a draw with fewer is drawn again.
    """
    G = runs.n_groups
    levels = [np.unique(x, return_inverse=True)[1] for x in runs.inputs.values()]
    membership = [
        (level[:, None] == np.arange(level.max() + 1)).astype(float) for level in levels if level.max() < 50
    ]
    counts = np.empty((size, runs.n))
    todo = np.arange(size)
    redrawn = 0
    for _ in range(TRIES):
        drawn = rng.integers(0, G, (len(todo), G)) + G * np.arange(len(todo))[:, None]
        times = np.bincount(drawn.ravel(), minlength=G * len(todo)).reshape(-1, G)
        counts[todo] = times[:, runs.groups]
        poor = np.zeros(len(todo), dtype=bool)
        for member in membership:
            poor |= ((counts[todo] @ member) > 0).sum(axis=1) < min(3, member.shape[1])
        todo = todo[poor]
        redrawn += int(poor.sum())
        if not todo.size:
            break
    return counts, redrawn
