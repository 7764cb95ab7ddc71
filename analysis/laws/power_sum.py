"""Sums of power terms: the power law and Chinchilla, differentiated by hand because most fits are theirs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np

from analysis.laws.form import AT_BOUND, EXPONENTS, LOG_LARGE, LOG_ZERO, Data, LawForm, Pins, Readout, Tape
from analysis.laws.law import Array, Law
from analysis.laws.projection import best_cells, project_one, project_two
from analysis.laws.slots import Coordinate, Slots

FINE = np.geomspace(0.03, 2.4, 24)  # exponents; Newton leaves the grid freely
COARSE = np.geomspace(0.05, 2.0, 14)
STARTS = 3
LETTERS = (("log_A", "alpha"), ("log_B", "beta"))  # of the first input, and of the second


class PowerSum(LawForm):
    """log L = log(e^log_E + sum_j e^(c_j - a_j x_j)); theta = (log_E if offset, c_1, …, a_1, …)."""

    def __init__(self, law: type[Law], data: Data, pins: Pins | None = None, offset: bool = True) -> None:
        super().__init__(law, data)
        pins = pins or Pins()
        self._inputs = tuple(data.inputs)
        self._x = np.stack([data.inputs[name] for name in self._inputs])  # (J, n)
        self._minus_x = -self._x[:, None]
        self._offset = offset
        coefficients, powers = zip(*LETTERS[: len(self._inputs)], strict=True)
        self._tied = ("alpha", "beta") in pins.ties
        self._fixed = [pins.values.get(name) for name in powers]
        self.names = ("log_E",) * offset + coefficients + powers
        J = len(self._inputs)
        slots = [None] * offset + list(self._x)
        terms = range(offset, offset + J)
        coordinates = [Coordinate(s) for s in range(offset + J)] + [Coordinate(s, power=1) for s in terms]
        self._slots = Slots(slots, coordinates, self._x.shape[1])
        self.lower = np.array([LOG_ZERO] * (offset + J) + [EXPONENTS[0]] * J)
        self.upper = np.array([LOG_LARGE] * (offset + J) + [EXPONENTS[1]] * J)

    @cached_property
    def readouts(self) -> Mapping[str, Readout]:
        pairs = LETTERS[: len(self._inputs)]
        centres = [self.data.centres[name] for name in self._inputs]
        found = {"E": self.amount("log_E")} if self._offset else {}
        found |= {c[4:]: self.amount(c, **{a: x}) for (c, a), x in zip(pairs, centres, strict=True)}
        return found | {a: Readout.of(a) for _, a in pairs}

    def _terms(self, theta: Array) -> tuple[Array, Array]:
        """The size of each term (offset + J, R, n), that of the floor left blank, and their sum (R, n)."""
        first, J = int(self._offset), len(self._inputs)
        terms = np.empty((first + J, len(theta), self._x.shape[1]))
        powers = terms[first:]
        coefficients, exponents = theta.T[first : first + J, :, None], theta.T[first + J :, :, None]
        np.multiply(exponents, self._minus_x, out=powers)
        powers += coefficients
        np.exp(powers, out=powers)
        total: Array = np.add.reduce(powers, axis=0)
        if first:
            total += np.exp(theta[:, :1])
        return terms, total

    def value(self, theta: Array) -> Array:
        _, total = self._terms(theta)
        return np.log(total, out=total)

    def tape(self, theta: Array) -> Tape:
        shares, total = self._terms(theta)
        value = np.log(total)
        np.divide(1.0, total, out=total)
        shares[int(self._offset) :] *= total
        if self._offset:
            np.multiply(total, np.exp(theta[:, :1]), out=shares[0])
        slots = self._slots

        def sums(first: Array, second: Array) -> tuple[Array, Array]:
            # ∇² log sum e^z = diag(shares) - shares sharesᵀ
            gradient, diagonal = slots.gradient(shares * first)
            return gradient, slots.hessian(slots.products(shares * (second - first), shares), diagonal)

        return Tape(value, sums, lambda weights: slots.outer(shares, weights))

    def starts(self, weights: Array, log_loss: Array, thorough: bool) -> Array:
        loss = np.exp(log_loss)
        whole = FINE if thorough else COARSE
        grids = [whole if value is None else np.array([value]) for value in self._fixed]
        if len(self._inputs) == 1:
            (grid,) = grids
            error, *coefficients = project_one(self._x[0], grid, weights, loss, self._offset)
            axes: list[Array] = [grid]
        else:
            alphas, betas = grids
            error, *coefficients = project_two(
                self._x[0], self._x[1], alphas, betas, weights, loss, self._offset
            )
            if self._tied:
                error = np.where(alphas[:, None] == betas[None, :], error, np.inf)
            axes = [np.repeat(alphas, len(betas)), np.tile(betas, len(alphas))]
        cells = best_cells(error, STARTS if thorough else 1)
        rows = np.arange(len(weights))
        logs = [
            np.log(np.broadcast_to(c, error.shape).reshape(len(c), -1)[rows, cells])
            for c in coefficients[0 if self._offset else 1 :]
        ]
        return np.stack(logs + [axis[cells] for axis in axes], axis=2)

    def canonical(self, theta: Array) -> Array:
        """A term whose exponent is 0 is part of the floor."""
        J, first = len(self._inputs), int(self._offset)
        constant = theta[:, first + J :] <= AT_BOUND
        if not first or not constant.any():
            return theta
        merged = theta.copy()
        for j in range(J):
            rows = constant[:, j]
            merged[rows, 0] = np.logaddexp(merged[rows, 0], merged[rows, 1 + j])
            merged[rows, 1 + j], merged[rows, 1 + J + j] = LOG_ZERO, 0.0
        return np.minimum(merged, self.upper)
