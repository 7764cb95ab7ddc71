"""Families on one corpus: is the floor shared, are exponents equal, and how much compute does one save?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.fitting.bootstrap.draws import small_sample
from analysis.fitting.bootstrap.variance import Scatter
from analysis.fitting.runs import FitError
from analysis.laws.surface import Surface
from analysis.sweeps.joint import ArmRuns, JointSurface

Array = NDArray[np.float64]
SIZES = 200  # at which a frontier is looked for
BEYOND = math.log(4)


@dataclass(frozen=True)
class EqualityTest:
    """Does the simpler model, with something shared, fit significantly worse?"""

    what: str
    F: float  # ratio of mean squares: what sharing costs, over what is left
    p: float  # share of data sets made by the simpler model whose F is as large
    resamples: int

    def __str__(self) -> str:
        if not self.resamples:
            return f"{self.what}: not tested"
        verdict = "rejected" if self.p < 0.05 else "not rejected"
        return f"{self.what}: {verdict} (F {self.F:.2f}, p {self.p:.3f} of {self.resamples})"


@dataclass(frozen=True)
class Multiplier:
    """How much more compute a family needs than the reference for a loss, each at its own best size."""

    family: str
    loss: Array  # (n,) [nats/token], from easy to hard
    value: Array  # (n,)
    low: Array  # (n,) ends of the interval
    high: Array


@dataclass(frozen=True)
class FamilyComparison:
    """Laws of several families with a shared floor, and what follows."""

    reference: str
    laws: dict[str, Surface]  # k is shared; 1 is Chinchilla
    shared_floor: EqualityTest
    equal_exponents: EqualityTest
    multipliers: tuple[Multiplier, ...]
    level: float
    runs: int
    rms: float  # of log residuals


def compare_families(
    table: pd.DataFrame,
    *,
    by: str = "family",
    reference: str = "decoder",
    coupled: bool = True,
    resamples: int = 200,
    seed: int = 0,
    level: float = 0.95,
) -> FamilyComparison:
    """Fit all families of a table together: one floor, for they read the same corpus; all else their own.

    Tests make data by the simpler model, with the residuals of a whole trunk given one random sign, and fit
    both models again. Intervals draw whole trunks within each family.

    Args:
        by: the column whose values are compared.
        table: columns family, objective, params, tokens, flops, loss, and trunk_id where there is one.
        reference: the family whose compute the others' is measured in.
        coupled: a free k, shared by all families; otherwise k = 1.

    Raises:
        ValueError: for a table of more than one objective, corpus, or of one family only.
        FitError: for a family with fewer than three sizes or budgets.

    Source: sharing E and testing the exponents: Gundlach et al. 2025 (arXiv:2511.21622); the wild cluster
    bootstrap under the null: Cameron, Gelbach & Miller 2008 (Review of Economics and Statistics 90).
    """
    runs = ArmRuns.of(table, by, reference)
    full = JointSurface(runs, shared=("E",), coupled=coupled)
    rng = np.random.default_rng(seed)
    theta, left = full.fit(runs.loss)
    floor = equality_test("one floor", runs, full, JointSurface(runs, (), coupled), resamples, rng)
    exponents = equality_test(
        "equal exponents", runs, JointSurface(runs, ("E", "alpha", "beta"), coupled), full, resamples, rng
    )
    laws = full.laws(theta)
    draws = []
    if resamples:
        found, _ = full.fit_many(np.log(runs.loss)[None], runs.draw(rng, resamples), theta)
        draws = [full.laws(each) for each in found]
    others = [family for family in runs.names if family != reference]
    spread = Scatter.of_runs(len(runs.loss), len(theta))
    return FamilyComparison(
        reference=reference,
        laws=laws,
        shared_floor=floor,
        equal_exponents=exponents,
        multipliers=tuple(
            _multiplier(runs, family, reference, laws, draws, spread, level) for family in others
        ),
        level=level,
        runs=len(runs.loss),
        rms=math.sqrt(left / len(runs.loss)),
    )


def equality_test(
    what: str,
    runs: ArmRuns,
    simple: JointSurface,
    wide: JointSurface,
    resamples: int,
    rng: np.random.Generator,
) -> EqualityTest:
    """F of what the simple model costs, judged by data that the simple model made."""
    freedom = wide.size - simple.size
    rest = len(runs.loss) - wide.size
    if rest < 1:
        raise FitError(f"{what}: {len(runs.loss)} runs do not determine {wide.size} coefficients.")

    if not resamples:
        return EqualityTest(what, math.nan, math.nan, 0)

    def statistic(cost_a: Array, cost_b: Array) -> Array:
        return np.maximum(cost_a - cost_b, 0.0) / freedom / (cost_b / rest)

    theta_a, cost_a = simple.fit(runs.loss)
    theta_b, cost_b = wide.fit(runs.loss)
    F = float(statistic(np.array(cost_a), np.array(cost_b)))
    expected = np.log(simple.predict(theta_a))
    signs = rng.choice([-1.0, 1.0], (resamples, runs.trunk.max() + 1))[:, runs.trunk]
    made = expected + signs * (np.log(runs.loss) - expected)
    one = np.ones((1, len(runs.loss)))
    both = (simple.fit_many(made, one, theta_a)[1], wide.fit_many(made, one, theta_b)[1])
    larger = int((statistic(*both) >= F).sum())
    return EqualityTest(what, F, (larger + 1) / (resamples + 1), resamples)


def _multiplier(
    runs: ArmRuns,
    family: str,
    reference: str,
    laws: dict[str, Surface],
    draws: Sequence[dict[str, Surface]],
    spread: Scatter,
    level: float,
) -> Multiplier:
    """Along losses that both families reach within the compute that was spent on each.

    Log multipliers of the draws are spread for few runs and few trunks, by the family that has fewer.
    """
    frontiers = {name: _Frontier(runs, name) for name in (family, reference)}
    ends = [frontiers[name].ends(laws[name]) for name in frontiers]
    hard, easy = max(low for low, _ in ends), min(high for _, high in ends)
    if not hard < easy:
        raise FitError(
            f"families {family!r} and {reference!r} reach no loss in common within the compute spent on each."
        )
    loss = np.linspace(easy, hard, 25)

    def ratio(law: dict[str, Surface]) -> Array:
        return np.exp(
            frontiers[family].log_compute(law[family], loss)
            - frontiers[reference].log_compute(law[reference], loss)
        )

    value = ratio(laws)
    many = np.array([ratio(draw) for draw in draws]) if draws else np.full((1, len(loss)), np.nan)
    trunks = min(
        len(np.unique(runs.trunk[runs.family == runs.names.index(name)])) for name in (family, reference)
    )
    many = value * (many / value) ** small_sample(trunks, spread, 1.0)
    missing = np.isnan(many).any(axis=0)  # some draw does not reach this loss: its interval has no end here
    low, high = np.quantile(np.where(missing, 1.0, many), [(1 - level) / 2, (1 + level) / 2], axis=0)
    return Multiplier(family, loss, value, np.where(missing, np.nan, low), np.where(missing, np.nan, high))


class _Frontier:
    """The least loss of each compute among the sizes that were trained, FLOPs as counted."""

    def __init__(self, runs: ArmRuns, name: str) -> None:
        own = runs.family == runs.names.index(name)
        N, per_token, D = runs.N[own], runs.per_token[own], runs.D[own]
        self.N = np.geomspace(N.min(), N.max(), SIZES)
        order = np.argsort(N)
        self.per_token = np.exp(np.interp(np.log(self.N), np.log(N[order]), np.log(per_token[order])))
        compute = np.log(per_token * D)
        # A draw may reach a loss a little before or after the runs did: so the grid goes on beyond them.
        self.log_C = np.linspace(compute.min() - BEYOND, compute.max() + BEYOND, SIZES)
        self.spent = float(compute.min()), float(compute.max())

    def best(self, law: Surface) -> Array:
        """(SIZES,) least loss at each compute."""
        D = np.exp(self.log_C[:, None]) / self.per_token
        found: Array = np.minimum.accumulate(law(N=self.N, D=D).min(axis=1))
        return found

    def ends(self, law: Surface) -> tuple[float, float]:
        """Least and largest loss within the compute that was spent."""
        most, least = np.interp(self.spent, self.log_C, self.best(law))
        return float(least), float(most)

    def log_compute(self, law: Surface, loss: Array) -> Array:
        """What each loss costs; NaN far beyond the compute that was spent."""
        best = self.best(law)
        found: Array = np.interp(loss, best[::-1], self.log_C[::-1], left=np.nan, right=np.nan)
        return found
