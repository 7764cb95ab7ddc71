"""What an untrained run will reach, or how to split a budget, with every warning on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.fitting.bootstrap.quantiles import interval_of
from analysis.fitting.bootstrap.replicates import Bootstrap
from analysis.fitting.checks import FitWarning
from analysis.fitting.fit import Fit, fit_runs
from analysis.fitting.interval import Interval
from analysis.fitting.losses import Robust
from analysis.fitting.recipe import Recipe
from analysis.fitting.runs import FitError, Runs, called, size_of
from analysis.forecast.findings import inputs_of, lack_warnings, runs_of
from analysis.forecast.heldout import forecast_heldout
from analysis.forecast.rolling import cuts_for
from analysis.forecast.select import Ensemble, fit_ensemble, noise, rank_curves, rank_laws, robust_for
from analysis.laws.law import FLOPS_PER_PARAM_TOKEN, Law
from analysis.laws.registry import FITTED
from analysis.table import RunTable

FAR = 100.0  # times the largest compute: beyond what any published law was checked at
OUT_OF_ALL = 1e4  # times beyond the tokens per parameter of the runs: such an optimum is no answer
UNEVEN = 1.5  # ratio of counted to 6 N D compute worth a word


@dataclass(frozen=True)
class RunForecast:
    """A forecast of one run: what it is trained with, given or best, and the loss that it will reach.

    `loss` is the law's, with the interval of the law; `run` are the ends for one new run, its noise included.
    """

    inputs: dict[str, Interval]  # letter of the law → value, with an interval where it was optimised
    compute: float | None  # 6 N D [FLOP]; None for a law without N and D
    optimal: bool  # N and D are the best for this compute
    loss: Interval  # [nats/token]
    run: tuple[float, float]  # [nats/token]
    level: float
    reach: dict[str, float]  # how far the question lies outside the runs, as a factor; 1 inside
    law: Law  # whose estimates the values are
    weights: dict[str, float]  # share of each law in the intervals
    heldout: float | None  # rms relative error of that law's rolling forecasts of larger compute
    warnings: tuple[FitWarning, ...]
    fits: tuple[Fit, ...] = field(repr=False, default=())

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        return {
            "inputs": {called(name): asdict(value) for name, value in self.inputs.items()},
            "compute": self.compute,
            "optimal": self.optimal,
            "loss": asdict(self.loss),
            "run": list(self.run),
            "level": self.level,
            "reach": self.reach,
            "law": {"name": self.law.name, "parameters": self.law.parameters},
            "weights": self.weights,
            "heldout": self.heldout,
            "warnings": [asdict(warning) for warning in self.warnings],
        }

    def __str__(self) -> str:
        percent = f"{100 * self.level:g} %"
        mixed = ", ".join(f"{name} {share:.2f}" for name, share in self.weights.items())
        lines = []
        if self.compute is not None:
            times = f"{self.reach['compute']:.3g} times the largest run"
            lines.append(f"{self.compute:.4g} FLOP (6 N D), {times}")
        for name, value in self.inputs.items():
            optimised = self.optimal and name in ("N", "D")
            label = f"best {name}" if optimised else name
            lines.append(f"  {label:<7} {value if optimised else f'{value.value:.4g}'}")
        lines += [
            f"  {'loss':<8}{self.loss}   {percent} of the law",
            f"  {'':<18}[{self.run[0]:.4g}, {self.run[1]:.4g}]   {percent} of one new run",
            f"  values by {self.law.name}; intervals by {mixed}",
        ]
        if self.heldout is not None:
            lines.append(
                f"  forecasts of held-out larger compute by {self.law.name}, over all cuts: off by "
                f"{100 * self.heldout:.2g} % (rms)"
            )
        return "\n".join([*lines, *(f"  ! {w.code}: {w.message}" for w in self.warnings)])


def fit_basis(
    runs: Runs, laws: Sequence[str] = (), bootstrap: Bootstrap | None = None
) -> tuple[Ensemble, tuple[FitWarning, ...]]:
    """The ensemble of laws that forecasts rest on; of the first law alone where the runs cannot rank laws.

    Args:
        laws: by name; by default the registry's for the inputs of these runs.

    Raises:
        FitError: when the runs do not determine the first law either.
    """
    laws = laws or FITTED[tuple(runs.inputs)]
    robust = robust_for(runs)
    reason = "no other law was fitted"
    if len(laws) > 1 and tuple(runs.inputs) == ("x",):
        ranking = rank_curves(runs, laws)
        laws = (ranking["law"][0],)
        reason = f"it has the lowest BIC of {len(ranking)} laws"
    elif len(laws) > 1:
        try:
            return fit_ensemble(runs, laws, bootstrap, cuts=cuts_for(runs)), ()
        except FitError as error:
            reason = str(error)
    fit = _first(runs, laws, robust, bootstrap)
    try:
        ranking = rank_laws(runs, (fit.name,), cuts=cuts_for(runs), robust=robust, fits={fit.name: fit})
        basis = Ensemble((fit,), ranking, fit.level)
    except FitError:  # no rolling forecast, and so nothing is known of how the form misses
        basis = Ensemble.of(fit)
    message = f"intervals assume that the {fit.name} law is the true form: {reason.rstrip('.')}."
    return basis, (FitWarning("one-form", message),)


def _first(runs: Runs, laws: Sequence[str], robust: Robust, bootstrap: Bootstrap | None) -> Fit:
    """The first law that these runs can be fitted by.

    Raises:
        FitError: of the first, where there is none.
    """
    reasons: list[FitError] = []
    for law in laws:
        try:
            return fit_runs(runs, Recipe(law, robust), bootstrap)
        except FitError as error:
            reasons.append(error)
    raise reasons[0]


def forecast_table(
    table: RunTable,
    laws: Sequence[str] = (),
    *,
    at: Mapping[str, float],
    compute: float | None = None,
    bootstrap: Bootstrap,
) -> tuple[RunForecast, Ensemble | Fit]:
    """Forecast a run from one arm: at inputs of the law, or the best of a budget; and what it rests on.

    Args:
        laws: by name; by default the registry's for the columns of the table.
        at: inputs of the law by letter; beside a budget, those that are not N and D.
        compute: a budget [FLOP], or the C of a frontier.

    Raises:
        ValueError: where inputs of the law are missing, or it has no finite optimum.
        FitError: when the runs determine no law.
    """
    names = laws or FITTED[inputs_of(table)]
    runs = runs_of(table, names)
    basis, warnings = fit_basis(runs, names, bootstrap)
    warnings += _doubts(runs, best_of(basis), bootstrap)
    seed = bootstrap.seed
    if compute is not None and {"N", "D"} <= set(best_of(basis).law.inputs):
        warnings += compute_warnings(runs)
        return forecast_budget(basis, compute, at, warnings=warnings, seed=seed), basis
    known = at if compute is None else {"C": compute, **at}
    return forecast_run(basis, known, warnings=warnings, seed=seed), basis


def forecast_run(
    basis: Ensemble | Fit,
    at: Mapping[str, float],
    *,
    warnings: tuple[FitWarning, ...] = (),
    seed: int = 0,
) -> RunForecast:
    """The loss of a run at these inputs of the law, e.g. {"N": 1e9, "D": 2e10}.

    Raises:
        ValueError: for an input that is missing, not positive, or of no law here.
        FitError: for a basis without replicates.
    """
    wanted = _inputs(basis)
    if missing := [name for name in wanted if name not in at]:
        options = " ".join(f"--at {called(name)}=VALUE" for name in missing)
        raise ValueError(
            f"a forecast by a law of {', '.join(wanted)} needs {', '.join(map(called, missing))}: {options}."
        )
    _refuse_strange(at, wanted)
    for name, value in at.items():
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f"{called(name)}: a positive number; got {value!r}.")
    given = {name: Interval(at[name], at[name], at[name]) for name in wanted}

    def loss(law: Law) -> float:
        return float(law(**{name: at[name] for name in law.inputs}))

    return _forecast(basis, False, given, loss, warnings, seed)


def forecast_budget(
    basis: Ensemble | Fit,
    C: float,
    others: Mapping[str, float] | None = None,
    *,
    warnings: tuple[FitWarning, ...] = (),
    seed: int = 0,
) -> RunForecast:
    """The best N and D for C = 6 N D [FLOP], and the loss there, at other inputs of the law.

    The interval of the loss is that of each law at its own optimum: what the budget can reach.

    Raises:
        ValueError: for a C that is not positive, or laws without a finite optimum.
        FitError: for a basis without replicates, or runs that do not bound the optimum.
    """
    others = dict(others or {})
    _refuse_strange(others, _inputs(basis))
    measuring = Ensemble.of(basis).measuring()
    best = best_of(basis).law.optimum(C, **others)
    _refuse_far(best_of(basis), best.N, best.D, C)
    inputs = {name: Interval(value, value, value) for name, value in others.items()}
    for name, value in (("N", best.N), ("D", best.D)):
        ends = measuring.interval(lambda law, name=name: getattr(law.optimum(C, **others), name))  # type: ignore[misc]
        inputs[name] = Interval(value, *ends)
    inputs = {name: inputs[name] for name in _inputs(basis)}
    return _forecast(basis, True, inputs, lambda law: float(law.optimum(C, **others).loss), warnings, seed)


def _inputs(basis: Ensemble | Fit) -> tuple[str, ...]:
    """The inputs of every law of a basis."""
    fits = Ensemble.of(basis).fits
    return tuple(dict.fromkeys(name for fit in fits for name in fit.law.inputs))


def _refuse_strange(at: Mapping[str, float], wanted: Sequence[str]) -> None:
    """
    Raises:
        ValueError: for an input that no law takes: the answer would not depend on it.
    """
    if strange := [name for name in at if name not in wanted]:
        raise ValueError(
            f"{', '.join(map(called, strange))}: no input of these laws, which take "
            f"{', '.join(map(called, wanted))}. Leave it out, or name a law that takes it: --law NAME."
        )


def _refuse_far(fit: Fit, N: float, D: float, C: float) -> None:
    """
    Raises:
        FitError: for an optimum that is out of all proportion to the runs: the data did not choose it.
    """
    ratio = _reach(fit, {"N": N, "D": D})["tokens_per_param"]
    if not ratio < OUT_OF_ALL:
        raise FitError(
            f"the runs do not bound the optimum: at {C:.4g} FLOP the {fit.name} law would train {N:.3g} "
            f"parameters on {D:.3g} tokens, {ratio:.2g} times outside the tokens per parameter of the runs. "
            "Add runs with more and with fewer tokens per parameter, or ask about one --params and --tokens."
        )


def compute_warnings(runs: Runs) -> tuple[FitWarning, ...]:
    """A word where the counted compute of runs is not 6 N D, which budgets are given in."""
    ratio = runs.compute / size_of(runs.inputs)
    low, high = float(ratio.min()), float(ratio.max())
    if high < UNEVEN and low > 1 / UNEVEN:
        return ()
    return (
        FitWarning(
            "compute-convention",
            f"the runs' counted FLOPs are {low:.2g} to {high:.2g} times 6 N D; the compute here is 6 N D.",
        ),
    )


def _doubts(runs: Runs, fit: Fit, bootstrap: Bootstrap) -> tuple[FitWarning, ...]:
    """What `scaling fit` says of the law: that it is rejected, or misses held-out larger compute."""
    try:
        missed = forecast_heldout(runs, fit.recipe, bootstrap).warnings
    except (FitError, ValueError):  # too few runs to hold any out
        missed = ()
    return lack_warnings(fit) + missed


def best_of(basis: Ensemble | Fit) -> Fit:
    """The fit whose values are printed."""
    return Ensemble.of(basis).best


def _forecast(
    basis: Ensemble | Fit,
    optimal: bool,
    inputs: dict[str, Interval],
    loss: Callable[[Any], float],
    warnings: tuple[FitWarning, ...],
    seed: int,
) -> RunForecast:
    ensemble = Ensemble.of(basis)
    best = ensemble.best
    rng = np.random.default_rng(seed)
    at = {name: value.value for name, value in inputs.items()}
    reach = _reach(best, at)
    drawn, shares = ensemble.losses(loss, _distance(reach), rng)
    law_ends = interval_of(drawn, ensemble.level, shares)
    run_ends = interval_of(drawn * np.exp(rng.choice(noise(best), size=len(drawn))), ensemble.level, shares)
    return RunForecast(
        inputs=inputs,
        compute=FLOPS_PER_PARAM_TOKEN * at["N"] * at["D"] if {"N", "D"} <= set(at) else None,
        optimal=optimal,
        loss=Interval(loss(best.law), *law_ends),
        run=(min(run_ends[0], law_ends[0]), max(run_ends[1], law_ends[1])),
        level=ensemble.level,
        reach=reach,
        law=best.law,
        weights={f.name: float(w) for f, w in zip(ensemble.fits, ensemble.weights, strict=True)},
        heldout=ensemble.heldout if np.isfinite(ensemble.heldout) else None,
        warnings=warnings + _reach_warnings(reach) + best.warnings,
        fits=ensemble.fits,
    )


def _reach(fit: Fit, at: Mapping[str, float]) -> dict[str, float]:
    """Factors beyond the runs that were fitted: of each input, of compute, and of tokens per parameter."""
    seen = fit.runs.inputs

    def beyond(value: float, known: npt.NDArray[np.float64]) -> float:
        return float(max(value / known.max(), known.min() / value, 1.0))

    reach = {called(name): beyond(value, seen[name]) for name, value in at.items()}
    if {"N", "D"} <= set(at):
        reach["compute"] = at["N"] * at["D"] / float((seen["N"] * seen["D"]).max())
        reach["tokens_per_param"] = beyond(at["D"] / at["N"], seen["D"] / seen["N"])
    return reach


def _distance(reach: Mapping[str, float]) -> float:
    """How far a question lies beyond the runs, as one factor: of compute, or else of the furthest input."""
    return reach.get("compute", max(reach.values()))


def _reach_warnings(reach: Mapping[str, float]) -> tuple[FitWarning, ...]:
    warnings = []
    far = _distance(reach)
    if far > FAR:
        what = "compute that was measured" if "compute" in reach else "input that was measured"
        message = f"{far:.3g} times the largest {what}; laws are seldom checked beyond {FAR:g} times."
        warnings.append(FitWarning("far", message))
    ratio = reach.get("tokens_per_param", 1.0)
    if ratio > UNEVEN:
        message = f"tokens per parameter lie {ratio:.3g} times beyond those of the runs."
        warnings.append(FitWarning("ratio", message))
    return tuple(warnings)
