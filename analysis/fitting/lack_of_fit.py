"""Lack of fit: whether what a law leaves over is noise, or the shape of a wider law."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from analysis.fitting.bootstrap.replicates import Bootstrap, replicates
from analysis.fitting.fit import Fit, fit_runs
from analysis.fitting.losses import Robust
from analysis.fitting.recipe import solve, solve_near
from analysis.fitting.runs import FitError
from analysis.laws.law import Array

BLOCK = 25  # samples solved at a time, fewer of many runs
NEAR = 2000  # runs from which a sample's minimum is next to that of the runs themselves
ROOM = 1 << 16  # samples × runs at a time
PLAIN = 0.1  # share of all samples that, once they are as large, show that the law is not rejected
SPARE = 3  # runs more than the wider law has parameters, without which its residuals say nothing


@dataclass(frozen=True)
class LackOfFit:
    """A law against a wider one that contains it, on the same runs."""

    law: str
    against: str
    f: float  # drop in squared log residuals a parameter added, over what remains a degree of freedom
    p: float  # share of bootstrap samples from the law itself whose drop is as large
    rms: float  # relative residual of the law
    rms_against: float  # of the wider law
    resamples: int

    def rejected(self, level: float = 0.95) -> bool:
        """Whether the law is refused at this confidence."""
        return self.p <= 1 - level

    def __str__(self) -> str:
        verdict = "rejected" if self.rejected() else "not rejected"
        return (
            f"{self.law} {verdict} against {self.against}: F {self.f:.3g}, p {self.p:.2g} "
            f"({self.resamples} resamples), rms {100 * self.rms:.2g} % against {100 * self.rms_against:.2g} %"
        )


def lack_of_fit(fit: Fit, against: str | None = None, *, resamples: int = 499, seed: int = 0) -> LackOfFit:
    """Test the law of a fit against a wider law that contains it, by default the one it names.

    Both are fitted by least squares in log loss. The statistic is the ratio of their sums of squares, free of
    the scale of the noise; so the test also has a meaning on runs without any noise, where all that is left
    is lack of fit. Its distribution under the law comes from wild samples: the law plus its own residuals,
    each trunk with a random sign (runs of a trunk go together), both laws fitted again, globally. With few
    trunks there are few signs: G trunks cannot give a p below about 2^-G. Sampling ends early where a tenth
    of all samples are as large already (Besag & Clifford 1991, Biometrika 78).

    Raises:
        FitError: when the runs cannot determine the wider law.
        ValueError: when the wider law has no more parameters, or resamples is not positive.

    Source: Cameron, Gelbach & Miller 2008 (Review of Economics and Statistics 90), the wild cluster bootstrap
    with the null imposed. We differ: a ratio of sums of squares in place of a Wald statistic.
    """
    if resamples < 1:
        raise ValueError(f"resamples: at least 1; got {resamples!r}.")
    recipe = replace(fit.recipe, robust=Robust("squared"), space="log")
    against = against or fit.law.wider
    if against is None:
        raise ValueError(f"against: no law is registered that contains {fit.name!r}; name one.")
    wider = replace(recipe, law=against)
    own = {field.name for field in fields(wider.law_type)}
    fixed = {name: value for name, value in recipe.fixed.items() if name in own}
    ties = tuple(pair for pair in recipe.ties if own.issuperset(pair))
    narrow = fit_runs(fit.runs, recipe, Bootstrap(resamples=0))
    wide = fit_runs(fit.runs, replace(wider, fixed=fixed, ties=ties), Bootstrap(resamples=0))
    extra = len(wide.theta) - len(narrow.theta)
    if extra < 1:
        raise ValueError(f"against: a law wider than {fit.name!r}; {against!r} has no further parameter.")
    if fit.runs.n_distinct < len(wide.theta) + SPARE:
        raise FitError(
            f"{fit.runs.n_distinct} runs are too few to test {fit.name} against the "
            f"{len(wide.theta)} parameters of {against}."
        )
    log_loss = np.log(fit.runs.loss) - narrow.data.centre
    predicted = narrow.form.value(narrow.theta[None])[0]
    drawn = replicates("wild", fit.runs, log_loss, predicted, 0, resamples, seed)
    weights = drawn.counts * fit.runs.weights * (fit.runs.n / fit.runs.weights.sum())
    observed = narrow.objective / wide.objective
    as_large = done = 0
    while done < resamples and as_large < PLAIN * (1 + resamples):
        block = slice(done, done + max(4, min(BLOCK, ROOM // fit.runs.n)))
        deviations = drawn.log_loss[block] - predicted
        left = [_least_squares(each, weights[block], predicted, deviations) for each in (narrow, wide)]
        as_large += int((left[0] / left[1] >= observed * (1 - 1e-9)).sum())
        done += len(left[0])
    return LackOfFit(
        law=fit.name,
        against=against,
        f=(observed - 1) / extra * (fit.n_runs - len(wide.theta)),
        p=(1 + as_large) / (1 + done),
        rms=narrow.rms,
        rms_against=wide.rms,
        resamples=done,
    )


def _least_squares(fit: Fit, weights: Array, predicted: Array, deviations: Array) -> Array:
    """The lowest objective (R,) for log losses `predicted` (n,) + `deviations` (R, n).

    Runs that share their inputs count by their mean: no law can change how far they scatter about it.
    """
    form, total, mean = fit.form.merged(weights, deviations)
    _, _, centre = fit.form.merged(weights, np.broadcast_to(predicted, weights.shape))
    within = 0.5 * ((weights * deviations**2).sum(axis=1) - (total * mean**2).sum(axis=1))
    solver = solve_near if total.shape[1] > NEAR else solve
    solved = solver(fit.recipe, form, total, centre + mean, fit.theta[None])
    least: Array = solved.objective + within
    return least
