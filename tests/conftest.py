"""One thread a test process (a busy two-core machine took 9x longer with the default), and no network."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
    # Each process that a test starts would compile PyTorch and pandas anew, ten seconds every time.
    cache = str(Path(__file__).parents[1] / ".pytest_cache" / "bytecode")
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix = cache
    sys.dont_write_bytecode = False
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"  # before NumPy or PyTorch is imported
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("WANDB_MODE", "offline")

import hypothesis  # noqa: E402
import pytest  # noqa: E402

# The same examples everywhere: what passed here passes there. HYPOTHESIS_PROFILE=random draws new ones.
hypothesis.settings.register_profile("fixed", derandomize=True, deadline=None)
hypothesis.settings.register_profile("random", deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty short documents that a model can learn something from: a folder of .txt files."""
    folder = tmp_path_factory.mktemp("corpus")
    for i in range(30):
        lines = [f"item {i} has value {(i * j) % 97}; the next is {(i * j + 1) % 97}." for j in range(400)]
        (folder / f"{i:02d}.txt").write_text("\n".join(lines))
    return folder


@pytest.fixture
def tiny_study(tiny_corpus: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Overrides of a study of two sizes and two budgets that trains in about a second."""
    cache = tmp_path_factory.getbasetemp() / "cache"
    return [
        "name=tiny",
        "question=Does it run?",
        f"runs={tmp_path / 'runs'}",
        f"cache={cache}",
        "tracking=off",
        "workers=1",
        "data=text",
        f"data.paths=[{tiny_corpus}/*.txt]",
        "data.vocab=256",
        "data.context=32",
        "data.heldout_fraction=0.2",
        "model.params=5e3,8e3",
        "budget.tokens=[2e3,5e3]",
        "training.sequences=4",
        "training.warmup_steps=3",
        "training.threads=1",
        "training.precision=float32",
        "training.evaluation_tokens=2048",
        "training.curve_evaluations=3",
        "training.curve_tokens=1024",
    ]


@pytest.fixture
def trained_steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Every step that is trained in this process."""
    from scaling.training.state import LocalState

    found: list[int] = []
    train_step = LocalState.train_step

    def counting(self: LocalState, *arguments: Any) -> Any:
        found.append(self.step)
        return train_step(self, *arguments)

    monkeypatch.setattr(LocalState, "train_step", counting)
    return found


@pytest.fixture
def untimed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No step is timed and no model counted before a study trains: that takes longer than its few steps."""
    from scaling.launch import estimate
    from scaling.training import train
    from scaling.training.throughput import StepTime

    monkeypatch.setattr(
        estimate, "time_steps", lambda trunks, *_: ([StepTime(0.01, 0.01, 0.01)] * len(trunks), None)
    )
    monkeypatch.setattr(train, "check_counts", lambda *_: None)


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps are timed as on a machine that nobody else wants; other tests run beside these."""
    quiet_machine(monkeypatch)


def quiet_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the fixture, for those that live longer than a test."""
    monkeypatch.setattr(os, "getloadavg", lambda: (0.5, 0.5, 0.5))
    monkeypatch.setattr("scaling.training.throughput.OURS", 0.0)


@pytest.fixture
def svg_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports render each figure once, not as PNG and PDF too."""
    from analysis.report import write
    from analysis.report.style import save

    monkeypatch.setattr(write, "save", partial(save, kinds=("svg",)))


@pytest.fixture
def unrendered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports make every figure and render none."""
    from analysis.report import write

    monkeypatch.setattr(write, "save", lambda _: {"svg": b'<svg viewBox="0 0 1 1"></svg>'})


HYDRA = "test_hydra_habits.py"  # where what Hydra does is tested
APART = ("analysis", "study", "chaos")  # where fits, plans and processes themselves are


@pytest.fixture(autouse=True)
def quick(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where neither the fits are tested, which have tests/analysis, nor how a study is composed."""
    if request.path.relative_to(Path(__file__).parent).parts[0] in APART:
        return
    if request.path.name != HYDRA:
        from tests.composed import remembered

        monkeypatch.setattr("scaling.study.compose.compose", remembered)
    for name in ("coarse_grid", "few_choices", "svg_alone"):
        request.getfixturevalue(name)


@pytest.fixture
def coarse_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fits start from the coarse grid of replicates: the commands are tested, not the search."""
    from analysis.fitting.recipe import Recipe

    form = Recipe.form

    def coarse(recipe: Any, data: Any) -> Any:
        found = form(recipe, data)
        starts = found.starts
        found.starts = lambda weights, log_loss, thorough: starts(weights, log_loss, False)  # type: ignore[method-assign]
        return found

    monkeypatch.setattr(Recipe, "form", coarse)


@pytest.fixture
def few_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    """A report refits a law under a few other choices only, and its lack of fit is known coarsely."""
    from analysis.fitting import sensitivity
    from analysis.forecast import findings

    monkeypatch.setattr(findings, "SAMPLES", {})  # LEAST_SAMPLES of any number of runs
    monkeypatch.setattr(sensitivity, "TRUNKS", 1)
    monkeypatch.setattr(findings, "sensitivity", partial(sensitivity.sensitivity, dropped=(), burn_in=()))


@pytest.fixture
def fitted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands on one table print, profile, plot and forecast by the same fits."""
    from analysis.fitting.profile import profile
    from analysis.forecast import predict
    from analysis.forecast.findings import fit_study
    from experiments.commands import fit, source

    made: dict[str, Any] = {}

    def once(function: Callable[..., Any], key: Callable[..., str]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            name = f"{function.__name__} {key(*arguments)}"
            if name not in made:
                made[name] = function(*arguments)
            return made[name]

        return call

    def of_table(table: Any, asked: Any) -> str:
        return f"{table.data_hash} {asked}"

    def of_runs(runs: Any, *rest: Any) -> str:
        return f"{[x.tolist() for x in (runs.loss, *runs.inputs.values())]} {rest}"

    monkeypatch.setattr(source, "fit_study", once(fit_study, of_table))
    monkeypatch.setattr(fit, "profile", once(profile, lambda fit, name: f"{id(fit)} {name}"))
    monkeypatch.setattr(predict, "fit_basis", once(predict.fit_basis, of_runs))
