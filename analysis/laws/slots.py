"""Sums over runs for laws whose log loss depends on theta through a few slots z_s = c_s - a_s x_s.

The chain rule through a slot only multiplies by 1 or -x_s, so every entry of a gradient or Hessian is a sum
over runs of (a derivative by slots) × (a monomial in the inputs). All of them are one matrix product with the
monomials that every replicate shares, instead of one pass over runs an entry.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from analysis.laws.law import Array


@dataclass(frozen=True)
class Coordinate:
    """One entry of theta: the coefficient of a slot, or (power = 1) its exponent."""

    slot: int
    power: int = 0


class Slots:
    """The sums for slots with inputs x_s (n,), or None where a slot has no exponent."""

    def __init__(self, inputs: Sequence[Array | None], coordinates: Sequence[Coordinate], n: int) -> None:
        layout = _layout(tuple(x is not None for x in inputs), tuple(coordinates))
        self.pairs, self.diagonal = layout.pairs, layout.diagonal
        self._entry, self._entries = layout.entry, layout.entries
        columns = [np.ones(n), *(-x for x in inputs if x is not None)]
        self._monomials = np.stack([columns[i] * columns[j] for i, j in layout.monomials])  # (K, n)

    def gradient(self, by_slot: Array) -> tuple[Array, Array]:
        """Weighted first derivatives by slot (S, R, n) → gradient (R, p), and the sums it is made of."""
        sums = self._sums(by_slot)
        gradient: Array = sums.reshape(-1, by_slot.shape[1])[self._entry].T
        return gradient, sums

    def hessian(self, by_pair: Array, diagonal: Array | None = None) -> Array:
        """Weighted second derivatives by pair of slots (P, R, n) → Hessian (R, p, p).

        `diagonal`: sums over runs, as `gradient` gives them, of what is to be added to each slot with itself.
        """
        sums = self._sums(by_pair)
        if diagonal is not None:
            sums[self.diagonal] += diagonal
        hessian: Array = sums.reshape(-1, by_pair.shape[1])[self._entries].transpose(2, 0, 1)
        return hessian

    def _sums(self, weights: Array) -> Array:
        """Sums over runs of weights (S, R, n) × each of K monomials, (S, K, R)."""
        sums: Array = self._monomials @ weights.transpose(0, 2, 1)
        return sums

    def products(self, left: Array, right: Array) -> Array:
        """left × right for each pair of slots: (S, R, n) each → (P, R, n)."""
        by_pair = np.empty((len(self.pairs), *left.shape[1:]))
        for a, place in enumerate(self.diagonal):  # there begin the pairs of a with itself and those after
            np.multiply(left[a], right[a:], out=by_pair[place : place + len(right) - a])
        return by_pair

    def outer(self, slopes: Array, weights: Array) -> Array:
        """Sum of weights (R, n) × ∇f ∇fᵀ (R, p, p), from the slopes of f by slot (S, R, n)."""
        return self.hessian(self.products(slopes * weights, slopes))


@dataclass(frozen=True)
class _Layout:
    """Which sum is which entry; the same for all data sets."""

    monomials: list[tuple[int, int]]  # factors of each, 0 for one and s for the s-th input there is
    pairs: list[tuple[int, int]]
    diagonal: list[int]  # places of (s, s) among the pairs
    entry: npt.NDArray[np.int64]  # (p,) into slots × monomials
    entries: npt.NDArray[np.int64]  # (p, p) into pairs × monomials


@cache
def _layout(has_input: tuple[bool, ...], coordinates: tuple[Coordinate, ...]) -> _Layout:
    S, J = len(has_input), sum(has_input)
    monomials = [(0, j) for j in range(J + 1)] + [(i, j) for i in range(1, J + 1) for j in range(i, J + 1)]
    pairs = [(a, b) for a in range(S) for b in range(a, S)]

    def factor(u: Coordinate) -> int:
        return sum(has_input[: u.slot + 1]) if u.power else 0

    def monomial(u: Coordinate, v: Coordinate) -> int:
        low, high = sorted((factor(u), factor(v)))
        return monomials.index((low, high))

    def pair(u: Coordinate, v: Coordinate) -> int:
        return pairs.index((min(u.slot, v.slot), max(u.slot, v.slot)))

    K = len(monomials)
    entry = [u.slot * K + factor(u) for u in coordinates]
    entries = [[pair(u, v) * K + monomial(u, v) for v in coordinates] for u in coordinates]
    diagonal = [pairs.index((s, s)) for s in range(S)]
    return _Layout(monomials, pairs, diagonal, np.array(entry), np.array(entries))
