"""What makes data or a fit doubtful. A doubt has a code for programs and a message for people."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.laws.certificate import Certificate
from analysis.laws.laws import Law
from analysis.laws.recipe import Recipe
from analysis.laws.runs import FitError, Runs, called


@dataclass(frozen=True)
class Doubt:
    """One reason not to trust a fit."""

    code: str
    message: str


def refuse(runs: Runs, recipe: Recipe, parameters: int) -> None:
    """Refuse data that cannot determine the law.

    Raises:
        FitError: naming the reason.
    """
    used = runs.weights > 0
    n = int(used.sum())
    if n < parameters:
        raise FitError(
            f"fewer runs than the law has parameters: {n} runs, {parameters} parameters ({recipe.law}). "
            "Add runs, or fix exponents with fixed={'alpha': …}."
        )
    for name, x in runs.inputs.items():
        if len(np.unique(x[used])) == 1:
            raise FitError(
                f"{called(name)} is {x[used][0]:.6g} in every run: nothing can be learnt about how loss "
                f"depends on it. Vary it, or fit the other input alone with fit_power_law."
            )
    if np.ptp(runs.loss[used]) == 0:
        raise FitError(f"loss is {runs.loss[used][0]:.6g} in every run: there is no dependence to fit.")


def doubts_about_runs(runs: Runs, refused: int) -> tuple[Doubt, ...]:
    """Doubts that the runs alone raise."""
    doubts = []
    if runs.n_groups < runs.n and runs.n_groups < 6:
        doubts.append(
            Doubt(
                "few-trunks", f"intervals rest on {runs.n_groups} independent trunks; 6 or more are needed."
            )
        )
    if refused:
        doubts.append(
            Doubt("redrawn", f"{refused} bootstrap draws had too few distinct sizes and were redrawn.")
        )
    return tuple(doubts)


def doubts_about_fit(law: Law, certificate: Certificate, runs: Runs) -> tuple[Doubt, ...]:
    """Doubts that the minimum raises."""
    doubts = []
    if certificate.bounds:
        doubts.append(Doubt("bound", f"the fit lies on a bound: {', '.join(certificate.bounds)}."))
    elif not certificate.ok:
        doubts.append(
            Doubt("not-certified", "no strict minimum was certified: some direction of the law is free.")
        )
    return tuple(doubts)
