"""Surfaces of several arms fitted together by least squares, some coefficients shared."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize, special

from analysis.fitting.runs import FitError
from analysis.laws.law import exp_or_inf
from analysis.laws.registry import JOINT
from analysis.laws.surface import Surface

Array = NDArray[np.float64]
TIGHT = {"xtol": 1e-10, "ftol": 1e-10, "gtol": 1e-10}
STEPS = 40  # of many fits at once, each from the minimum of data that are nearly its own
SAME_SIZE = 0.05  # log ratio of sizes, or budgets, that two families can be paired at
LONGEST = 1.0  # of a step, in any coordinate
STUCK = 1e3  # damping at which a replicate that gains nothing is left
ENOUGH = 1e-6  # relative decrease of the squares at which replicates are left
LARGEST = 3.0  # logarithm of an exponent: a solver may look beyond, and no law is there


@dataclass(frozen=True)
class ArmRuns:
    """Runs of several arms, as columns."""

    names: tuple[str, ...]
    family: NDArray[np.int64]  # (n,) index into names
    trunk: NDArray[np.int64]  # (n,)
    pair: NDArray[np.int64]  # (n,) trunks of different families at one size and seed have one number
    N: Array
    D: Array
    per_token: Array  # counted FLOPs
    loss: Array

    @staticmethod
    def of(table: pd.DataFrame, by: str, reference: str) -> ArmRuns:
        for column in ("objective", "data_fingerprint"):
            kinds = sorted(map(str, table[column].unique())) if column in table else []
            if len(kinds) > 1:
                raise ValueError(
                    f"families can be compared on one {column} only; the table has {', '.join(kinds)}. "
                    "Losses under different ones do not measure the same thing."
                )
        names = tuple(dict.fromkeys(map(str, table[by])))
        if reference not in names or len(names) < 2:
            raise ValueError(
                f"{by}: {reference!r} and at least one other are needed; the table has {', '.join(names)}."
            )
        for name in names:
            rows = table[table[by].astype(str) == name]
            for column in ("params", "tokens"):
                if rows[column].nunique() < 3:
                    raise FitError(
                        f"{by} {name!r}: {rows[column].nunique()} distinct {column}; at least 3 are needed."
                    )
        trunks = table["trunk_id"] if "trunk_id" in table else pd.Series(range(len(table)))
        return ArmRuns(
            names,
            np.array([names.index(str(name)) for name in table[by]]),
            (trunk := pd.factorize(trunks)[0].astype(np.int64)),
            pair_trunks(trunk, np.array([names.index(str(name)) for name in table[by]]), table),
            table["params"].to_numpy(float),
            table["tokens"].to_numpy(float),
            (table["flops"] / table["tokens"]).to_numpy(float),
            table["loss"].to_numpy(float),
        )

    def draw(self, rng: np.random.Generator, size: int) -> Array:
        """Weights (size, n) of whole trunks, a mean of 1 in each family: so no replicate loses a size.

        Trunks of two families that were paired have one weight, so what they share cancels in a difference.
        """
        weights = rng.exponential(size=(size, self.pair.max() + 1))[:, self.pair]
        for i in range(len(self.names)):
            own = self.family == i
            weights[:, own] /= weights[:, own].mean(axis=1, keepdims=True)
        return weights


def pair_trunks(
    trunk: NDArray[np.int64], family: NDArray[np.int64], table: pd.DataFrame
) -> NDArray[np.int64]:
    """Number the trunks (n,) so that those of different families at one size, seed and budgets share one.

    The k-th smallest size of one family goes with the k-th of another within `SAME_SIZE`; the same holds for
    budgets where each run is a trunk of its own. Several trunks of one family that look alike stay apart.
    """
    seed = pd.factorize(table["seed"])[0] if "seed" in table else np.zeros(len(table), dtype=np.int64)
    sizes, budgets = table["params"].to_numpy(float), table["tokens"].to_numpy(float)
    rows = pd.DataFrame({"trunk": trunk, "family": family, "N": sizes, "D": budgets, "seed": seed})
    each = rows.groupby("trunk", sort=False).agg(
        family=("family", "first"), N=("N", "first"), D=("D", "max"), seed=("seed", "first")
    )
    for name in ("N", "D"):
        order = np.sort(each[name].unique())
        near = np.cumsum(np.append(0, np.diff(np.log(order)) > SAME_SIZE))
        each[name] = near[np.searchsorted(order, each[name])]
    each["copy"] = each.groupby(["family", "N", "D", "seed"]).cumcount()
    pairs = each.groupby(["N", "D", "seed", "copy"], sort=False).ngroup()
    # Trunks are numbered in the order of their first rows, and so are the groups of them.
    numbers = np.asarray(pairs, dtype=np.int64)
    return np.asarray(numbers[trunk], dtype=np.int64)


class JointSurface:
    """Which coefficients families share; fits them all by least squares of log residuals."""

    def __init__(
        self, runs: ArmRuns, shared: Sequence[str], coupled: bool, log_floor: float | None = None
    ) -> None:
        self.runs = runs
        self.log_floor = log_floor  # of a shared E that is held
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

    def fit_many(self, log_loss: Array, weights: Array, start: Array) -> tuple[Array, Array]:
        """Replicates at once, from one start (p,): theta (R, p) and costs (R,) as `fit` returns them.

        Args:
            log_loss: (R, n), or (1, n) where replicates share the losses; weights likewise.

        Each is solved from the start and from one with a higher floor, and the better is kept.
        """
        R = max(len(log_loss), len(weights))
        lifted = self._with_floor(start, np.exp(log_loss[0]))
        found = [
            levenberg(self._log_loss, self._slopes, log_loss, weights, np.repeat(s[None], R, axis=0))
            for s in (start, lifted)
        ]
        cost = np.stack([c for _, c in found])
        best = np.argmin(cost, axis=0)
        return np.stack([t for t, _ in found])[best, np.arange(R)], cost.min(axis=0)

    def predict(self, theta: Array) -> Array:
        return np.exp(self._log_loss(theta))

    def laws(self, theta: Array) -> dict[str, Surface]:
        """The law of each family in plain coefficients."""
        k = math.exp(theta[-1]) if self.coupled else 1.0
        shift_x, shift_y = np.log(self.runs.N).mean(), np.log(self.runs.D).mean()
        found: dict[str, Surface] = {}
        for i, name in enumerate(self.runs.names):
            E, A, B, alpha, beta = (float(np.exp(theta[self.places[n][i]])) for n in self.places)
            E = E if self.log_floor is None else math.exp(self.log_floor)
            found[name] = JOINT(
                E=E,
                A=A * exp_or_inf(alpha * shift_x),
                B=B * exp_or_inf(beta * shift_y),
                alpha=alpha,
                beta=beta,
                k=k,
            )
        return found

    def _log_loss(self, theta: Array) -> Array:
        """(…, n) of theta (…, p). All coefficients are kept as logarithms: positive, and of one scale."""
        log_E, log_A, log_B, k = self._terms(theta)
        found: Array = np.logaddexp(log_E, np.logaddexp(k * log_A, k * log_B) / k)
        return found

    def _terms(self, theta: Array) -> tuple[Array, Array, Array, Array]:
        """Logarithms of the floor, of A / N^alpha and of B / D^beta at each run; and k."""
        at = {name: theta[..., place[self.runs.family]] for name, place in self.places.items()}
        log_A = at["A"] - np.exp(np.minimum(at["alpha"], LARGEST)) * self.x
        log_B = at["B"] - np.exp(np.minimum(at["beta"], LARGEST)) * self.y
        k = np.exp(np.minimum(theta[..., -1:], 4.0)) if self.coupled else np.ones(1)
        return at["E"] if self.log_floor is None else np.full_like(at["E"], self.log_floor), log_A, log_B, k

    def _slopes(self, theta: Array) -> Array:
        """(…, n, p): derivatives of `_log_loss`."""
        log_E, log_A, log_B, k = self._terms(theta)
        log_T = np.logaddexp(k * log_A, k * log_B) / k
        of_floor = special.expit(log_E - log_T)
        of_A = special.expit(k * (log_A - log_B))
        part_A, part_B = (1 - of_floor) * of_A, (1 - of_floor) * (1 - of_A)
        i = self.runs.family
        by_name = {
            "E": of_floor if self.log_floor is None else np.zeros_like(of_floor),
            "A": part_A,
            "B": part_B,
            "alpha": -part_A * np.exp(theta[..., self.places["alpha"][i]]) * self.x,
            "beta": -part_B * np.exp(theta[..., self.places["beta"][i]]) * self.y,
        }
        found = np.zeros((*of_floor.shape, self.size))
        for name, slope in by_name.items():
            found[..., np.arange(len(i)), self.places[name][i]] = slope
        if self.coupled:
            found[..., -1] = (1 - of_floor) * (of_A * log_A + (1 - of_A) * log_B - log_T)
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


def levenberg(
    value: Callable[[Array], Array],
    slopes: Callable[[Array], Array],
    target: Array,
    weights: Array,
    theta: Array,
) -> tuple[Array, Array]:
    """Least squares of many replicates together: theta (R, p) and weighted squares (R,).

    Source: Marquardt 1963 (J. SIAM 11), the damping scaled by the diagonal; each replicate has its own.
    """
    theta = theta.copy()
    damping = np.full(len(theta), 1e-3)
    target = np.broadcast_to(target, (len(theta), target.shape[1]))
    weights = np.broadcast_to(weights, target.shape)
    cost = (weights * (value(theta) - target) ** 2).sum(axis=1)
    going = np.arange(len(theta))  # replicates that still gain
    for _ in range(STEPS):
        here, W, Y = theta[going], weights[going], target[going]
        J = slopes(here)
        across = np.swapaxes(J * W[..., None], 1, 2)
        gradient, bend = across @ (value(here) - Y)[..., None], across @ J
        own = np.einsum("rpp->rp", bend)
        ridge = damping[going, None] * own + 1e-12 * (1 + own.max(axis=1, keepdims=True))
        step = -np.linalg.solve(bend + ridge[..., None] * np.eye(theta.shape[1]), gradient)[..., 0]
        tried = here + np.clip(step, -LONGEST, LONGEST)
        new = (W * (value(tried) - Y) ** 2).sum(axis=1)
        old = cost[going]
        better = new < old
        theta[going[better]], cost[going[better]] = tried[better], new[better]
        damping[going] = np.clip(np.where(better, damping[going] / 5, damping[going] * 4), 1e-9, 1e9)
        gained = (old - new) > ENOUGH * old
        going = going[np.where(better, gained, damping[going] < STUCK)]
        if not len(going):
            break
    return theta, cost
