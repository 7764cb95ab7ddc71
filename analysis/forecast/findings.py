"""Everything fitted to each comparable part of a table: laws, their forecasts, and what was refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from analysis.fitting.bootstrap.replicates import Bootstrap
from analysis.fitting.checks import EXACT, FitWarning
from analysis.fitting.fit import Fit, FitError, fit_runs
from analysis.fitting.lack_of_fit import lack_of_fit
from analysis.fitting.pinned import pin_warnings
from analysis.fitting.recipe import Recipe
from analysis.fitting.runs import Runs, called
from analysis.fitting.sensitivity import sensitivity
from analysis.forecast.along import Slice, pareto_places, slices_of
from analysis.forecast.isoflop import Comparison, compare_approaches
from analysis.forecast.names import name_warnings
from analysis.forecast.rolling import CUTS, MANY, few_cuts
from analysis.forecast.select import (
    ALONE,
    Ensemble,
    Forecast,
    forecast_heldout,
    rank_curves,
    rank_laws,
    robust_for,
)
from analysis.laws.registry import FITTED, law_named
from analysis.table import RunTable, split_comparable

SAMPLES = {1000: 499, MANY: 99}  # up to so many runs, the samples of the test of lack of fit
LEAST_SAMPLES = 39  # of more: a law is rejected at 95 % where no sample, or one, misses as much
REPEATS = 2 / 3  # unique over seen tokens: one and a half epochs are worth .5 % fewer tokens (R_D* = 15)


@dataclass(frozen=True)
class Question:
    """What is asked of a table: which laws, what they hold, and how they are judged."""

    laws: tuple[str, ...] = ()  # by name; by default the registry's for the columns of the table
    fixed: Mapping[str, float] = field(default_factory=dict)
    ties: tuple[tuple[str, str], ...] = ()
    holdout: float | int = 0.25  # fraction, or number, of runs of largest compute that no forecast sees
    bootstrap: Bootstrap = field(default_factory=Bootstrap)


@dataclass(frozen=True)
class Findings:
    """One comparable part of a table and everything fitted to it."""

    label: str
    table: RunTable
    fits: tuple[Fit, ...] = ()  # first the law whose values are printed, then by their forecasts
    forecasts: tuple[Forecast, ...] = ()  # in the same order
    slices: tuple[Slice, ...] = ()
    ensemble: Ensemble | None = None  # of the fits, weighted by rolling forecasts of larger compute
    ranking: pd.DataFrame | None = None  # of the laws of a curve, by BIC
    approaches: Comparison | None = None  # Chinchilla's three, judged by the first surface
    refusals: tuple[str, ...] = ()  # fits that could not be made, and why

    @property
    def runs(self) -> pd.DataFrame:
        """The rows of the part."""
        return self.table.rows

    @cached_property
    def sensitivity(self) -> pd.DataFrame | None:
        """The first fit under every other choice; made when it is read, for it takes as long as all else."""
        return _other_choices(self.fits[0], self.table) if self.fits else None

    @property
    def family(self) -> str:
        return str(self.runs["family"].iloc[0])


def fit_study(table: RunTable, question: Question | None = None) -> dict[str, Findings]:
    """Fit every comparable part of a table: laws, forecasts of the largest-compute runs, power laws.

    Returns:
        label of the part, as `split_comparable` gives it → findings. A fit that is refused raises nothing
        here: it leaves its reason.

    Raises:
        ValueError: for a law or a parameter that does not exist.
    """
    question = question or Question()
    for name in question.laws:
        law_named(name)
    parts = split_comparable(table, columns_of(question.laws))
    return {label: fit_part(part, question) for label, part in parts.items()}


def columns_of(laws: Sequence[str]) -> tuple[str, ...]:
    """The columns that these laws are functions of."""
    return tuple(dict.fromkeys(called(name) for law in laws for name in law_named(law).inputs))


def inputs_of(table: RunTable) -> tuple[str, ...]:
    """What a law can be a function of in this table, as the registry's defaults are listed by.

    Raises:
        FitError: for a table that has neither size and data, nor compute, nor x.
    """
    if {"params", "tokens"} <= set(table.rows.columns):
        if table.has_numbers("tokens_unique") and table["tokens_unique"].notna().all():
            repeated = table.numbers("tokens_unique") < REPEATS * table.numbers("tokens")
            if repeated.any():
                return ("N", "D", "U")
        return ("N", "D")
    for letter in ("C", "x"):
        if called(letter) in table:
            return (letter,)
    raise FitError("the table has neither params and tokens, nor flops, nor x: there is no law to fit.")


def runs_of(table: RunTable, laws: Sequence[str]) -> Runs:
    """The runs with every input that one of the laws takes.

    Raises:
        FitError: for an input that the table does not have.
    """
    inputs = tuple(dict.fromkeys(i for law in laws for i in law_named(law).inputs))
    if inputs == ("C",) and {"params", "flops"} <= set(table.rows.columns):
        table = table.take(pareto_places(table.rows))  # of a grid of runs, a law of compute is of the best
    return Runs.of_table(table, inputs)


def fit_part(table: RunTable, question: Question) -> Findings:
    """Fit one comparable part; see `fit_study`. Of many runs, fewer rolling forecasts and samples will do."""
    if len(table) > MANY:
        said = (
            f"with {len(table):,} runs, laws are compared by {len(few_cuts(len(table)))} rolling forecasts "
            f"instead of {len(CUTS)}, and tested for lack of fit by {LEAST_SAMPLES} samples at most"
        )
        table = replace(table, notes=(*table.notes, said))
    maker = _Maker(table, question)
    try:
        inputs = () if question.laws else inputs_of(table)
    except FitError as error:
        maker.refusals.append(str(error))
        return maker.findings()
    laws = question.laws or FITTED[inputs]
    if len(laws) > 1 and {law_named(law).inputs for law in laws} == {("x",)}:
        maker.choose(laws)
    for law in laws:
        maker.add(law)
    return maker.findings()


class _Maker:
    """Collects the findings of one part, and why some could not be made."""

    def __init__(self, table: RunTable, question: Question) -> None:
        self.table = table
        self.question = question
        self.fits: dict[str, Fit] = {}
        self.forecasts: dict[str, Forecast] = {}
        self.refusals: list[str] = []
        self.refused: set[str] = set()  # laws that cannot be fitted, intervals or none
        self.ranking: pd.DataFrame | None = None

    def choose(self, laws: Sequence[str]) -> None:
        """Rank the laws of a curve; the first is given intervals, and so is each that was named."""
        try:
            runs = runs_of(self.table, laws)
            for law in laws:
                self._fit_alone(law, runs)
            if self.fits:
                self.ranking = rank_curves(runs, tuple(self.fits), self.fits)
        except FitError as error:
            self.refusals.append(f"choice of law: {error}")

    def _fit_alone(self, law: str, runs: Runs) -> None:
        try:
            self.fits[law] = fit_runs(runs, self._recipe(law, runs), ALONE)
        except FitError as error:
            self.refused.add(law)
            self.refusals.append(f"{law}: {error}")

    def add(self, law: str) -> None:
        """Fit one law and let it forecast; keep the reason where it cannot."""
        question = self.question
        if law in self.refused:
            return
        if self.ranking is not None and law != self.ranking["law"][0] and not question.laws:
            return  # passed over: its fit without intervals is there
        try:
            runs = runs_of(self.table, (law,))
            recipe = self._recipe(law, runs)
            fit = fit_runs(runs, recipe, question.bootstrap)
        except FitError as error:
            self.refusals.append(f"{law}: {error}")
            return
        if not question.laws and fit.exact:
            self.refusals.append(f"{law}: {fit.undrawn}")
            return
        doubts = (*lack_warnings(fit), *name_warnings(fit, self.table), *pin_warnings(fit), *fit.warnings)
        self.fits[law] = replace(fit, warnings=doubts)
        if question.holdout == 0:
            return
        try:
            forecast = forecast_heldout(runs, recipe, question.bootstrap, question.holdout)
        except (FitError, ValueError) as error:
            self.refusals.append(f"{law}, forecast of held-out runs: {error}")
            return
        self.forecasts[law] = forecast
        fit = self.fits[law]
        self.fits[law] = replace(fit, warnings=(*forecast.warnings, *fit.warnings))

    def _recipe(self, law: str, runs: Runs) -> Recipe:
        return Recipe(law, robust_for(runs), fixed=self.question.fixed, ties=self.question.ties)

    def findings(self) -> Findings:
        """All of it, the laws that forecast best first."""
        ensemble = self._ensemble()
        order = sorted(self.fits, key=lambda law: (law not in self.forecasts, self._error(law)))
        # As `fit_basis` has it: where laws cannot be ranked, the first that can be fitted.
        first = next(iter(self.fits), None) if self.ranking is None else self.ranking["law"][0]
        first = ensemble.best.name if ensemble else first
        order.sort(key=lambda law: law != first)
        surface = next(
            (self.fits[law] for law in order if {"N", "D"} == set(self.fits[law].law.inputs)), None
        )
        return Findings(
            label=self.table.part,
            table=self.table,
            fits=tuple(self.fits[law] for law in order),
            forecasts=tuple(self.forecasts[law] for law in order if law in self.forecasts),
            slices=slices_of(self.table, self.question.bootstrap, self.refusals) if surface else (),
            ensemble=ensemble,
            ranking=self.ranking,
            approaches=self._approaches(surface) if surface else None,
            refusals=tuple(self.refusals),
        )

    def _error(self, law: str) -> float:
        return self.forecasts[law].error if law in self.forecasts else 0.0

    def _ensemble(self) -> Ensemble | None:
        if len(self.fits) < 2 or self.ranking is not None:
            return None
        try:
            runs = runs_of(self.table, tuple(self.fits))
            ranking = rank_laws(
                runs, tuple(self.fits), cuts=few_cuts(runs.n), robust=robust_for(runs), fits=self.fits
            )
        except FitError as error:
            self.refusals.append(f"ensemble of laws: {error}")
            return None
        fits = tuple(self.fits[law] for law in ranking["law"])
        return Ensemble(fits, ranking, self.question.bootstrap.level)

    def _approaches(self, fit: Fit) -> Comparison | None:
        try:
            return compare_approaches(fit)
        except (FitError, ValueError) as error:
            self.refusals.append(f"approaches 1 to 3: {error}")
            return None


def lack_warnings(fit: Fit) -> tuple[FitWarning, ...]:
    """A warning that comes first where the law is rejected for a wider one."""
    if fit.law.wider is None or fit.rms < EXACT:
        return ()
    try:
        samples = next((count for most, count in SAMPLES.items() if fit.n_runs <= most), LEAST_SAMPLES)
        found = lack_of_fit(fit, resamples=samples)
    except FitError:  # too few runs for the wider law: nothing is known against this one
        return ()
    if not found.rejected() or found.rms_against >= found.rms:
        return ()
    return (
        FitWarning(
            "lack-of-fit",
            f"the {found.law} law is rejected: its residuals have the shape of the {found.against} law, "
            f"which fits within {100 * found.rms_against:.2g} % (rms) against {100 * found.rms:.2g} % "
            f"(p = {found.p:.2g} by {found.resamples} samples). Its intervals do not allow for that.",
        ),
    )


def _other_choices(fit: Fit, table: RunTable) -> pd.DataFrame:
    """Refits under other losses, runs and conventions of N and C, with what they do to the optimum."""
    if not {"N", "D"} <= set(fit.law.inputs):
        return sensitivity(fit)
    others = {name: float(np.median(x)) for name, x in fit.runs.inputs.items() if name not in ("N", "D")}
    by = "flops_6nd" if "flops_6nd" in table else "flops"  # as in all advice
    compute = 10 * float(table[by].max())
    quantities: dict[str, Callable[[Any], float]] = {
        "N*": lambda law: law.optimum(compute, **others).N,
        "L*": lambda law: law.optimum(compute, **others).loss,
    }
    if hasattr(type(fit.law), "growth"):
        named = "growth" if "a" in fit.law.parameters else "a"  # some laws call a prefactor so
        quantities = {named: lambda law: law.growth, **quantities}
    kept = [
        name
        for name in ("params_matmul", "params_total")
        if table.has_numbers(name) and table[name].notna().all()
    ]
    conventions = {name: table.numbers(name) for name in kept}
    return sensitivity(fit, quantities, conventions=conventions, flops={"counted": table.numbers("flops")})
