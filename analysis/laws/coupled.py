"""The coupled surface for the solver: Chinchilla with a free k-norm between its two terms."""

from __future__ import annotations

import numpy as np

from analysis.laws import jet
from analysis.laws.forms import EXPONENTS, LOG_LARGE, LOG_ZERO, Data, Form, Tape
from analysis.laws.jet import Jet
from analysis.laws.laws import Array, Coupled
from analysis.laws.powers import PowerSum, scale

LOG_K = (float(np.log(0.25)), float(np.log(32.0)))
START_LOG_K = (0.0, 0.8)


def tape_of(prediction: Jet, parameters: int, shape: tuple[int, int]) -> Tape:
    """A jet of log loss as the solver's tape."""
    gradient = np.zeros((shape[0], parameters, shape[1]))
    for i, slope in prediction.gradient.items():
        gradient[:, i] = slope

    def curvature(weights: Array) -> Array:
        hessian = np.zeros((shape[0], parameters, parameters))
        for (i, j), bend in prediction.hessian.items():
            hessian[:, i, j] = hessian[:, j, i] = (weights * bend).sum(axis=1)
        return hessian

    return Tape(np.broadcast_to(prediction.value, shape), gradient, curvature)


class CoupledForm(Form):
    """theta = (log_E, log_A, log_B, alpha, beta, log_k)."""

    names = ("log_E", "log_A", "log_B", "alpha", "beta", "log_k")
    lower = np.array([LOG_ZERO] * 3 + [EXPONENTS[0]] * 2 + [LOG_K[0]])
    upper = np.array([LOG_LARGE] * 3 + [EXPONENTS[1]] * 2 + [LOG_K[1]])

    def __init__(self, data: Data, exponents: dict[str, float] | None = None, tied: bool = False) -> None:
        self._data = data
        self._n, self._d = data.inputs["N"], data.inputs["D"]
        self._additive = PowerSum(data, exponents=exponents, tied=tied, starts=1)

    def _jet(self, theta: Array) -> Jet:
        floor, a, b, alpha, beta, log_k = Jet.parameters(theta)
        k = jet.exp(log_k)
        joined = jet.logaddexp(k * (a - alpha * self._n), k * (b - beta * self._d)) * jet.exp(-log_k)
        return jet.logaddexp(floor, joined)

    def tape(self, theta: Array) -> Tape:
        return tape_of(self._jet(theta), 6, (len(theta), len(self._n)))

    def value(self, theta: Array) -> Array:
        floor, a, b, alpha, beta, log_k = theta.T[:, :, None]
        k = np.exp(log_k)
        joined = np.logaddexp(k * (a - alpha * self._n), k * (b - beta * self._d)) / k
        total: Array = np.logaddexp(floor, joined)
        return total

    def starts(self, weights: Array, log_loss: Array) -> Array:
        additive = self._additive.starts(weights, log_loss)[0]
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
