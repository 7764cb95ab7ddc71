"""Steps that follow the valleys of scaling laws.

Where runs cannot tell the floor E from a term B e^(-beta x) of small exponent, they fix little more than the
level E + B and the slope B beta. In the coordinates log E, log B and beta that valley is curved, and a method
that never goes uphill creeps along it: a fit of 30 runs took 7,500 Newton steps. It is straight where levels
and slopes are straight. So a step s means: an amount grows by the factor 1 + s, and an exponent moves so that
the slope of its term is linear in s. The same fit then takes 21 steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.laws.forms import Form
from analysis.laws.laws import Array

LEVELS = ("log_E", "log_A", "log_B")
OWNERS = {"alpha": "log_A", "beta": "log_B"}
LONGEST = 3.0  # step of an exponent, growth of an amount, or an amount in units of the median loss
STEEPEST = 0.9  # of a term that a step may take away; all of the floor
FAINT = -14.0  # log of an amount that no loss shows: it may vanish without the rest of the step being cut

NOTHING = 0.01  # so close to its lower bound, the logarithm of an amount is at it


@dataclass(frozen=True)
class Chart:
    """Which coordinates are logarithms of amounts, and which are exponents of a term with such an amount."""

    levels: npt.NDArray[np.int64]
    most: Array  # of each level, how much of it a step may take away
    exponents: npt.NDArray[np.int64]
    owners: npt.NDArray[np.int64]  # the level of each exponent's term
    lower: Array
    upper: Array
    zero: Array  # below, a coordinate goes to its lower bound

    @classmethod
    def of(cls, form: Form) -> Chart:
        """By the names of a form's coordinates."""
        place = {name: i for i, name in enumerate(form.names)}
        levels = [name for name in LEVELS if name in place]
        exponents = [name for name in OWNERS if name in place and OWNERS[name] in place]
        return cls(
            np.array([place[name] for name in levels], dtype=int),
            np.array([1 - 1e-9 if name == "log_E" else STEEPEST for name in levels]),
            np.array([place[name] for name in exponents], dtype=int),
            np.array([place[OWNERS[name]] for name in exponents], dtype=int),
            form.lower,
            form.upper,
            form.lower + NOTHING * np.isin(form.names, levels),
        )

    def bend(self, hessian: Array, slope: Array) -> Array:
        """Hessians (R, p, p) by coordinates → by steps, in place; gradients (R, p) are the same by both."""
        hessian[:, self.levels, self.levels] -= slope[:, self.levels]
        hessian[:, self.exponents, self.owners] -= slope[:, self.exponents]
        hessian[:, self.owners, self.exponents] -= slope[:, self.exponents]
        return hessian

    def move(self, here: Array, step: Array) -> tuple[Array, Array]:
        """Where steps (R, p) lead from coordinates (R, p), and which part (R,) of each was taken."""
        logs, growth = here[:, self.levels], step[:, self.levels]
        size = np.abs(step)
        size[:, self.levels] *= np.exp(np.minimum(logs, 0.0))
        excess = size.max(axis=1) / LONGEST
        if self.levels.size:
            excess = np.maximum(excess, (-growth / self.most * (logs > FAINT)).max(axis=1))
        part: Array = 1 / np.maximum(excess, 1.0)
        there = here + part[:, None] * step
        growth = np.maximum(part[:, None] * growth, -self.most)
        there[:, self.levels] = logs + np.log1p(growth)
        scale = 1 + np.maximum(part[:, None] * step[:, self.owners], -STEEPEST)
        there[:, self.exponents] += part[:, None] * step[:, self.exponents] * (1 / scale - 1)
        np.minimum(there, self.upper, out=there)
        return np.where(there < self.zero, self.lower, there), part
