"""Sums of power terms: the power law and Chinchilla, differentiated by hand because most fits are theirs."""

from __future__ import annotations

import numpy as np

from analysis.laws.forms import EXPONENTS, LOG_LARGE, LOG_ZERO, Data, Form, Tape
from analysis.laws.grid import best_cells, project_one, project_two
from analysis.laws.laws import Array, Chinchilla, PowerLaw

GRID = np.geomspace(0.03, 2.4, 24)  # exponents; Newton leaves the grid freely
LETTERS = {"N": ("log_A", "alpha"), "D": ("log_B", "beta"), "x": ("log_A", "alpha")}


class PowerSum(Form):
    """log L = log(e^log_E + sum_j e^(c_j - a_j x_j)); theta = (log_E if offset, c_1, …, a_1, …)."""

    def __init__(
        self,
        data: Data,
        offset: bool = True,
        tied: bool = False,
        exponents: dict[str, float] | None = None,
        starts: int = 3,
    ) -> None:
        self._data = data
        self._inputs = tuple(data.inputs)
        self._x = np.stack([data.inputs[name] for name in self._inputs])  # (J, n)
        self._offset = offset
        self._tied = tied
        self._starts = starts
        coefficients, powers = zip(*(LETTERS[name] for name in self._inputs), strict=True)
        self._grids = [np.array([v]) if (v := (exponents or {}).get(p)) is not None else GRID for p in powers]
        self.names = ("log_E",) * offset + coefficients + powers
        J = len(self._inputs)
        self.lower = np.array([LOG_ZERO] * (offset + J) + [EXPONENTS[0]] * J)
        self.upper = np.array([LOG_LARGE] * (offset + J) + [EXPONENTS[1]] * J)

    def _terms(self, theta: Array) -> Array:
        """The size of each term, (J + offset, R, n)."""
        J, first = len(self._inputs), int(self._offset)
        coefficient = theta[:, first : first + J].T[:, :, None]
        exponent = theta[:, first + J :].T[:, :, None]
        terms = np.exp(coefficient - exponent * self._x[:, None, :])
        if not self._offset:
            return terms
        floor = np.broadcast_to(np.exp(theta[:, 0])[None, :, None], terms[:1].shape)
        return np.concatenate([floor, terms])

    def value(self, theta: Array) -> Array:
        total: Array = np.log(self._terms(theta).sum(axis=0))
        return total

    def tape(self, theta: Array) -> Tape:
        terms = self._terms(theta)
        total = terms.sum(axis=0)
        shares = terms / total
        x, J, first = self._x, len(self._inputs), int(self._offset)
        gradient = np.empty((len(theta), theta.shape[1], x.shape[1]))
        gradient[:, : first + J] = shares.transpose(1, 0, 2)
        np.multiply(gradient[:, first : first + J], -x, out=gradient[:, first + J :])
        moments = np.stack([np.ones_like(x), -x, x * x], axis=1)  # (J, 3, n)

        def curvature(weights: Array) -> Array:
            # ∇² log sum e^z = sum_j share_j ∇z_j ∇z_jᵀ - ∇f ∇fᵀ, and each ∇z_j is (1, -x_j) on its own pair.
            hessian = -((weights[:, None] * gradient) @ gradient.transpose(0, 2, 1))
            if first:
                hessian[:, 0, 0] += np.einsum("rn,rn->r", weights, shares[0])
            for j in range(J):
                zeroth, linear, square = ((weights * shares[first + j]) @ moments[j].T).T
                c, a = first + j, first + J + j
                hessian[:, c, c] += zeroth
                hessian[:, c, a] += linear
                hessian[:, a, c] += linear
                hessian[:, a, a] += square
            return hessian

        return Tape(np.log(total), gradient, curvature)

    def starts(self, weights: Array, log_loss: Array) -> Array:
        loss = np.exp(log_loss)
        if len(self._inputs) == 1:
            (grid,) = self._grids
            error, *coefficients = project_one(self._x[0], grid, weights, loss, self._offset)
            axes: list[Array] = [grid]
        else:
            alphas, betas = self._grids
            error, *coefficients = project_two(
                self._x[0], self._x[1], alphas, betas, weights, loss, self._offset
            )
            if self._tied:
                error = np.where(alphas[:, None] == betas[None, :], error, np.inf)
            axes = [np.repeat(alphas, len(betas)), np.tile(betas, len(alphas))]
        cells = best_cells(error, self._starts)
        rows = np.arange(len(weights))
        logs = [
            np.log(np.broadcast_to(c, error.shape).reshape(len(c), -1)[rows, cells])
            for c in coefficients[0 if self._offset else 1 :]
        ]
        return np.stack(logs + [axis[cells] for axis in axes], axis=2)

    def law(self, theta: Array) -> PowerLaw | Chinchilla:
        data = self._data
        J, first = len(self._inputs), int(self._offset)
        E = scale(theta[0], data.centre) if first else 0.0
        exponents = [float(v) for v in theta[first + J :]]
        coefficients = [
            scale(theta[first + j], data.centre + exponents[j] * data.centres[name])
            for j, name in enumerate(self._inputs)
        ]
        if J == 1:
            return PowerLaw(E, coefficients[0], exponents[0])
        return Chinchilla(E, coefficients[0], coefficients[1], exponents[0], exponents[1])


def scale(log_coefficient: float, shift: float) -> float:
    """The coefficient in the data's own units; exactly 0 for a term at its lower bound."""
    return 0.0 if log_coefficient <= LOG_ZERO else float(np.exp(log_coefficient + shift))
