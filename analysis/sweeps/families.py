"""Families on one corpus: is the floor shared, are exponents equal, and what compute does one save?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize, special

from analysis.fitting.bootstrap.draws import small_sample
from analysis.fitting.bootstrap.variance import Scatter
from analysis.fitting.runs import FitError
from analysis.laws.coupled import Coupled
from analysis.laws.law import exp_or_inf

Array = NDArray[np.float64]
TIGHT = {"xtol": 1e-10, "ftol": 1e-10, "gtol": 1e-10}
SIZES = 200  # at which a frontier is looked for
BEYOND = math.log(4)
LARGEST = 3.0  # logarithm of an exponent: a solver may look beyond, and no law is there


@dataclass(frozen=True)
class EqualityTest:
    """Does the simpler model, with something shared, fit significantly worse?"""

    what: str
    F: float  # ratio of mean squares: what sharing costs, over what is left
    p: float  # share of data sets made by the simpler model whose F is as large
    resamples: int

    def __str__(self) -> str:
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
    laws: dict[str, Coupled]  # k is shared; 1 is Chinchilla
    shared_floor: EqualityTest
    equal_exponents: EqualityTest
    multipliers: tuple[Multiplier, ...]
    level: float
    runs: int
    rms: float  # of log residuals


def compare_families(
    table: pd.DataFrame,
    *,
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
        table: columns family, objective, params, tokens, flops, loss, and trunk_id where there is one.
        reference: the family whose compute the others' is measured in.
        coupled: a free k, shared by all families; otherwise k = 1.

    Raises:
        ValueError: for a table of more than one objective, corpus, or of one family only.
        FitError: for a family with fewer than three sizes or budgets.

    Source: sharing E and testing the exponents: Gundlach et al. 2025 (arXiv:2511.21622); the wild cluster
    bootstrap under the null: Cameron, Gelbach & Miller 2008 (Review of Economics and Statistics 90).
    """
    runs = _Runs.of(table, reference)
    full = _Shape(runs, shared=("E",), coupled=coupled)
    rng = np.random.default_rng(seed)
    theta, left = full.fit(runs.loss)
    floor = _test("one floor", runs, full, _Shape(runs, (), coupled), resamples, rng)
    exponents = _test(
        "equal exponents", runs, _Shape(runs, ("E", "alpha", "beta"), coupled), full, resamples, rng
    )
    laws = full.laws(theta)
    draws = []
    for _ in range(resamples):
        weights = runs.draw(rng)
        draws.append(full.laws(full.fit(runs.loss, weights, theta)[0]))
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


@dataclass(frozen=True)
class _Runs:
    names: tuple[str, ...]
    family: NDArray[np.int64]  # (n,) index into names
    trunk: NDArray[np.int64]  # (n,)
    N: Array
    D: Array
    per_token: Array  # counted FLOPs
    loss: Array

    @staticmethod
    def of(table: pd.DataFrame, reference: str) -> _Runs:
        for column in ("objective", "data_fingerprint"):
            kinds = sorted(map(str, table[column].unique())) if column in table else []
            if len(kinds) > 1:
                raise ValueError(
                    f"families can be compared on one {column} only; the table has {', '.join(kinds)}. "
                    "Losses of different ones are not of the same thing."
                )
        names = tuple(dict.fromkeys(map(str, table["family"])))
        if reference not in names or len(names) < 2:
            raise ValueError(
                f"families: {reference!r} and at least one other are needed; "
                f"the table has {', '.join(names)}."
            )
        for name in names:
            rows = table[table["family"] == name]
            for column in ("params", "tokens"):
                if rows[column].nunique() < 3:
                    raise FitError(
                        f"family {name!r}: {rows[column].nunique()} distinct {column}; at least 3 are needed."
                    )
        trunks = table["trunk_id"] if "trunk_id" in table else pd.Series(range(len(table)))
        return _Runs(
            names,
            np.array([names.index(str(name)) for name in table["family"]]),
            pd.factorize(trunks)[0].astype(np.int64),
            table["params"].to_numpy(float),
            table["tokens"].to_numpy(float),
            (table["flops"] / table["tokens"]).to_numpy(float),
            table["loss"].to_numpy(float),
        )

    def draw(self, rng: np.random.Generator) -> Array:
        """Weights (n,) of whole trunks, a mean of 1 in each family: so no replicate loses a size."""
        weights = rng.exponential(size=self.trunk.max() + 1)[self.trunk]
        means = np.bincount(self.family, weights) / np.bincount(self.family)
        drawn: Array = weights / means[self.family]
        return drawn


class _Shape:
    """Which coefficients families share; fits them all by least squares of log residuals."""

    def __init__(self, runs: _Runs, shared: Sequence[str], coupled: bool) -> None:
        self.runs = runs
        self.coupled = coupled
        count = len(runs.names)
        self.places: dict[str, NDArray[np.int64]] = {}
        size = 0
        for name in ("E", "A", "B", "alpha", "beta"):
            width = 1 if name in shared else count
            index = np.arange(count) if width > 1 else np.zeros(count, dtype=np.int64)
            self.places[name] = size + index
            size += width
        self.size = size + int(coupled)
        self.x = np.log(runs.N) - np.log(runs.N).mean()
        self.y = np.log(runs.D) - np.log(runs.D).mean()

    def fit(
        self, loss: Array, weights: Array | None = None, start: Array | None = None
    ) -> tuple[Array, float]:
        """(theta, weighted sum of squared log residuals); from several starts, or from one."""
        root = np.sqrt(np.ones_like(loss) if weights is None else weights)
        target = np.log(loss)

        def residuals(theta: Array) -> Array:
            return root * (self._log_loss(theta) - target)

        def slopes(theta: Array) -> Array:
            return root[:, None] * self._slopes(theta)

        starts = self._starts(loss) if start is None else [start, self._with_floor(start, loss)]
        found = [optimize.least_squares(residuals, s, jac=slopes, method="lm", **TIGHT) for s in starts]
        best = min(found, key=lambda f: float(f.cost))
        return np.asarray(best.x, dtype=float), 2 * float(best.cost)

    def predict(self, theta: Array) -> Array:
        return np.exp(self._log_loss(theta))

    def laws(self, theta: Array) -> dict[str, Coupled]:
        """The law of each family in plain coefficients."""
        k = math.exp(theta[-1]) if self.coupled else 1.0
        shift_x, shift_y = np.log(self.runs.N).mean(), np.log(self.runs.D).mean()
        found = {}
        for i, name in enumerate(self.runs.names):
            E, A, B, alpha, beta = (float(np.exp(theta[self.places[n][i]])) for n in self.places)
            found[name] = Coupled(
                E=E,
                A=A * exp_or_inf(alpha * shift_x),
                B=B * exp_or_inf(beta * shift_y),
                alpha=alpha,
                beta=beta,
                k=k,
            )
        return found

    def _log_loss(self, theta: Array) -> Array:
        """All coefficients are kept as logarithms: positive, and of one scale."""
        log_E, log_A, log_B, k = self._terms(theta)
        found: Array = np.logaddexp(log_E, np.logaddexp(k * log_A, k * log_B) / k)
        return found

    def _terms(self, theta: Array) -> tuple[Array, Array, Array, float]:
        """Logarithms of the floor, of A / N^alpha and of B / D^beta at each run; and k."""
        at = {name: theta[place[self.runs.family]] for name, place in self.places.items()}
        log_A = at["A"] - np.exp(np.minimum(at["alpha"], LARGEST)) * self.x
        log_B = at["B"] - np.exp(np.minimum(at["beta"], LARGEST)) * self.y
        return at["E"], log_A, log_B, math.exp(min(theta[-1], 4.0)) if self.coupled else 1.0

    def _slopes(self, theta: Array) -> Array:
        """(n, coefficients): derivatives of `_log_loss`."""
        log_E, log_A, log_B, k = self._terms(theta)
        log_T = np.logaddexp(k * log_A, k * log_B) / k
        of_floor = special.expit(log_E - log_T)
        of_A = special.expit(k * (log_A - log_B))
        part_A, part_B = (1 - of_floor) * of_A, (1 - of_floor) * (1 - of_A)
        i = self.runs.family
        by_name = {
            "E": of_floor,
            "A": part_A,
            "B": part_B,
            "alpha": -part_A * np.exp(theta[self.places["alpha"][i]]) * self.x,
            "beta": -part_B * np.exp(theta[self.places["beta"][i]]) * self.y,
        }
        found = np.zeros((len(i), self.size))
        for name, slope in by_name.items():
            found[np.arange(len(i)), self.places[name][i]] = slope
        if self.coupled:
            found[:, -1] = (1 - of_floor) * (of_A * log_A + (1 - of_A) * log_B - log_T)
        return found

    def _with_floor(self, theta: Array, loss: Array) -> Array:
        """The same with floors well above 0: from a floor near 0 no step along its logarithm leads away."""
        lifted = theta.copy()
        lifted[self.places["E"]] = math.log(0.3 * loss.min())
        return lifted

    def _starts(self, loss: Array) -> list[Array]:
        least = loss.min()
        starts = []
        for part in (0.5, 0.9):
            for exponent in (0.25, 0.6):
                theta = np.zeros(self.size)
                theta[self.places["E"]] = math.log(part * least)
                for name in ("A", "B"):
                    theta[self.places[name]] = math.log(max(np.median(loss) - part * least, 1e-3) / 2)
                for name in ("alpha", "beta"):
                    theta[self.places[name]] = math.log(exponent)
                if self.coupled:
                    theta[-1] = math.log(1.5)
                starts.append(theta)
        return starts


def _test(
    what: str, runs: _Runs, simple: _Shape, wide: _Shape, resamples: int, rng: np.random.Generator
) -> EqualityTest:
    """F of what the simple model costs, judged by data that the simple model made."""
    freedom = wide.size - simple.size
    rest = len(runs.loss) - wide.size
    if rest < 1:
        raise FitError(f"{what}: {len(runs.loss)} runs do not determine {wide.size} coefficients.")

    def statistic(loss: Array, a: Array | None, b: Array | None) -> tuple[float, Array, Array]:
        theta_a, cost_a = simple.fit(loss, start=a)
        theta_b, cost_b = wide.fit(loss, start=b)
        return max(cost_a - cost_b, 0.0) / freedom / (cost_b / rest), theta_a, theta_b

    F, theta_a, theta_b = statistic(runs.loss, None, None)
    expected = simple.predict(theta_a)
    residuals = np.log(runs.loss) - np.log(expected)
    larger = 0
    for _ in range(resamples):
        sign = rng.choice([-1.0, 1.0], runs.trunk.max() + 1)[runs.trunk]
        made = expected * np.exp(sign * residuals)
        larger += statistic(made, theta_a, theta_b)[0] >= F
    return EqualityTest(what, F, (larger + 1) / (resamples + 1), resamples)


def _multiplier(
    runs: _Runs,
    family: str,
    reference: str,
    laws: dict[str, Coupled],
    draws: Sequence[dict[str, Coupled]],
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

    def ratio(law: dict[str, Coupled]) -> Array:
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

    def __init__(self, runs: _Runs, name: str) -> None:
        own = runs.family == runs.names.index(name)
        N, per_token, D = runs.N[own], runs.per_token[own], runs.D[own]
        self.N = np.geomspace(N.min(), N.max(), SIZES)
        order = np.argsort(N)
        self.per_token = np.exp(np.interp(np.log(self.N), np.log(N[order]), np.log(per_token[order])))
        compute = np.log(per_token * D)
        # A draw may reach a loss a little before or after the runs did: so the grid goes on beyond them.
        self.log_C = np.linspace(compute.min() - BEYOND, compute.max() + BEYOND, SIZES)
        self.spent = float(compute.min()), float(compute.max())

    def best(self, law: Coupled) -> Array:
        """(SIZES,) least loss at each compute."""
        D = np.exp(self.log_C[:, None]) / self.per_token
        found: Array = np.minimum.accumulate(law(N=self.N, D=D).min(axis=1))
        return found

    def ends(self, law: Coupled) -> tuple[float, float]:
        """Least and largest loss within the compute that was spent."""
        most, least = np.interp(self.spent, self.log_C, self.best(law))
        return float(least), float(most)

    def log_compute(self, law: Coupled, loss: Array) -> Array:
        """What each loss costs; NaN far beyond the compute that was spent."""
        best = self.best(law)
        found: Array = np.interp(loss, best[::-1], self.log_C[::-1], left=np.nan, right=np.nan)
        return found
