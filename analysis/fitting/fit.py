"""From runs to a law with doubts: `fit_loss_surface` and `fit_power_law`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.fitting.bootstrap.draws import draw
from analysis.fitting.bootstrap.replicates import BOOTSTRAP_KINDS, BootstrapKind
from analysis.fitting.certificate import Certificate, certify
from analysis.fitting.checks import FitWarning, doubts_about_fit, doubts_about_runs, refuse
from analysis.fitting.losses import Robust, RobustKind
from analysis.fitting.newton import Space
from analysis.fitting.recipe import Recipe, solve_from
from analysis.fitting.runs import FitError, Runs
from analysis.laws.form import Data, Form
from analysis.laws.law import Array, Law

__all__ = ["Fit", "FitError", "FitWarning", "fit_loss_surface", "fit_power_law"]


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
    bootstrap: BootstrapKind
    level: float
    seed: int

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
    def draws(self) -> tuple[Law, ...]:
        """One law a bootstrap replicate."""
        return tuple(self.form.law(theta) for theta in self.theta_draws)

    def again(
        self,
        runs: Runs | None = None,
        recipe: Recipe | None = None,
        resamples: int | None = None,
        patience: int | None = None,
    ) -> Fit:
        """The same fit of other runs, by another recipe, or with another number of replicates."""
        return fit_runs(
            runs or self.runs,
            recipe or self.recipe,
            self.bootstrap,
            len(self.theta_draws) if resamples is None else resamples,
            self.seed,
            self.level,
            patience,
        )

    def interval(self, f: Callable[[Any], float], level: float | None = None) -> tuple[float, float]:
        """Confidence interval of f(law), for any function of the law.

        Raises:
            FitError: when the fit was made with resamples=0, or f is not finite on most replicates.
        """
        level = self.level if level is None else level
        if not 0 < level < 1:
            raise ValueError(f"level: a probability between 0 and 1, e.g. 0.95; got {level!r}.")
        if not self.draws:
            raise FitError("no interval: the fit was made with resamples=0; fit again with resamples=1000.")
        values = np.array([_value_or_nan(f, law) for law in self.draws])
        finite = values[np.isfinite(values)]
        if len(finite) < 0.9 * len(values):
            raise FitError(
                f"no interval: the quantity is not finite on {len(values) - len(finite)} of {len(values)} "
                "bootstrap replicates, so the runs do not bound it."
            )
        low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)

    def __str__(self) -> str:
        trunks = f" ({self.n_trunks} trunks)" if self.n_trunks < self.n_runs else ""
        of = ", ".join(self.law.inputs)
        form = "" if self.name == "chinchilla" else f" [{self.name}]"
        lines = [f"L({of}){form} on {self.n_runs} runs{trunks}, rms {100 * self.rms:.2g} %"]
        for name, value in self.law.parameters.items():
            line = f"  {name:<8}{value:>10.4g}"
            if len(self.theta_draws):
                low, high = self.interval(lambda law, name=name: law.parameters[name])  # type: ignore[misc]
                line += f"   {100 * self.level:g} % [{low:.4g}, {high:.4g}]"
            lines.append(line)
        lines += [f"  ! {doubt.code}: {doubt.message}" for doubt in self.warnings]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON: no NaN, no infinity."""
        parameters: dict[str, Any] = {}
        for name, value in self.law.parameters.items():
            interval = None
            if len(self.theta_draws):
                interval = list(self.interval(lambda law, name=name: law.parameters[name]))  # type: ignore[misc]
            parameters[name] = {"value": value, "interval": interval}
        certificate = asdict(self.certificate)
        certificate = {
            k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in certificate.items()
        }
        return {
            "law": self.name,
            "parameters": parameters,
            "level": self.level,
            "objective": self.objective,
            "robust": asdict(self.recipe.robust),
            "space": self.recipe.space,
            "fixed": dict(self.recipe.fixed),
            "tied": self.recipe.tied,
            "certificate": {
                **certificate,
                "bounds": list(self.certificate.bounds),
                "ok": self.certificate.ok,
            },
            "warnings": [asdict(doubt) for doubt in self.warnings],
            "runs": self.n_runs,
            "trunks": self.n_trunks,
            "rms": self.rms,
            "bootstrap": self.bootstrap,
            "resamples": len(self.theta_draws),
            "seed": self.seed,
        }


def fit_loss_surface(
    params: npt.ArrayLike,
    tokens: npt.ArrayLike,
    loss: npt.ArrayLike,
    *,
    law: str = "chinchilla",
    groups: npt.ArrayLike | None = None,
    weights: npt.ArrayLike | None = None,
    robust: RobustKind = "huber",
    delta: float = 1e-3,
    tau: float = 0.75,
    space: Space = "log",
    fixed: Mapping[str, float] | None = None,
    tied: bool = False,
    bootstrap: BootstrapKind = "bayes",
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Fit:
    """Fit loss [nats/token] as a function of N = params and D = tokens, each (n,).

    Args:
        law: chinchilla, or coupled (a free k-norm between the two terms).
        groups: trunk of each run. Runs of one trunk are drawn together by the bootstrap.
        weights: relative weight of each run; their scale does not matter.
        robust: what a residual costs: huber, l1, squared, asymmetric; `delta` [log loss, or nats] and `tau`
            as in `Robust`.
        space: residuals of log loss, or of raw loss.
        fixed: values of alpha, beta, k or E that are not to be estimated.
        tied: alpha = beta.
        resamples: bootstrap replicates, each solved globally; 0 for none.

    Raises:
        FitError: for data that cannot determine the law, naming the reason.
        ValueError: for an argument out of its range.

    Source: Hoffmann et al. 2022 (arXiv:2203.15556) section 3.3; Besiroglu et al. 2024 (arXiv:2404.10102) for
    the sum instead of the mean. We differ: a global start by variable projection, then Newton, not L-BFGS.
    """
    recipe = Recipe(law, Robust(robust, delta, tau), space, dict(fixed or {}), tied)
    return fit_runs(
        Runs.of({"N": params, "D": tokens}, loss, groups, weights), recipe, bootstrap, resamples, seed, level
    )


def fit_power_law(
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    offset: bool = True,
    groups: npt.ArrayLike | None = None,
    weights: npt.ArrayLike | None = None,
    robust: RobustKind = "huber",
    delta: float = 1e-3,
    tau: float = 0.75,
    space: Space = "log",
    fixed: Mapping[str, float] | None = None,
    bootstrap: BootstrapKind = "bayes",
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Fit:
    """Fit y = E + A x^-alpha, or A x^-alpha without offset; arguments as in `fit_loss_surface`.

    Raises:
        FitError: for data that cannot determine the law, naming the reason.
        ValueError: for an argument out of its range.
    """
    name = "power" if offset else "power_without_offset"
    recipe = Recipe(name, Robust(robust, delta, tau), space, dict(fixed or {}))
    return fit_runs(Runs.of({"x": x}, y, groups, weights), recipe, bootstrap, resamples, seed, level)


def fit_runs(
    runs: Runs,
    recipe: Recipe,
    bootstrap: BootstrapKind = "bayes",
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    patience: int | None = None,
) -> Fit:
    """Fit by a recipe; everything else of this module is a way to say the recipe.

    Args:
        patience: Newton steps before a start is given up; by default that of the law.
    """
    if not 0 < level < 1:
        raise ValueError(f"level: a probability between 0 and 1, e.g. 0.95; got {level!r}.")
    if bootstrap not in BOOTSTRAP_KINDS:
        raise ValueError(f"bootstrap: one of {', '.join(BOOTSTRAP_KINDS)}; got {bootstrap!r}.")
    if resamples < 0:
        raise ValueError(f"resamples: 0 or more bootstrap replicates; got {resamples!r}.")
    data = recipe.data(runs)
    form = recipe.form(data)
    refuse(runs, recipe, len(form.names))
    weights, log_loss = runs.relative_weights[None], data.log_loss[None]
    starts = form.starts(weights, log_loss, thorough=True)[:, 0]
    solution = solve_from(recipe, form, starts, weights, log_loss, patience or form.patience)
    best = int(np.argmin(solution.objective))
    certificate = certify(form, solution, best, runs.n)
    draws = np.empty((0, solution.theta.shape[1]))
    refused = 0
    if resamples:
        draws, refused = draw(runs, recipe, data, solution.theta[best], bootstrap, resamples, seed)
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
        level=level,
        seed=seed,
    )
    residuals = np.log(runs.loss) - np.log(fit.law(**runs.inputs))
    doubts = doubts_about_runs(runs, len(form.names), refused)
    doubts += doubts_about_fit(form, certificate, residuals, draws, level, runs.order)
    return replace(fit, warnings=doubts)


def _value_or_nan(f: Callable[[Any], float], law: Law) -> float:
    """f(law), or NaN where the law has no such quantity (ValueError), as for an optimum at a limit."""
    try:
        return float(f(law))
    except ValueError:
        return float("nan")
