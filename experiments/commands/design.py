"""What a plan could tell about a law, before anything is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from analysis.fitting.checks import FitWarning
from analysis.fitting.fit_columns import fit_loss_surface
from analysis.fitting.runs import FitError
from analysis.forecast.design import PRIOR, DesignCheck, check_design, check_grid
from analysis.laws.chinchilla import Chinchilla
from scaling.study.plan import Plan

DEMO = Path(__file__).parents[1] / "demo" / "runs.csv"
SMALL = 1e7  # parameters up to which the kept demo is nearer than Chinchilla
SURFACE = 6  # distinct (N, D) below which no surface of five parameters is fitted


@dataclass(frozen=True)
class FamilyDesign:
    """The check of one family's runs."""

    family: str
    prior: str
    condition: float
    warnings: tuple[FitWarning, ...]
    simulated: DesignCheck | None = field(default=None)

    def __str__(self) -> str:
        if self.simulated:
            return f"{self.family}, prior {self.prior}: {self.simulated}"
        lines = [f"! {self.family}: {doubt.code}: {doubt.message}" for doubt in self.warnings]
        return "\n".join(lines)


def check_plan(plan: Plan, simulations: int, prior: str | None) -> list[FamilyDesign]:
    """Check the design of each family whose runs could determine a surface; with `simulations`, fit as many.

    Args:
        prior: a table of runs whose Chinchilla law is taken as true. By default that of the kept demo up to
            ten million parameters, and Chinchilla's own above.

    Raises:
        ValueError, OSError: for a prior table that cannot be read.
    """
    found = []
    for family in dict.fromkeys(trunk.spec.family for trunk, _ in plan.runs):
        runs = [(trunk, run) for trunk, run in plan.runs if trunk.spec.family == family]
        if any(math.isnan(trunk.params) for trunk, _ in runs):  # only a command's result will tell
            continue
        N = np.array([trunk.params for trunk, _ in runs], dtype=float)
        D = np.array([run.tokens for _, run in runs], dtype=float)
        if len(set(zip(N, D, strict=True))) < SURFACE or len(set(D)) < 2 or len(set(N)) < 2:
            continue
        source = prior or (str(DEMO) if np.median(N) < SMALL and DEMO.is_file() else None)
        law, noise = fit_prior(source)
        name = "Chinchilla (arXiv:2404.10102)" if source is None else Path(source).as_posix()
        simulated = None
        if simulations:
            groups = [trunk.spec.id for trunk, _ in runs]
            simulated = check_design(N, D, prior=law, noise=noise, groups=groups, simulations=simulations)
        condition, doubts = check_grid(N, D, law)
        found.append(FamilyDesign(family, name, condition, doubts, simulated))
    return found


def fit_prior(table: str | None) -> tuple[Chinchilla, float]:
    """The law of a table of runs, and the relative spread of its losses about it.

    Raises:
        ValueError: when no Chinchilla law can be fitted to it.
    """
    if table is None:
        return PRIOR, 0.004
    from analysis.table import load_runs  # pandas takes half a second, and few plans name a table

    runs = load_runs(table)
    try:
        fit = fit_loss_surface(runs["params"], runs["tokens"], runs["loss"], resamples=0)
    except FitError as error:
        raise ValueError(f"--prior {table}: {error}") from error
    assert isinstance(fit.law, Chinchilla)
    return fit.law, float(fit.rms)
