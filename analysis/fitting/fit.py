"""From runs and a recipe to a law with intervals, a certificate and warnings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from analysis.fitting.bootstrap.draws import draw
from analysis.fitting.bootstrap.quantiles import interval_of
from analysis.fitting.bootstrap.replicates import Bootstrap
from analysis.fitting.cells import Cells
from analysis.fitting.certificate import Certificate, certify
from analysis.fitting.checks import FitWarning, doubts_about_fit, doubts_about_runs, refuse
from analysis.fitting.recipe import Recipe, near_minima, solve_from
from analysis.fitting.runs import FitError, Runs, spread_out
from analysis.laws.form import Data, Form, LawForm, Pins
from analysis.laws.law import Array, Law

ALIKE = 1e-9  # relative width of an interval that is none
MANY = 4000  # runs from which starts are followed on some of them first

__all__ = ["Bootstrap", "Fit", "FitError", "FitWarning", "fit_runs"]


@dataclass(frozen=True)
class Fit:
    """A law, the runs it rests on, how it was found, and what is doubtful about it."""

    law: Law
    objective: float  # sum over runs of weight × robust loss
    certificate: Certificate
    warnings: tuple[FitWarning, ...]
    theta: Array = field(repr=False)  # (p,) the law in solver coordinates
    theta_draws: Array = field(repr=False)  # (resamples, p) solver coordinates of the bootstrap replicates
    runs: Runs = field(repr=False)
    recipe: Recipe
    bootstrap: Bootstrap

    @property
    def level(self) -> float:
        """Confidence of the intervals."""
        return self.bootstrap.level

    @property
    def name(self) -> str:
        return self.law.name

    @property
    def n_runs(self) -> int:
        return self.runs.n

    @property
    def n_trunks(self) -> int:
        return self.runs.n_groups

    @cached_property
    def residuals(self) -> Array:
        """log observed minus log predicted loss (n,), in the order of the caller's table."""
        return self.runs.in_table_order(np.log(self.runs.loss) - np.log(self.law(**self.runs.inputs)))

    @property
    def rms(self) -> float:
        """Root mean square of `residuals`: the relative error of the law on its own runs."""
        return float(np.sqrt(np.mean(self.residuals**2)))

    @cached_property
    def data(self) -> Data:
        """The runs in the solver's coordinates."""
        return self.recipe.data(self.runs)

    @cached_property
    def form(self) -> Form:
        """The law as the solver sees it, on these runs."""
        return self.recipe.form(self.data)

    @cached_property
    def form_of_law(self) -> LawForm:
        """The law with all of its parameters free."""
        form = self.recipe.law_type.form(self.data, Pins(self.recipe.fixed, self.recipe.ties))
        assert isinstance(form, LawForm)
        return form

    @cached_property
    def draws(self) -> tuple[Law, ...]:
        """One law per bootstrap replicate."""
        return tuple(self.form.laws(self.theta_draws)) if len(self.theta_draws) else ()

    @property
    def exact(self) -> bool:
        """Whether the law has as many parameters as there are runs, and so goes through every one of them."""
        return self.runs.n_distinct <= len(self.theta)

    @property
    def undrawn(self) -> str:
        """Why there are no replicates, where there are none."""
        if self.exact:
            return (
                f"the {self.name} law, of {len(self.theta)} parameters, goes through all "
                f"{self.runs.n_distinct} runs: nothing is left to judge it by. Add runs."
            )
        return "the fit was made with resamples=0; fit again with resamples=1000."

    def again(
        self,
        runs: Runs | None = None,
        recipe: Recipe | None = None,
        resamples: int | None = None,
        patience: int | None = None,
    ) -> Fit:
        """The same fit of other runs, by another recipe, or with another number of replicates."""
        bootstrap = self.bootstrap if resamples is None else replace(self.bootstrap, resamples=resamples)
        return fit_runs(runs or self.runs, recipe or self.recipe, bootstrap, patience)

    def interval(self, f: Callable[[Any], float], level: float | None = None) -> tuple[float, float]:
        """Confidence interval of f(law), for any function of the law.

        Raises:
            FitError: when the fit was made with resamples=0, or f is not finite on most replicates.
        """
        if not self.draws:
            raise FitError(f"no interval: {self.undrawn}")
        values = np.array([value_or_nan(f, law) for law in self.draws])
        return interval_of(values, self.level if level is None else level)

    @cached_property
    def intervals(self) -> dict[str, tuple[float, float] | None]:
        """Parameter → its interval; None where it is held, or the same in all draws."""
        found: dict[str, tuple[float, float] | None] = dict.fromkeys(self.law.parameters)
        law_values = self.law.parameters
        for name in found if self.draws else ():
            try:
                low, high = self.interval(lambda law, name=name: law.parameters[name])  # type: ignore[misc]
            except FitError:
                continue
            # Draws that are all alike, as at a bound, say nothing of how far from there the truth may be. One
            # that is not drawn, at a bound or by a robust fit, lies inside all the same.
            if high - low > ALIKE * max(abs(low), abs(high), ALIKE):
                value = law_values[name]
                found[name] = min(low, value), max(high, value)
        return found

    def __str__(self) -> str:
        trunks = f" ({self.n_trunks} trunk{'s' * (self.n_trunks > 1)})" if self.n_trunks < self.n_runs else ""
        of = ", ".join(self.law.inputs)
        lines = [f"{self.name} law of L({of}) on {self.n_runs} runs{trunks}, rms {100 * self.rms:.2g} %"]
        width = max(8, *(len(name) + 1 for name in self.law.parameters))
        for name, value in self.law.parameters.items():
            line = f"  {name:<{width}}{value:>10.4g}"
            if name in self.recipe.fixed:
                line += "   fixed"
            elif between := self.intervals[name]:
                line += f"   {100 * self.level:g} % [{between[0]:.4g}, {between[1]:.4g}]"
            elif self.draws:
                line += f"   {self._why_alike(name)}: no interval"
            lines.append(line)
        lines += [f"  ! {doubt.code}: {doubt.message}" for doubt in self.warnings]
        return "\n".join(lines)

    def _why_alike(self, name: str) -> str:
        at_bound = any(bound.removeprefix("log_") == name for bound in self.certificate.bounds)
        return "at its bound in every draw" if at_bound else "the same in every draw"

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON: no NaN, no infinity."""
        parameters = {
            name: {"value": plain(value), "interval": self.intervals[name]}
            for name, value in self.law.parameters.items()
        }
        certificate = asdict(self.certificate)
        certificate = {k: plain(v) if isinstance(v, float) else v for k, v in certificate.items()}
        return {
            "law": self.name,
            "parameters": parameters,
            "level": self.level,
            "objective": self.objective,
            "robust": asdict(self.recipe.robust),
            "space": self.recipe.space,
            "fixed": dict(self.recipe.fixed),
            "ties": [list(pair) for pair in self.recipe.ties],
            "certificate": {
                **certificate,
                "bounds": list(self.certificate.bounds),
                "ok": self.certificate.ok,
            },
            "warnings": [asdict(doubt) for doubt in self.warnings],
            "runs": self.n_runs,
            "trunks": self.n_trunks,
            "rms": self.rms,
            "bootstrap": self.bootstrap.kind,
            "resamples": len(self.theta_draws),
            "seed": self.bootstrap.seed,
        }


def fit_runs(
    runs: Runs, recipe: Recipe, bootstrap: Bootstrap | None = None, patience: int | None = None
) -> Fit:
    """Fit by a recipe; the functions above are friendlier ways to say one.

    Args:
        patience: Newton steps before a start is given up; by default that of the law.

    Raises:
        FitError: for data that cannot determine the law, naming the reason.
        ValueError: for a recipe that the law cannot follow.
    """
    bootstrap = bootstrap or Bootstrap()
    runs = runs.only(recipe.law_type.inputs)
    data = recipe.data(runs)
    form = recipe.form(data)
    refuse(runs, recipe, len(form.names))
    weights, log_loss = runs.relative_weights[None], data.log_loss[None]
    if runs.n > MANY and not isinstance(form, Cells):  # some of the runs lead to where all have their minima
        some = spread_out(runs.n)
        small, own = recipe.form_by_run(data.take(some)), (weights[:, some], log_loss[:, some])
        starts = near_minima(recipe, small, small.starts(*own, thorough=True)[:, 0], *own)
        starts = np.clip(starts, form.lower, form.upper)
    else:
        starts = form.starts(weights, log_loss, thorough=True)[:, 0]
    if recipe.fixed or recipe.ties:
        # What is held may leave the law's own starts in other valleys; one more is the free law's minimum.
        free = replace(recipe, fixed={}, ties=()).form(data)
        around = free.starts(weights, log_loss, thorough=True)[:, 0]
        found = solve_from(recipe, free, around, weights, log_loss, free.patience)
        near = form.narrowed(free.full(found.theta[[int(np.argmin(found.objective))]]))
        starts = np.concatenate([np.clip(near, form.lower, form.upper), starts])
    solution = solve_from(recipe, form, starts, weights, log_loss, patience or form.patience)
    best = int(np.argmin(solution.objective))
    certificate = certify(form, solution, best, runs.n)
    draws = np.empty((0, solution.theta.shape[1]))
    refused = 0
    if bootstrap.resamples and runs.n_distinct > len(form.names):  # else every replicate is this law again
        draws, refused = draw(runs, recipe, data, solution.theta[best], bootstrap)
    fit = Fit(
        law=form.law(solution.theta[best]),
        objective=float(solution.objective[best] * runs.weights.sum() / runs.n),
        certificate=certificate,
        warnings=(),
        theta=solution.theta[best],
        theta_draws=draws,
        runs=runs,
        recipe=recipe,
        bootstrap=bootstrap,
    )
    with np.errstate(divide="ignore"):  # a law without a floor falls to 0 at absurd sizes
        residuals = np.log(runs.loss) - np.log(fit.law(**runs.inputs))
    doubts = doubts_about_runs(runs, len(form.names), refused)
    doubts += doubts_about_fit(form, certificate, residuals, draws, bootstrap.level, runs)
    return replace(fit, warnings=doubts)


def value_or_nan(f: Callable[[Any], float], law: Law) -> float:
    """f(law), or NaN where the law has no such quantity (ValueError), as for an optimum at a limit."""
    try:
        return float(f(law))
    except ValueError:
        return float("nan")


def plain(value: float) -> float | None:
    """A number for JSON, which has none for NaN and infinity."""
    return value if np.isfinite(value) else None
