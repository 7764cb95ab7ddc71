"""The friendly doors: columns of numbers in, a fit out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy.typing as npt

from analysis.fitting.bootstrap.replicates import Bootstrap, BootstrapKind
from analysis.fitting.fit import Fit, fit_runs
from analysis.fitting.losses import Robust, RobustKind
from analysis.fitting.newton import Space
from analysis.fitting.recipe import Recipe
from analysis.fitting.runs import Runs
from analysis.laws.registry import FITTED


def fit_loss_surface(
    params: npt.ArrayLike,
    tokens: npt.ArrayLike,
    loss: npt.ArrayLike,
    *,
    law: str = FITTED["N", "D"][0],
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
        law: the name of a registered law of N and D.
        groups: trunk of each run. Runs of one trunk are drawn together by the bootstrap.
        weights: relative weight of each run; their scale does not matter.
        robust: what a residual costs: huber, l1, squared, asymmetric; `delta` [log loss, or nats] and `tau`
            as in `Robust`.
        space: residuals of log loss, or of raw loss.
        fixed: values of parameters that are not to be estimated.
        tied: alpha = beta.
        resamples: bootstrap replicates, each solved globally; 0 for none.

    Raises:
        FitError: for data that cannot determine the law, naming the reason.
        ValueError: for an argument out of its range.

    Source: Hoffmann et al. 2022 (arXiv:2203.15556) section 3.3; Besiroglu et al. 2024 (arXiv:2404.10102) for
    the sum instead of the mean. We differ: a global start by variable projection, then Newton, not L-BFGS.
    """
    ties = (("alpha", "beta"),) if tied else ()
    recipe = Recipe(law, Robust(robust, delta, tau), space, dict(fixed or {}), ties)
    runs = Runs.of({"N": params, "D": tokens}, loss, groups, weights)
    return fit_runs(runs, recipe, Bootstrap(bootstrap, resamples, seed, level))


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
    name = FITTED[("x",)][0 if offset else 1]
    recipe = Recipe(name, Robust(robust, delta, tau), space, dict(fixed or {}))
    runs = Runs.of({"x": x}, y, groups, weights)
    return fit_runs(runs, recipe, Bootstrap(bootstrap, resamples, seed, level))
