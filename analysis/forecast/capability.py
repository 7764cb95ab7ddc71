"""The score of a task at a size not yet trained: through the loss in two stages, or directly from compute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.fitting.bootstrap.quantiles import quantiles
from analysis.fitting.checks import FitWarning
from analysis.fitting.fit import Fit
from analysis.fitting.flat import fit_loss_surface, fit_power_law
from analysis.fitting.interval import Interval
from analysis.fitting.runs import FitError
from analysis.forecast.links import LinkFit, excess_spread, fit_link, measure
from analysis.forecast.select import Ensemble, noise
from analysis.laws.law import FLOPS_PER_PARAM_TOKEN, Array

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
        rng = np.random.default_rng(seed)
        best = self.basis.best if isinstance(self.basis, Ensemble) else self.basis
        losses = _draws(self.basis, N, D, rng)
        links = [self.link.draws[i] for i in rng.integers(0, len(self.link.draws), PAIRS)]
        noisy = losses * np.exp(rng.choice(noise(best), size=PAIRS))
        law = np.clip([float(link(loss)) for link, loss in zip(links, losses, strict=True)], 0, 1)
        run = np.clip([float(link(loss)) for link, loss in zip(links, noisy, strict=True)], 0, 1)
        value = float(np.clip(self.link.link(best.law(N=N, D=D)), 0, 1))
        return _forecast(self.how, value, law, self.link.measured(run, rng), self.level)


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
        """The score of a run of N parameters on D tokens."""
        rng = np.random.default_rng(seed)
        at = {"N": N, "D": D} if self.how == "direct_surface" else {"x": FLOPS_PER_PARAM_TOKEN * N * D}
        laws = [self.fit.draws[i] for i in rng.integers(0, len(self.fit.draws), PAIRS)]
        surprise = np.array([float(law(**at)) for law in laws])
        law = self._score(surprise)
        run = measure(law, self.spread, self.items, rng)
        return _forecast(self.how, float(self._score(self.fit.law(**at))), law, run, self.level)

    def _score(self, surprise: npt.ArrayLike) -> Array:
        return score_of(surprise, self.chance)


def score_of(surprise: npt.ArrayLike, chance: float) -> Array:
    """The score whose -log, rescaled from chance … 1 to 0 … 1, is this."""
    return np.asarray(chance + (1 - chance) * np.exp(-np.asarray(surprise, float)))


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
        basis: the surface of the first stage; a fit of the default surface to the same runs where absent.

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
            basis = fit_loss_surface(N, D, loss, groups=groups, resamples=resamples, seed=seed, level=level)
        return TwoStage(basis, link, level)
    q = (y - chance) / (1 - chance)
    usable = (q > 0) & (q < 1)
    doubts: tuple[FitWarning, ...] = ()
    if not usable.all():
        message = f"{(~usable).sum()} of {len(q)} runs score at chance, below it or 1, and are left out."
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


def compare_ways(
    params: npt.ArrayLike,
    tokens: npt.ArrayLike,
    loss: npt.ArrayLike,
    score: npt.ArrayLike,
    *,
    ways: Sequence[How] = WAYS,
    holdout: float = 0.25,
    chance: float = 0.0,
    items: int | None = None,
    groups: npt.ArrayLike | None = None,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> pd.DataFrame:
    """Fit every way without the runs of largest compute 6 N D, and forecast their scores.

    One row a way, the best first: how, error (rms of forecast minus score), bias (its mean), covered (how
    many held-out scores lie inside the interval of a new run), heldout (how many), reason (why a way could
    not be followed).

    Raises:
        ValueError: for a holdout that leaves nothing to fit or to forecast.
    """
    N, D, L, y = (np.asarray(v, dtype=float) for v in (params, tokens, loss, score))
    compute = N * D
    count = round(holdout * len(N))
    if not 1 <= count < len(N):
        raise ValueError(f"holdout: a fraction that holds out 1 to {len(N) - 1} runs; got {holdout!r}.")
    held = compute >= np.sort(compute)[-count] * (1 - 1e-9)
    rows = []
    for how in ways:
        row: dict[str, object] = {"how": how, "heldout": int(held.sum()), "reason": ""}
        try:
            fit = fit_capability(
                N[~held],
                D[~held],
                L[~held],
                y[~held],
                how=how,
                chance=chance,
                items=items,
                groups=None if groups is None else np.asarray(groups)[~held],
                resamples=resamples,
                seed=seed,
                level=level,
            )
        except FitError as error:
            rows.append(row | {"error": np.nan, "bias": np.nan, "covered": 0, "reason": str(error)})
            continue
        told = [fit.forecast(n, d, seed=seed) for n, d in zip(N[held], D[held], strict=True)]
        off = np.array([f.score.value for f in told]) - y[held]
        inside = [f.run[0] <= truth <= f.run[1] for f, truth in zip(told, y[held], strict=True)]
        found = {"error": float(np.sqrt(np.mean(off**2))), "bias": float(off.mean()), "covered": sum(inside)}
        rows.append(row | found)
    columns = ["how", "error", "bias", "covered", "heldout", "reason"]
    return pd.DataFrame(rows, columns=columns).sort_values("error", kind="stable", ignore_index=True)


def _draws(basis: Ensemble | Fit, N: float, D: float, rng: np.random.Generator) -> Array:
    """Losses of N and D (PAIRS,) by laws drawn from the basis."""
    fits = basis.fits if isinstance(basis, Ensemble) else (basis,)
    weights = basis.weights if isinstance(basis, Ensemble) else np.ones(1)
    if not all(fit.draws for fit in fits):
        raise FitError("no interval: a fit was made with resamples=0; fit again with resamples=1000.")
    of = rng.choice(len(fits), size=PAIRS, p=weights / weights.sum())
    which = rng.integers(0, min(len(fit.draws) for fit in fits), PAIRS)
    return np.array([float(fits[i].draws[j](N=N, D=D)) for i, j in zip(of, which, strict=True)])


def _forecast(how: How, value: float, law: Array, run: Array, level: float) -> ScoreForecast:
    low, high = quantiles(law, level).tolist()
    run_low, run_high = quantiles(run, level).tolist()
    return ScoreForecast(how, Interval(value, low, high), (run_low, run_high))
