"""The score of a task at a size not yet trained: through the loss in two stages, or directly from compute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from analysis.fitting.bootstrap.quantiles import quantiles
from analysis.fitting.bootstrap.replicates import Bootstrap
from analysis.fitting.checks import FitWarning
from analysis.fitting.fit import Fit
from analysis.fitting.fit_columns import fit_loss_surface, fit_power_law
from analysis.fitting.interval import Interval
from analysis.fitting.runs import FitError, Runs, size_of
from analysis.forecast.links import LinkFit, excess_spread, fit_link, measure
from analysis.forecast.predict import fit_basis
from analysis.forecast.select import Ensemble, noise
from analysis.laws.law import FLOPS_PER_PARAM_TOKEN, Array
from analysis.laws.registry import FITTED

How = Literal["sigmoid", "exponential", "direct", "direct_surface"]
WAYS: tuple[How, ...] = ("sigmoid", "exponential", "direct", "direct_surface")
PAIRS = 2000  # draws of a forecast


@dataclass(frozen=True)
class ScoreForecast:
    """A score with the interval of the law, and the ends for the measured score of one new run."""

    how: How
    score: Interval
    run: tuple[float, float]

    def __str__(self) -> str:
        low, high = self.run
        return f"score {self.score}   one new run [{low:.4g}, {high:.4g}]   by {self.how}"


@dataclass(frozen=True)
class Drawn:
    """A score at one N and D: its value, and draws (PAIRS,) of the law and of one new run."""

    value: float
    law: Array
    run: Array

    def forecast(self, how: How, level: float) -> ScoreForecast:
        """The score with its intervals; that of a new run is never inside that of the law."""
        low, high = quantiles(self.law, level).tolist()
        run_low, run_high = quantiles(self.run, level).tolist()
        return ScoreForecast(how, Interval(self.value, low, high), (min(run_low, low), max(run_high, high)))


@dataclass(frozen=True)
class TwoStage:
    """Loss of a run by a surface, score of a loss by a link; draws of both are carried to the score.

    Source: Bhagia et al. 2024 (arXiv:2412.04403); Gadre et al. 2024 (arXiv:2403.08540).
    """

    basis: Ensemble | Fit
    link: LinkFit
    level: float

    @property
    def how(self) -> How:
        return self.link.kind

    @property
    def warnings(self) -> tuple[FitWarning, ...]:
        return self.link.warnings

    def forecast(self, N: float, D: float, seed: int = 0) -> ScoreForecast:
        """The score of a run of N parameters on D tokens."""
        return self.draw(N, D, seed).forecast(self.how, self.level)

    def draw(self, N: float, D: float, seed: int = 0) -> Drawn:
        """Draws of the score; a ceiling below 1 is drawn with each, as no run shows where it lies."""
        rng = np.random.default_rng(seed)
        basis = Ensemble.of(self.basis)
        best = basis.best
        losses = _draws(basis, N, D, rng)
        links = [self.link.draws[i] for i in rng.integers(0, len(self.link.draws), PAIRS)]
        noisy = losses * np.exp(rng.choice(noise(best), size=PAIRS))
        ceiling = rng.uniform(self.link.best, 1.0, PAIRS)
        law = np.clip([float(link(loss)) for link, loss in zip(links, losses, strict=True)], 0, ceiling)
        run = np.clip([float(link(loss)) for link, loss in zip(links, noisy, strict=True)], 0, ceiling)
        value = float(np.clip(self.link.expected(best.law(N=N, D=D)), 0, (1 + self.link.best) / 2))
        return Drawn(value, law, self.link.measured(run, rng))


@dataclass(frozen=True)
class Direct:
    """-log q = A C^-alpha, or A N^-alpha + B D^-beta + E, with q the score rescaled from chance … 1 to 0 … 1.

    The first is for runs of one number of tokens per parameter. E = 0 in the second is the published form.

    Source: Krajewski et al. 2025 (arXiv:2512.08894), -log Q = A C^-alpha and -log Q = A N^-alpha + B D^-beta.
    """

    how: How
    fit: Fit
    chance: float
    items: int | None
    spread: float  # standard deviation of a run's score beyond the binomial noise of the task
    level: float
    warnings: tuple[FitWarning, ...]

    def forecast(self, N: float, D: float, seed: int = 0) -> ScoreForecast:
        """The score of a run of N parameters on D tokens.

        Raises:
            FitError: for a fit without replicates.
        """
        return self.draw(N, D, seed).forecast(self.how, self.level)

    def draw(self, N: float, D: float, seed: int = 0) -> Drawn:
        """Draws of the score.

        Raises:
            FitError: for a fit without replicates.
        """
        if not self.fit.draws:
            raise FitError(f"no interval: {self.fit.undrawn}")
        rng = np.random.default_rng(seed)
        at = {"N": N, "D": D} if self.how == "direct_surface" else {"x": FLOPS_PER_PARAM_TOKEN * N * D}
        laws = [self.fit.draws[i] for i in rng.integers(0, len(self.fit.draws), PAIRS)]
        surprise = np.array([float(law(**at)) for law in laws])
        law = self._score(surprise)
        run = measure(law, self.spread, self.items, rng)
        return Drawn(float(self._score(self.fit.law(**at))), law, run)

    def _score(self, surprise: npt.ArrayLike) -> Array:
        return score_of(surprise, self.chance)


def score_of(surprise: npt.ArrayLike, chance: float) -> Array:
    """The score whose -log, rescaled from chance … 1 to 0 … 1, is this."""
    return np.asarray(chance + (1 - chance) * np.exp(-np.asarray(surprise, float)))


def first_stage(
    params: npt.ArrayLike,
    tokens: npt.ArrayLike,
    loss: npt.ArrayLike,
    groups: npt.ArrayLike | None,
    bootstrap: Bootstrap,
) -> Ensemble:
    """The laws of a loss of N and D that have a floor, as one basis.

    Raises:
        FitError: for data that determine none.
    """
    basis, _ = fit_basis(Runs.of({"N": params, "D": tokens}, loss, groups), FITTED["N", "D"], bootstrap)
    return basis


def fit_capability(
    params: npt.ArrayLike,
    tokens: npt.ArrayLike,
    loss: npt.ArrayLike,
    score: npt.ArrayLike,
    *,
    how: How = "sigmoid",
    chance: float = 0.0,
    items: int | None = None,
    basis: Ensemble | Fit | None = None,
    groups: npt.ArrayLike | None = None,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> TwoStage | Direct:
    """Fit score (n,) in [0, 1] as a function of N and D, one way of `WAYS`.

    Args:
        chance: score of guessing.
        items: questions in the task, for the binomial noise of a measured score.
        basis: the surface of the first stage; an ensemble of those with a floor where absent.

    Raises:
        FitError: for data that cannot determine the law.
        ValueError: for another way.
    """
    if how not in WAYS:
        raise ValueError(f"how: one of {', '.join(WAYS)}; got {how!r}.")
    N, D, y = (np.asarray(v, dtype=float) for v in (params, tokens, score))
    if how == "sigmoid" or how == "exponential":
        link = fit_link(
            loss, y, kind=how, chance=chance, items=items, groups=groups, resamples=resamples, seed=seed + 1
        )
        if basis is None:
            basis = first_stage(N, D, loss, groups, Bootstrap("bayes", resamples, seed, level))
        return TwoStage(basis, link, level)
    q = (y - chance) / (1 - chance)
    usable = (q > 0) & (q < 1)
    doubts: tuple[FitWarning, ...] = ()
    if not usable.all():
        message = (
            f"{(~usable).sum()} of {len(q)} runs score at chance, below it, or exactly 1, and are left out."
        )
        doubts = (FitWarning("at-chance", message),)
    if usable.sum() < 3:
        raise FitError(
            f"{usable.sum()} of {len(q)} runs score between chance ({chance:g}) and 1; 3 are needed."
        )
    own = None if groups is None else np.asarray(groups)[usable]
    N, D, y, q = N[usable], D[usable], y[usable], q[usable]
    # Near chance a score's own noise is a large part of log(-log q): there a run says less.
    noise = np.ones(len(q)) if items is None else np.sqrt(y * (1 - y)) / (q * -np.log(q))
    shared = {
        "groups": own,
        "weights": noise**-2,
        "robust": "squared",
        "resamples": resamples,
        "seed": seed,
        "level": level,
    }
    if how == "direct_surface":
        fit = fit_loss_surface(N, D, -np.log(q), **shared)  # type: ignore[arg-type]
        fitted = score_of(fit.law(N=N, D=D), chance)
    else:
        ratio = D / N
        if ratio.max() > 2 * ratio.min():
            message = "the runs differ in tokens per parameter, which a law of compute alone cannot see."
            doubts += (FitWarning("ratio", message),)
        C = FLOPS_PER_PARAM_TOKEN * N * D
        fit = fit_power_law(C, -np.log(q), offset=False, **shared)  # type: ignore[arg-type]
        fitted = score_of(fit.law(x=C), chance)
    spread = excess_spread(y - fitted, fitted, len(fit.theta), items)
    return Direct(how, fit, chance, items, spread, level, doubts + fit.warnings)


def _draws(basis: Ensemble, N: float, D: float, rng: np.random.Generator) -> Array:
    """Losses of N and D (PAIRS,) by laws drawn from the basis, spread by how their forms miss."""
    seen = basis.best.runs.inputs
    reach = FLOPS_PER_PARAM_TOKEN * N * D / float(size_of(seen).max())
    drawn, shares = basis.losses(lambda law: float(law(N=N, D=D)), reach, rng)
    return drawn[rng.choice(len(drawn), size=PAIRS, p=shares / shares.sum())]
