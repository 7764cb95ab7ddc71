"""`python -m experiments.benchmarks.compare`: coverage of speed-ups, the size of the slope test, false leads.

Studies are simulated from known laws; each question is one row, with what is due and how many studies held.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from analysis.laws.coupled import Coupled
from analysis.laws.frontier import Frontier
from analysis.sweeps.frontiers import Matched, compare_frontiers
from analysis.sweeps.grids import compare_grids
from analysis.sweeps.lead import Lead
from experiments.benchmarks.row import Row

FRONTIER = Frontier(E=1.6, A=92.0, alpha=0.0933)
BASE = Coupled(E=1.7, A=400.0, B=1500.0, alpha=0.34, beta=0.35, k=1.0)
REACHES = (1, 10, 100)
SAVED = 1.25  # true speed-up


def frontier_study(
    rng: np.random.Generator, noise: float = 0.002, budgets: int = 6, slope: float = 0.0
) -> Lead:
    """One pair of frontiers over two decades whose speed-up is `SAVED` at the largest compute."""
    C = np.geomspace(1e18, 1e20, budgets)
    s = SAVED * np.exp(slope * np.log10(C / C[-1]))
    base = FRONTIER.sample(rng, relative_noise=noise, C=C)
    other = FRONTIER.sample(rng, relative_noise=noise, C=C * s)
    return compare_frontiers(
        Matched(C, base, other, np.zeros(budgets)), "new", "base", seed=int(rng.integers(1 << 31))
    )


def grid_study(
    rng: np.random.Generator, noise: float = 0.003, trunk: float = 0.002, saved: float = SAVED
) -> Lead:
    """One pair of grids, 6 trunks of 4 budgets per arm, whose speed-up is `saved` at every compute.

    The arm needs 1 / saved of the tokens for any loss, and so 1 / saved of the compute: its A is the same.
    """
    arms = {}
    for name, factor in (("base", 1.0), ("new", saved)):
        N, D = (
            v.ravel()
            for v in np.meshgrid(np.geomspace(1e7, 3e8, 6), np.geomspace(2e8, 6e9, 4), indexing="ij")
        )
        loss = BASE.sample(rng, relative_noise=noise, N=N, D=D * factor)
        shared = trunk * np.repeat(rng.standard_normal(6), 4)
        arms[name] = pd.DataFrame(
            {"params": N, "tokens": D, "loss": loss * np.exp(shared), "trunk_id": [f"{n:.0f}" for n in N]}
        )
    return compare_grids(arms, resamples=200, tests=0, seed=int(rng.integers(1 << 31))).leads[0]


def rows(studies: int, seed: int = 0, grids: bool = True) -> Iterator[Row]:
    """Coverage at 1, 10 and 100 times the largest compute, the slope test's size, and false leads.

    Args:
        grids: also of full grids, a fit of two arms each: a hundred times as long as frontiers.
    """
    rng = np.random.default_rng(seed)
    # The test's size is judged where the slope is 0; a speed-up that changes is only asked for coverage.
    studies_of: tuple[tuple[str, Callable[[], Lead], float], ...] = (
        ("frontier", lambda: frontier_study(rng), 0.0),
        ("frontier, 4 budgets", lambda: frontier_study(rng, budgets=4), 0.0),
        ("frontier, slope -.07", lambda: frontier_study(rng, slope=-0.07), -0.07),
        ("grid", lambda: grid_study(rng), 0.0),
    )
    for name, make, slope in studies_of[: None if grids else -1]:
        found = [make() for _ in range(studies)]
        for reach in REACHES:
            truth = SAVED * np.exp(slope * np.log10(reach))
            hits = [(e := lead.at(reach * lead.largest)).low <= truth <= e.high for lead in found]
            share = float(np.mean(hits))
            judged = 0.92 <= share <= 0.97 if studies >= 300 else None
            yield Row(
                f"{name}: 95 % of {reach}× the compute", ".92-.97", f"{sum(hits)} of {studies}", share, judged
            )
        if slope == 0:
            wrong = sum(lead.p_slope < 0.05 for lead in found)
            judged = abs(wrong / studies - 0.05) <= 0.015 if studies >= 300 else None
            yield Row(
                "  size of the slope test at .05",
                ".035-.065",
                f"{wrong} of {studies}",
                wrong / studies,
                judged,
            )
    if not grids:
        return
    leads = sum(
        lead.p_value(lead.largest) < 0.05 for lead in (grid_study(rng, saved=1.0) for _ in range(studies))
    )
    yield Row("grid against itself: a lead is found", "1 in 20", f"{leads} of {studies}", leads / studies)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks.compare", description=__doc__)
    parser.add_argument("--studies", type=int, default=500)
    asked = parser.parse_args(arguments)
    for row in rows(asked.studies):
        print(row, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
