"""Values with exact first and second derivatives by a law's parameters, for many replicates at once.

A law is written once, as ordinary arithmetic on jets, and the solver gets the gradient and the Hessian that
Newton's method needs, with no hand-made derivative to be wrong. Derivatives that are zero are absent. Jets
also pass through NumPy's exp, log, logaddexp and operators, so that one formula serves numbers and jets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

from analysis.laws.form import Tape
from analysis.laws.law import Array

Pair = tuple[int, int]
_Key = TypeVar("_Key")


class Jet:
    """A value (R, n) with its derivatives; every array broadcasts to (R, n).

    `gradient[i]` is the derivative by parameter i; `hessian[i, j]`, i ≤ j, the second derivative.
    """

    __slots__ = ("gradient", "hessian", "value")

    def __init__(
        self,
        value: Array,
        gradient: Mapping[int, Array] | None = None,
        hessian: Mapping[Pair, Array] | None = None,
    ) -> None:
        self.value = value
        self.gradient = dict(gradient or {})
        self.hessian = dict(hessian or {})

    @classmethod
    def parameters(cls, theta: Array) -> list[Jet]:
        """One jet a column of theta (R, p), each (R, 1)."""
        one = np.ones((1, 1))
        return [cls(theta[:, [i]], {i: one}) for i in range(theta.shape[1])]

    def __add__(self, other: Jet | Array | float) -> Jet:
        if not isinstance(other, Jet):
            return Jet(self.value + other, self.gradient, self.hessian)
        gradient, hessian = dict(self.gradient), dict(self.hessian)
        for i, slope in other.gradient.items():
            gradient[i] = gradient[i] + slope if i in gradient else slope
        for ij, bend in other.hessian.items():
            hessian[ij] = hessian[ij] + bend if ij in hessian else bend
        return Jet(self.value + other.value, gradient, hessian)

    def __neg__(self) -> Jet:
        return self * -1.0

    def __sub__(self, other: Jet | Array | float) -> Jet:
        return self + (-other)

    def __mul__(self, other: Jet | Array | float) -> Jet:
        if not isinstance(other, Jet):
            factor = np.asarray(other, dtype=float)
            return Jet(
                self.value * factor,
                {i: slope * factor for i, slope in self.gradient.items()},
                {ij: bend * factor for ij, bend in self.hessian.items()},
            )
        u, v = self, other
        gradient: dict[int, Array] = {}
        hessian: dict[Pair, Array] = {}
        for a, b in ((u, v), (v, u)):
            for i, slope in a.gradient.items():
                _add(gradient, i, slope * b.value)
            for ij, bend in a.hessian.items():
                _add(hessian, ij, bend * b.value)
        for i, left in u.gradient.items():
            for j, right in v.gradient.items():
                # For i = j the product rule counts this pair twice: d²(uv) holds 2 u' v'.
                _add(hessian, (min(i, j), max(i, j)), left * right * (2.0 if i == j else 1.0))
        return Jet(u.value * v.value, gradient, hessian)

    def __truediv__(self, other: Jet | Array | float) -> Jet:
        return self * (reciprocal(other) if isinstance(other, Jet) else 1.0 / np.asarray(other, dtype=float))

    def __pow__(self, other: Jet | Array | float) -> Jet:
        return exp(log(self) * other)

    def __radd__(self, other: Array | float) -> Jet:
        return self + other

    def __rsub__(self, other: Array | float) -> Jet:
        return -self + other

    def __rmul__(self, other: Array | float) -> Jet:
        return self * other

    def __rtruediv__(self, other: Array | float) -> Jet:
        return reciprocal(self) * other

    def __rpow__(self, other: Array | float) -> Jet:
        return exp(self * np.log(np.asarray(other, dtype=float)))

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **_: Any) -> Any:
        if method != "__call__" or ufunc not in _UFUNCS:
            return NotImplemented
        first, *rest = inputs
        return _UFUNCS[ufunc](first if isinstance(first, Jet) else Jet(np.asarray(first, dtype=float)), *rest)

    def apply(self, value: Array, slope: Array, bend: Array) -> Jet:
        """f(self), given f, f' and f'' at self.value."""
        hessian = {ij: slope * second for ij, second in self.hessian.items()}
        keys = sorted(self.gradient)
        for a, i in enumerate(keys):
            for j in keys[a:]:
                _add(hessian, (i, j), bend * (self.gradient[i] * self.gradient[j]))
        return Jet(value, {i: slope * first for i, first in self.gradient.items()}, hessian)


def reciprocal(x: Jet) -> Jet:
    """1 / x."""
    value = 1.0 / x.value
    return x.apply(value, -value * value, 2.0 * value**3)


def exp(x: Jet) -> Jet:
    """e^x."""
    value = np.exp(x.value)
    return x.apply(value, value, value)


def log(x: Jet) -> Jet:
    """Natural logarithm of a positive jet."""
    inverse = 1.0 / x.value
    return x.apply(np.log(x.value), inverse, -inverse * inverse)


def softplus(x: Jet) -> Jet:
    """log(1 + e^x), without overflow."""
    value = np.logaddexp(0.0, x.value)
    slope = np.exp(x.value - value)
    return x.apply(value, slope, slope * (1.0 - slope))


def logaddexp(x: Jet, y: Jet | Array | float) -> Jet:
    """log(e^x + e^y), without overflow."""
    return softplus(x - y) + y


def where(mask: Array, x: Jet, y: Jet) -> Jet:
    """x where mask (n,) or (R, n) is 1, else y; the derivatives are those of the chosen side."""
    return x * mask + y * (1.0 - mask)


def tape(prediction: Jet, parameters: int, shape: tuple[int, int]) -> Tape:
    """A jet of log loss (R, n) as the solver's tape."""
    value = np.broadcast_to(prediction.value, shape)
    gradient = np.zeros((shape[0], parameters, shape[1]))
    for i, slope in prediction.gradient.items():
        gradient[:, i] = slope

    def outer(weights: Array) -> Array:
        product: Array = (gradient * weights[:, None]) @ gradient.transpose(0, 2, 1)
        return product

    def sums(first: Array, second: Array) -> tuple[Array, Array]:
        hessian = outer(second)
        for (i, j), bend in prediction.hessian.items():
            entry = (first * bend).sum(axis=1)
            hessian[:, i, j] += entry
            if i != j:
                hessian[:, j, i] += entry
        return np.einsum("rpn,rn->rp", gradient, first), hessian

    return Tape(value, sums, outer)


def _add(into: dict[_Key, Array], key: _Key, value: Array) -> None:
    into[key] = into[key] + value if key in into else value


_UFUNCS: dict[np.ufunc, Any] = {
    np.exp: exp,
    np.log: log,
    np.logaddexp: logaddexp,
    np.negative: Jet.__neg__,
    np.add: Jet.__add__,
    np.subtract: Jet.__sub__,
    np.multiply: Jet.__mul__,
    np.divide: Jet.__truediv__,
    np.power: Jet.__pow__,
}
