"""The coupled surface for the solver: Chinchilla with a free k-norm between its two terms."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from analysis.laws.forms import EXPONENTS, LOG_LARGE, LOG_ZERO, Data, Form, Tape
from analysis.laws.laws import Array, Coupled
from analysis.laws.powers import PowerSum, scale
from analysis.laws.slots import Coordinate, Slots

LOG_K = (float(np.log(0.25)), float(np.log(32.0)))
START_LOG_K = (0.0, 0.8)


class CoupledForm(Form):
    """theta = (log_E, log_A, log_B, alpha, beta, log_k)."""

    names = ("log_E", "log_A", "log_B", "alpha", "beta", "log_k")
    lower = np.array([LOG_ZERO] * 3 + [EXPONENTS[0]] * 2 + [LOG_K[0]])
    upper = np.array([LOG_LARGE] * 3 + [EXPONENTS[1]] * 2 + [LOG_K[1]])

    def __init__(self, data: Data, exponents: dict[str, float] | None = None, tied: bool = False) -> None:
        self._data = data
        self._n, self._d = data.inputs["N"], data.inputs["D"]
        coordinates = [Coordinate(s) for s in range(3)] + [Coordinate(1, 1), Coordinate(2, 1), Coordinate(3)]
        self._slots = Slots([None, self._n, self._d, None], coordinates, len(self._n))
        self._additive = PowerSum(data, exponents=exponents, tied=tied)

    def value(self, theta: Array) -> Array:
        floor, by_size, by_data, k = self._terms(theta)
        total: Array = np.logaddexp(floor, np.logaddexp(k * by_size, k * by_data) / k)
        return total

    def _terms(self, theta: Array) -> tuple[Array, Array, Array, Array]:
        """Logs of the floor, of both terms, and k; each broadcasts to (R, n)."""
        floor, a, b, alpha, beta, log_k = theta.T[:, :, None]
        return floor, a - alpha * self._n, b - beta * self._d, np.exp(log_k)

    def tape(self, theta: Array) -> Tape:
        # With u the log of the joined terms, q the share of the size term in it, t the gap between the terms:
        # ∇u = (q, 1 - q, v) by (size, data, log k), ∇²u = k q (1 - q) (1, -1, t)(1, -1, t)ᵀ - diag(0, 0, v).
        floor, by_size, by_data, k = self._terms(theta)
        gap = by_size - by_data
        size_share = expit(k * gap)
        data_share = 1.0 - size_share
        u = np.logaddexp(k * by_size, k * by_data) / k
        v = size_share * by_size + data_share * by_data - u
        value = np.logaddexp(floor, u)
        share = np.exp(u - value)
        slopes = np.stack([1.0 - share, share * size_share, share * data_share, share * v])
        bend = k * size_share * data_share

        def bends(first: Array, second: Array, outer: Array) -> Array:
            by_pair = outer * second
            joined = first * share
            spread = joined * (1.0 - share)  # the floor against the joined terms
            turn = joined * bend  # one joined term against the other
            turns = (0.0, 1.0, -1.0, gap)
            ends = (-1.0, size_share, data_share, v)
            for place, (i, j) in enumerate(self._slots.pairs):
                by_pair[place] += spread * (ends[i] * ends[j])
                if i:
                    by_pair[place] += turn * (turns[i] * turns[j])
            by_pair[-1] -= joined * v
            return by_pair

        return self._slots.tape(value, slopes, bends)

    def starts(self, weights: Array, log_loss: Array, thorough: bool) -> Array:
        additive = self._additive.starts(weights, log_loss, thorough)[0]
        starts = np.repeat(additive[None], len(START_LOG_K), axis=0)
        log_k = np.broadcast_to(np.array(START_LOG_K)[:, None, None], (*starts.shape[:2], 1))
        return np.concatenate([starts, log_k], axis=2)

    def law(self, theta: Array) -> Coupled:
        data, (log_E, log_A, log_B, alpha, beta, log_k) = self._data, (float(v) for v in theta)
        return Coupled(
            E=scale(log_E, data.centre),
            A=scale(log_A, data.centre + alpha * data.centres["N"]),
            B=scale(log_B, data.centre + beta * data.centres["D"]),
            alpha=alpha,
            beta=beta,
            k=float(np.exp(log_k)),
        )
