"""Steps that follow the valleys of scaling laws.

Where runs cannot tell the floor E from a term B e^(-beta x) of small exponent, they fix little more than the
level E + B and the slope B beta. In the coordinates log E, log B and beta that valley is curved, and a method
that never goes uphill creeps along it: a fit of 30 runs took 7,500 Newton steps. It is straight where levels
and slopes are straight. So a step s means: an amount grows by the factor 1 + s, and an exponent moves so that
the slope of its term is linear in s. The same fit then takes 21 steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from analysis.laws.form import Form
from analysis.laws.law import Array

Indices = npt.NDArray[np.int64]
LONGEST = 3.0  # step of an exponent, growth of an amount, or an amount in units of the median loss
STEEPEST = 0.9  # of a term that a step may take away; all of the floor
FAINT = -14.0  # log of an amount that no loss shows: it may vanish without the rest of the step being cut

NOTHING = 0.01  # so close to its lower bound, the logarithm of an amount is at it


class Chart:
    """Which coordinates are logarithms of amounts, and which are exponents of a term with such an amount."""

    def __init__(self, form: Form) -> None:
        self._places = _places(tuple(form.names), form.amounts, tuple(form.owners.items()), form.floor)
        self._upper = form.upper
        self._lower = form.lower
        self._zero = form.lower.copy()
        self._zero[self._places.levels] += NOTHING

    def bend(self, hessian: Array, slope: Array) -> Array:
        """Hessians (R, p, p) by coordinates → by steps, in place; gradients (R, p) are the same by both."""
        at = self._places
        hessian[:, at.rows, at.columns] -= slope[:, at.bent]
        return hessian

    def move(self, here: Array, step: Array) -> tuple[Array, Array]:
        """Where steps (R, p) lead from coordinates (R, p), and which part (R,) of each was taken."""
        at = self._places
        logs = here[:, at.levels]
        size = np.abs(step)
        size[:, at.levels] *= np.exp(np.minimum(logs, 0.0))
        fall = step[:, at.levels] * at.most * (logs > FAINT)
        excess = np.maximum(size.max(axis=1) / LONGEST, fall.max(axis=1, initial=0.0))
        part: Array = 1 / np.maximum(excess, 1.0)
        moved = part[:, None] * step
        there = here + moved
        growth = 1 + np.maximum(moved[:, at.levels], 1 / at.most)
        there[:, at.levels] = logs + np.log(growth)
        there[:, at.exponents] = here[:, at.exponents] + moved[:, at.exponents] / growth[:, at.owners]
        np.minimum(there, self._upper, out=there)
        return np.where(there < self._zero, self._lower, there), part


@dataclass(frozen=True)
class _Places:
    """Indices into the coordinates."""

    levels: Indices
    most: Array  # of each level: 1 over the most that a step may change it by downwards, which is negative
    exponents: Indices
    owners: Indices  # of each exponent, the place of its term among the levels
    rows: Indices  # entries of the Hessian that change, and by which slope
    columns: Indices
    bent: Indices


@cache
def _places(
    names: tuple[str, ...], amounts: tuple[str, ...], owned: tuple[tuple[str, str], ...], floor: str
) -> _Places:
    place = {name: i for i, name in enumerate(names)}
    levels = [name for name in amounts if name in place]
    owners = {place[e]: place[o] for e, o in owned if e in place and o in levels}
    at = [place[name] for name in levels]
    pairs = [(i, i, i) for i in at]
    pairs += [(i, j, e) for e, o in owners.items() for i, j in ((e, o), (o, e))]
    rows, columns, bent = np.array(pairs, dtype=int).reshape(-1, 3).T
    return _Places(
        levels=np.array(at, dtype=int),
        most=np.array([-1 / (1 - 1e-9) if name == floor else -1 / STEEPEST for name in levels]),
        exponents=np.array(list(owners), dtype=int),
        owners=np.array([at.index(o) for o in owners.values()], dtype=int),
        rows=rows,
        columns=columns,
        bent=bent,
    )
