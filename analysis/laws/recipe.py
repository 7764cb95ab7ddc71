"""How a fit is made: which law, which loss, what is fixed. A recipe and runs determine a fit entirely."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from analysis.laws.coupled import CoupledForm
from analysis.laws.forms import Data, Form, Restricted
from analysis.laws.laws import Array
from analysis.laws.losses import Robust
from analysis.laws.newton import Solution, Space, minimise, objective
from analysis.laws.powers import PowerSum

SURFACES = ("chinchilla", "coupled")
CURVES = ("power", "power_without_offset")


@dataclass(frozen=True)
class Recipe:
    """Everything about a fit except its runs."""

    law: str
    robust: Robust = field(default_factory=Robust)
    space: Space = "log"
    fixed: Mapping[str, float] = field(default_factory=dict)  # exponents, k or E by name
    tied: bool = False  # alpha = beta

    def __post_init__(self) -> None:
        if self.law not in SURFACES + CURVES:
            raise ValueError(f"law: one of {', '.join(SURFACES + CURVES)}; got {self.law!r}.")
        if self.space not in ("log", "raw"):
            raise ValueError(f"space: log or raw loss; got {self.space!r}.")

    def form(self, data: Data) -> Form:
        """The law on these data, in the solver's coordinates.

        Raises:
            ValueError: for a fixed parameter that the law does not have, or a value out of range.
        """
        exponents = {k: v for k, v in self.fixed.items() if k in ("alpha", "beta")}
        whole: Form
        if self.law == "coupled":
            whole = CoupledForm(data, exponents, self.tied)
        else:
            whole = PowerSum(data, self.law != "power_without_offset", self.tied, exponents)
        if not self.fixed and not self.tied:
            return whole
        fixed = {}
        for name, value in self.fixed.items():
            if not (np.isfinite(value) and value > 0):
                raise ValueError(f"fixed: {name} must be a positive number; got {value!r}.")
            if name in ("E", "k"):
                fixed[f"log_{name}"] = float(np.log(value)) - (data.centre if name == "E" else 0.0)
            else:
                fixed[name] = float(value)
        return Restricted.of(whole, fixed, (("alpha", "beta"),) if self.tied else ())


def solve(recipe: Recipe, form: Form, weights: Array, log_loss: Array) -> Solution:
    """The best of the minima reached from each start, for R replicates; weights and log_loss are (R, n)."""
    starts = form.starts(weights, log_loss)
    S, R, p = starts.shape
    theta = starts.reshape(S * R, p)
    W, Y = np.tile(weights, (S, 1)), np.tile(log_loss, (S, 1))
    for robust in recipe.robust.smooth():
        solution = minimise(form, theta, W, Y, robust, recipe.space)
        theta = solution.theta
    value = objective(form, theta, W, Y, recipe.robust, recipe.space).reshape(S, R)
    best = np.nanargmin(value, axis=0) * R + np.arange(R)
    fields = {name: getattr(solution, name)[best] for name in Solution.__dataclass_fields__}
    return Solution(**{**fields, "objective": value.min(axis=0)})
