"""Surfaces of several arms fitted together by least squares, some coefficients shared."""

from __future__ import annotations

import math
from collections.abc import Sequence
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
LARGEST = 3.0  # logarithm of an exponent: a solver may look beyond, and no law is there


@dataclass(frozen=True)
class ArmRuns:
    """Runs of several arms, as columns."""

    names: tuple[str, ...]
    family: NDArray[np.int64]  # (n,) index into names
    trunk: NDArray[np.int64]  # (n,)
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
                    "Losses of different ones are not of the same thing."
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


class JointSurface:
    """Which coefficients families share; fits them all by least squares of log residuals."""

    def __init__(self, runs: ArmRuns, shared: Sequence[str], coupled: bool) -> None:
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

    def laws(self, theta: Array) -> dict[str, Surface]:
        """The law of each family in plain coefficients."""
        k = math.exp(theta[-1]) if self.coupled else 1.0
        shift_x, shift_y = np.log(self.runs.N).mean(), np.log(self.runs.D).mean()
        found: dict[str, Surface] = {}
        for i, name in enumerate(self.runs.names):
            E, A, B, alpha, beta = (float(np.exp(theta[self.places[n][i]])) for n in self.places)
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
