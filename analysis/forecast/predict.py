"""What a run will reach that has not been trained, or how to split a budget; with every doubt on the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.fitting.checks import FitWarning
from analysis.fitting.fit import Fit, fit_loss_surface
from analysis.fitting.runs import FitError
from analysis.forecast.interval import Interval
from analysis.forecast.select import FORMS, Ensemble, fit_ensemble, noise
from analysis.laws.law import FLOPS_PER_PARAM_TOKEN, Law

FAR = 100.0  # times the largest compute: beyond what any published law was checked at
UNEVEN = 1.5  # ratio of counted to 6 N D compute worth a word


@dataclass(frozen=True)
class Reach:
    """How far the question lies outside the runs: factors beyond the range of each, 1 inside it."""

    compute: float
    params: float
    tokens: float
    tokens_per_param: float


@dataclass(frozen=True)
class RunForecast:
    """A forecast of one run: its size and tokens, given or best, and the loss that it will reach.

    `loss` is the law's, with the interval of the law; `run` are the ends for one new run, its noise included.
    """

    compute: float  # 6 N D [FLOP]
    optimal: bool  # N and D are the best for this compute
    params: Interval
    tokens: Interval
    loss: Interval  # [nats/token]
    run: tuple[float, float]  # [nats/token]
    level: float
    reach: Reach
    law: Law  # whose estimates the values are
    weights: dict[str, float]  # share of each law in the intervals
    heldout: float | None  # rms relative error of that law's rolling forecasts of larger compute
    warnings: tuple[FitWarning, ...]
    fits: tuple[Fit, ...] = field(repr=False, default=())

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        plain = {
            name: asdict(getattr(self, name)) if name in ("params", "tokens", "loss", "reach") else value
            for name, value in vars(self).items()
            if name not in ("law", "fits", "warnings", "run")
        }
        return plain | {
            "run": list(self.run),
            "law": {"name": self.law.name, "parameters": self.law.parameters},
            "warnings": [asdict(doubt) for doubt in self.warnings],
        }

    def __str__(self) -> str:
        percent = f"{100 * self.level:g} %"
        best = "best " if self.optimal else ""
        mixed = ", ".join(f"{name} {share:.2f}" for name, share in self.weights.items())
        lines = [
            f"{self.compute:.4g} FLOP (6 N D), {self.reach.compute:.3g} times the largest run",
            f"  {best + 'N':<8}{self.params if self.optimal else f'{self.params.value:.4g}'}",
            f"  {best + 'D':<8}{self.tokens if self.optimal else f'{self.tokens.value:.4g}'}",
            f"  {'loss':<8}{self.loss}   {percent} of the law",
            f"  {'':<18}[{self.run[0]:.4g}, {self.run[1]:.4g}]   {percent} of one new run",
            f"  values by {self.law.name}; intervals by {mixed}",
        ]
        if self.heldout is not None:
            lines.append(
                f"  {self.law.name} forecast held-out larger compute within {100 * self.heldout:.2g} % (rms)"
            )
        return "\n".join([*lines, *(f"  ! {d.code}: {d.message}" for d in self.warnings)])


def fit_basis(
    params: npt.ArrayLike,
    tokens: npt.ArrayLike,
    loss: npt.ArrayLike,
    *,
    laws: Sequence[str] = FORMS,
    flops: npt.ArrayLike | None = None,
    groups: npt.ArrayLike | None = None,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[Ensemble | Fit, tuple[FitWarning, ...]]:
    """The ensemble of laws that forecasts rest on, or where the runs cannot rank laws, the first law alone.

    Raises:
        FitError: when the runs do not determine the first law either.
    """
    shared = {"groups": groups, "resamples": resamples, "seed": seed, "level": level}
    reason = "one law was asked for"
    if len(laws) > 1:
        try:
            return fit_ensemble(params, tokens, loss, laws=laws, flops=flops, **shared), ()  # type: ignore[arg-type]
        except FitError as error:
            reason = str(error)
    fit = fit_loss_surface(params, tokens, loss, law=laws[0], **shared)  # type: ignore[arg-type]
    message = f"intervals assume that the {laws[0]} law is the true form: {reason.rstrip('.')}."
    return fit, (FitWarning("one-form", message),)


def forecast_run(
    basis: Ensemble | Fit, N: float, D: float, *, doubts: tuple[FitWarning, ...] = (), seed: int = 0
) -> RunForecast:
    """The loss of a run of N parameters on D tokens.

    Raises:
        ValueError: for an N or D that is not positive.
        FitError: for a basis without replicates.
    """
    for name, value in (("params", N), ("tokens", D)):
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f"{name}: a positive number; got {value!r}.")
    given = [Interval(v, v, v) for v in (N, D)]
    return _outlook(basis, False, given[0], given[1], lambda law: float(law(N=N, D=D)), doubts, seed)


def forecast_budget(
    basis: Ensemble | Fit, C: float, *, doubts: tuple[FitWarning, ...] = (), seed: int = 0
) -> RunForecast:
    """The best N and D for C = 6 N D [FLOP], and the loss there.

    The interval of the loss is that of each law at its own optimum: what the budget can reach.

    Raises:
        ValueError: for a C that is not positive, or laws without a finite optimum.
        FitError: for a basis without replicates, or runs that do not bound the optimum.
    """
    best = _best(basis).law.optimum(C)
    params, tokens = (
        Interval(value, *basis.interval(lambda law, name=name: getattr(law.optimum(C), name)))  # type: ignore[misc]
        for name, value in (("N", best.N), ("D", best.D))
    )
    return _outlook(basis, True, params, tokens, lambda law: float(law.optimum(C).loss), doubts, seed)


def compute_doubts(
    flops: npt.ArrayLike, params: npt.ArrayLike, tokens: npt.ArrayLike
) -> tuple[FitWarning, ...]:
    """A word where the table's counted compute (n,) is not 6 N D, which budgets are given in."""
    ratio = np.asarray(flops, float) / (
        FLOPS_PER_PARAM_TOKEN * np.asarray(params, float) * np.asarray(tokens, float)
    )
    low, high = float(ratio.min()), float(ratio.max())
    if high < UNEVEN and low > 1 / UNEVEN:
        return ()
    return (
        FitWarning(
            "compute-convention",
            f"the runs' counted FLOP are {low:.2g} to {high:.2g} times 6 N D; the compute here is 6 N D.",
        ),
    )


def _best(basis: Ensemble | Fit) -> Fit:
    return basis.best if isinstance(basis, Ensemble) else basis


def _outlook(
    basis: Ensemble | Fit,
    optimal: bool,
    params: Interval,
    tokens: Interval,
    loss: Callable[[Any], float],
    doubts: tuple[FitWarning, ...],
    seed: int,
) -> RunForecast:
    best = _best(basis)
    errors = noise(best)
    rng = np.random.default_rng(seed)
    N, D = params.value, tokens.value
    reach = _reach(best, N, D)
    if isinstance(basis, Ensemble):
        weights = {f.name: float(w) for f, w in zip(basis.fits, basis.weights, strict=True)}
        heldout = float(basis.ranking["heldout"].to_numpy()[int(np.argmax(basis.weights))])
        fits = basis.fits
    else:
        weights, heldout, fits = {best.name: 1.0}, None, (basis,)
    return RunForecast(
        compute=FLOPS_PER_PARAM_TOKEN * N * D,
        optimal=optimal,
        params=params,
        tokens=tokens,
        loss=Interval(loss(best.law), *basis.interval(loss)),
        run=basis.interval(lambda law: loss(law) * float(np.exp(rng.choice(errors)))),
        level=basis.level,
        reach=reach,
        law=best.law,
        weights=weights,
        heldout=heldout,
        warnings=doubts + _reach_doubts(reach) + best.warnings,
        fits=fits,
    )


def _reach(fit: Fit, N: float, D: float) -> Reach:
    """Factors beyond the runs that were fitted."""
    n, d = fit.runs.inputs["N"], fit.runs.inputs["D"]

    def beyond(value: float, seen: npt.NDArray[np.float64]) -> float:
        return float(max(value / seen.max(), seen.min() / value, 1.0))

    return Reach(
        compute=N * D / float((n * d).max()),
        params=beyond(N, n),
        tokens=beyond(D, d),
        tokens_per_param=beyond(D / N, d / n),
    )


def _reach_doubts(reach: Reach) -> tuple[FitWarning, ...]:
    doubts = []
    if reach.compute > FAR:
        doubts.append(
            FitWarning(
                "far",
                f"{reach.compute:.3g} times the largest compute that was measured; laws are seldom checked "
                f"beyond {FAR:g} times.",
            )
        )
    if reach.tokens_per_param > UNEVEN:
        doubts.append(
            FitWarning(
                "ratio",
                f"tokens per parameter lie {reach.tokens_per_param:.3g} times beyond those of the runs.",
            )
        )
    return tuple(doubts)
