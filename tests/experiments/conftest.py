"""One finished run of every family, and what makes commands quick to test."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from analysis.fitting import sensitivity
from analysis.fitting.fit import Fit
from analysis.fitting.profile import Profile, profile
from analysis.fitting.recipe import Recipe
from analysis.forecast import findings
from analysis.forecast.findings import Findings, Question, fit_study
from analysis.laws.form import Data, Form
from analysis.report import write
from analysis.report.style import save
from analysis.table import RunTable
from experiments.cli import main
from experiments.commands import fit as fit_command
from experiments.commands import source
from scaling.models import FAMILIES
from scaling.records.record import find_record_files, read_study


@pytest.fixture(scope="session")
def one_of_each(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Family → folder of its run, by the command that people use. The corpus is in `cache`, beside `five`."""
    runs = tmp_path_factory.mktemp("families")
    settings = [
        *("name=five", "question=Does every family run?", f"runs={runs}", f"cache={runs}/cache"),
        *("tracking=off", "workers=1", "data=text", f"data.paths=[{tiny_corpus}/*.txt]", "data.vocab=256"),
        *("data.context=32", "data.heldout_fraction=0.2", "model.params=1.2e4", "budget.tokens=8e3"),
        *("training.sequences=8", "training.warmup_steps=4", "training.learning_rate=1e-2"),
        *("training.threads=1", "training.precision=float32", "training.evaluation_tokens=2048"),
        *("training.curve_evaluations=1", "training.curve_tokens=512"),
    ]
    code = main(["run", *settings, f"model={','.join(FAMILIES)}"])
    assert code == 0
    study = read_study(runs / "five")
    assert {record.family for record in study.done} == set(FAMILIES)
    folders = {path.parent.name: path.parent for path in find_record_files(runs / "five")}
    return {record.family: folders[record.run_id] for record in study.done}


@pytest.fixture
def svg_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports draw each figure once, not as PNG and PDF too."""
    monkeypatch.setattr(write, "save", partial(save, kinds=("svg",)))


@pytest.fixture
def coarse_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fits start from the coarse grid of replicates: the commands are tested, not the search."""
    form = Recipe.form

    def coarse(recipe: Recipe, data: Data) -> Form:
        found = form(recipe, data)
        starts = found.starts
        found.starts = lambda weights, log_loss, thorough: starts(weights, log_loss, False)  # type: ignore[method-assign]
        return found

    monkeypatch.setattr(Recipe, "form", coarse)


@pytest.fixture
def few_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    """A report refits a law under a few other choices only, and its lack of fit is known coarsely."""
    monkeypatch.setattr(findings, "SAMPLES", (39, 39))
    monkeypatch.setattr(sensitivity, "TRUNKS", 1)
    monkeypatch.setattr(findings, "sensitivity", partial(sensitivity.sensitivity, dropped=(), burn_in=()))


@pytest.fixture
def fitted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands on one table print, profile and plot the same fits."""
    made: dict[str, Any] = {}

    def study(table: RunTable, question: Question) -> dict[str, Findings]:
        key = f"{table.data_hash} {question}"
        if key not in made:
            made[key] = fit_study(table, question)
        return made[key]  # type: ignore[no-any-return]

    def profile_of(fit: Fit, name: str) -> Profile:
        key = f"{id(fit)} {name}"
        if key not in made:
            made[key] = profile(fit, name)
        return made[key]  # type: ignore[no-any-return]

    monkeypatch.setattr(source, "fit_study", study)
    monkeypatch.setattr(fit_command, "profile", profile_of)
