"""Bootstrap replicates as weights: a run drawn twice counts twice."""

from __future__ import annotations

import numpy as np

from analysis.laws.laws import Array
from analysis.laws.runs import Runs

TRIES = 50


def cluster_counts(runs: Runs, resamples: int, seed: int) -> tuple[Array, int]:
    """How often each run is drawn when whole trunks are drawn with replacement, (resamples, n).

    A replicate needs at least as many distinct values of each input as a power law with offset has
    parameters, or as the data have; others are drawn again. Returns the counts and the number redrawn.

    Source: Field & Welsh 2007 (cluster bootstrap); trunks because their runs share weights and data order.
    """
    rng = np.random.default_rng(seed)
    G = runs.n_groups
    levels = [np.unique(x, return_inverse=True)[1] for x in runs.inputs.values()]
    membership = [np.eye(level.max() + 1)[level] for level in levels]  # (n, distinct values)
    counts = np.empty((resamples, runs.n))
    todo = np.arange(resamples)
    refused = 0
    for _ in range(TRIES):
        draws = rng.multinomial(G, np.full(G, 1 / G), size=len(todo)).astype(float)
        counts[todo] = draws[:, runs.groups]
        poor = np.zeros(len(todo), dtype=bool)
        for m in membership:
            poor |= ((counts[todo] @ m) > 0).sum(axis=1) < min(3, m.shape[1])
        todo = todo[poor]
        refused += int(poor.sum())
        if not todo.size:
            break
    return counts, refused
