"""The coupled surface: Chinchilla with a free k-norm between its two terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from analysis.laws.chinchilla import Chinchilla
from analysis.laws.form import EXPONENTS, LOG_LARGE, LOG_ZERO, Data, LawForm, Pins, Readout, Tape
from analysis.laws.law import Array
from analysis.laws.power_sum import PowerSum
from analysis.laws.slots import Coordinate, Slots
from analysis.laws.surface import Surface

LOG_K = (float(np.log(0.25)), float(np.log(32.0)))
START_LOG_K = (0.0, 0.8)


@dataclass(frozen=True)
class Coupled(Surface):
    """L = E + [(A/N^alpha)^k + (B/D^beta)^k]^(1/k): k = 1 is Chinchilla, k → ∞ the larger term alone.

    Source: Busbridge et al. 2025 (arXiv:2502.08606) eq. 1, which writes (A'/N^alpha' + B'/D^beta')^gamma with
    gamma = 1/k, alpha' = k alpha, A' = A^k.
    """

    k: float

    name: ClassVar[str] = "coupled"
    formula: ClassVar[str] = "L = E + [(A/N^alpha)^k + (B/D^beta)^k]^(1/k)"

    @property
    def sharpness(self) -> float:
        return self.k

    @classmethod
    def form(cls, data: Data, pins: Pins) -> LawForm:
        return CoupledForm(cls, data, pins)


class CoupledForm(LawForm):
    """theta = (log_E, log_A, log_B, alpha, beta, log_k)."""

    names = ("log_E", "log_A", "log_B", "alpha", "beta", "log_k")
    lower = np.array([LOG_ZERO] * 3 + [EXPONENTS[0]] * 2 + [LOG_K[0]])
    upper = np.array([LOG_LARGE] * 3 + [EXPONENTS[1]] * 2 + [LOG_K[1]])

    def __init__(self, law: type[Coupled], data: Data, pins: Pins) -> None:
        super().__init__(law, data)
        self._n, self._d = data.inputs["N"], data.inputs["D"]
        coordinates = [Coordinate(s) for s in range(3)] + [Coordinate(1, 1), Coordinate(2, 1), Coordinate(3)]
        self._slots = Slots([None, self._n, self._d, None], coordinates, len(self._n))
        self._additive = PowerSum(Chinchilla, data, pins)

    def value(self, theta: Array) -> Array:
        floor, by_size, by_data, k = self._terms(theta)
        joined, _, _ = _join(by_size, by_data, k)
        np.exp(joined, out=joined)
        joined += np.exp(floor)
        return np.log(joined, out=joined)

    def _terms(self, theta: Array) -> tuple[Array, Array, Array, Array]:
        """Logs of the floor, of both terms, and k; each broadcasts to (R, n)."""
        floor, a, b, alpha, beta, log_k = theta.T[:, :, None]
        return floor, a - alpha * self._n, b - beta * self._d, np.exp(log_k)

    def tape(self, theta: Array) -> Tape:
        # With u the log of the joined terms, q and r the shares of size and data in them, t the gap between
        # the two: ∇u = (q, r, v) by (size, data, log k), ∇²u = k q r (1, -1, t)(1, -1, t)ᵀ - diag(0, 0, v).
        floor, by_size, by_data, k = self._terms(theta)
        u, q, r = _join(by_size, by_data, k)
        gap = by_size - by_data
        v = q * gap
        v += by_data
        v -= u
        joined = np.exp(u)
        total = joined + np.exp(floor)
        value = np.log(total)
        share = np.divide(joined, total, out=joined)  # of the joined terms in the loss
        rest = 1.0 - share  # of the floor
        slopes = np.stack([rest, share * q, share * r, share * v])
        slots = self._slots

        def sums(first: Array, second: Array) -> tuple[Array, Array]:
            # ∇f = (rest, share ∇u) and ∇²f = share rest (-1, ∇u)(-1, ∇u)ᵀ + share ∇²u.
            spread = first * rest
            across = slopes[1:] * (second * rest - spread)
            within = slopes[1:] * (second * share + spread)
            turn = first * slopes[1]
            turn *= r
            turn *= k
            tilt = turn * gap
            by_pair = np.empty((len(slots.pairs), *value.shape))
            by_pair[0] = spread * share + second * rest * rest
            by_pair[1:4] = across
            for place, (i, j, bend) in enumerate(
                ((0, q, turn), (0, r, -turn), (0, v, tilt), (1, r, turn), (1, v, -tilt), (2, v, tilt * gap)),
                4,
            ):
                np.multiply(within[i], j, out=by_pair[place])
                by_pair[place] += bend
            by_pair[-1] -= first * slopes[3]
            return slots.gradient(slopes * first)[0], slots.hessian(by_pair)

        return Tape(value, sums, lambda weights: slots.outer(slopes, weights))

    def starts(self, weights: Array, log_loss: Array, thorough: bool) -> Array:
        additive = self._additive.starts(weights, log_loss, thorough)[0]
        starts = np.repeat(additive[None], len(START_LOG_K), axis=0)
        log_k = np.broadcast_to(np.array(START_LOG_K)[:, None, None], (*starts.shape[:2], 1))
        return np.concatenate([starts, log_k], axis=2)

    @cached_property
    def readouts(self) -> Mapping[str, Readout]:
        return {**self._additive.readouts, "k": Readout.of("log_k")}


def _join(a: Array, b: Array, k: Array) -> tuple[Array, Array, Array]:
    """log (e^(k a) + e^(k b)) / k, and the shares of both in the sum; arrays (R, n), k (R, 1)."""
    gap = a - b
    less = np.abs(gap)
    less *= -k
    np.exp(less, out=less)  # the smaller over the larger
    total = 1.0 + less
    larger = 1.0 / total
    less *= larger
    joined = np.log(total, out=total)
    joined /= k
    joined += np.maximum(a, b)
    ahead = gap > 0
    return joined, np.where(ahead, larger, less), np.where(ahead, less, larger)
