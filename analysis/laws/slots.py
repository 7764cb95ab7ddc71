"""Sums over runs for laws whose log loss depends on theta through a few slots z_s = c_s - a_s x_s.

The chain rule through a slot only multiplies by 1 or -x_s, so every entry of a gradient or Hessian is a sum
over runs of (a derivative by slots) × (a monomial in the inputs). All of them are one matrix product with the
monomials that every replicate shares, instead of one pass over runs an entry.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.laws.laws import Array


@dataclass(frozen=True)
class Coordinate:
    """One entry of theta: the coefficient of a slot, or (power = 1) its exponent."""

    slot: int
    power: int = 0


class Slots:
    """The sums for slots with inputs x_s (n,), or None where a slot has no exponent."""

    def __init__(self, inputs: Sequence[Array | None], coordinates: Sequence[Coordinate], n: int) -> None:
        S = len(inputs)
        one = np.ones(n)
        columns = [one]
        single = {s: len(columns) + i for i, s in enumerate(s for s in range(S) if inputs[s] is not None)}
        columns += [x for x in inputs if x is not None]
        product: dict[tuple[int, int], int] = {}
        for a in single:
            for b in single:
                if a <= b:
                    product[a, b] = product[b, a] = len(columns)
                    columns.append(columns[single[a]] * columns[single[b]])
        self._monomials = np.stack(columns)  # (K, n)
        self.pairs = [(a, b) for a in range(S) for b in range(a, S)]
        place = {pair: i for i, pair in enumerate(self.pairs)}
        self.diagonal = [place[s, s] for s in range(S)]

        def column(u: Coordinate, v: Coordinate) -> int:
            if u.power and v.power:
                return product[u.slot, v.slot]
            if u.power or v.power:
                return single[u.slot if u.power else v.slot]
            return 0

        K = len(columns)
        self._sign = np.array([-1.0 if u.power else 1.0 for u in coordinates])
        self._entry = np.array([u.slot * K + column(u, Coordinate(u.slot)) for u in coordinates])
        pairs = [
            place[min(u.slot, v.slot), max(u.slot, v.slot)] * K + column(u, v)
            for u in coordinates
            for v in coordinates
        ]
        self._entries = np.array(pairs)
        self._signs = np.outer(self._sign, self._sign).reshape(-1, 1)

    def gradient(self, by_slot: Array) -> Array:
        """Weighted first derivatives by slot (S, R, n) → gradient (R, p)."""
        gradient: Array = self._sums(by_slot)[self._entry].T * self._sign
        return gradient

    def hessian(self, by_pair: Array) -> Array:
        """Weighted second derivatives by pair of slots (P, R, n) → Hessian (R, p, p)."""
        p = len(self._sign)
        entries = self._sums(by_pair)[self._entries] * self._signs
        hessian: Array = entries.reshape(p, p, -1).transpose(2, 0, 1)
        return hessian

    def _sums(self, weights: Array) -> Array:
        """Sums over runs of weights (S, R, n) × each of K monomials, (S K, R)."""
        sums: Array = self._monomials @ weights.transpose(0, 2, 1)
        return sums.reshape(-1, weights.shape[1])

    def products(self, left: Array, right: Array) -> Array:
        """left × right for each pair of slots: (S, R, n) each → (P, R, n)."""
        by_pair = np.empty((len(self.pairs), *left.shape[1:]))
        for a, place in enumerate(
            self.diagonal
        ):  # from there on, the pairs of a with itself and those after it
            np.multiply(left[a], right[a:], out=by_pair[place : place + len(right) - a])
        return by_pair

    def outer(self, slopes: Array, weights: Array) -> Array:
        """Sum of weights (R, n) × ∇f ∇fᵀ (R, p, p), from the slopes of f by slot (S, R, n)."""
        return self.hessian(self.products(slopes * weights, slopes))
