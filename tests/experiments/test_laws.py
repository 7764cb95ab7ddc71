"""Every registered law through every command that takes one; and refused by name where inputs are missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.fitting.runs import called
from analysis.laws import law_named, law_names
from analysis.laws.law import Array
from experiments.cli import main
from tests.analysis.laws.test_derivatives import CASES

FAST = ["--resamples", "20"]


def write_table(path: Path, law: str, drop: str = "") -> dict[str, Array]:
    """Runs of a law with half a per cent of noise, one row each, without the column `drop`."""
    truth, inputs = CASES[law]
    loss = truth.sample(np.random.default_rng(0), relative_noise=0.005, **inputs)
    columns = {called(name): x for name, x in inputs.items()}
    table = pd.DataFrame({**columns, "loss": loss, "run_id": [f"r{i}" for i in range(len(loss))]})
    table.drop(columns=[drop] if drop else []).to_csv(path, index=False)
    return inputs


def question(inputs: dict[str, Array], times: float = 3.0) -> list[str]:
    """The arguments of a forecast at inputs beyond the largest."""
    at = {name: times * float(np.max(x)) for name, x in inputs.items()}
    words = []
    both = {"N", "D"} <= set(at)
    if both:
        words += ["--params", repr(at["N"]), "--tokens", repr(at["D"])]
    if "C" in at:
        words += ["--compute", repr(at["C"])]
    if others := [f"{called(n)}={v!r}" for n, v in at.items() if n != "C" and not (both and n in "ND")]:
        words += ["--at", *others]
    return words


def mapped(law: str) -> list[str]:
    """How a table is read whose law has inputs of its own, and no tokens."""
    inputs = law_named(law).inputs
    own = [f"{name}={name}" for name in inputs if called(name) == name and name != "x"]
    return ["--columns", *own] if own and "D" not in inputs else []


HEAVY = ("farseer", "overfit", "rate_batch", "distillation", "precision")  # long searches, and the same path
RENDERED = {law_names(law_named(law).inputs)[0] for law in law_names()}  # of laws of the same inputs, one
RENDERED -= {"chinchilla", "frontier", "power"}  # tests/analysis/report renders theirs
# Several seconds for each fit, profile, report and forecast, on the same path.
WIDE = ("repeated", "sparse", "experts", "vocabulary", "mixture", "kaplan_floor")


def laws(slow: tuple[str, ...]) -> list[Any]:
    return [pytest.param(law, marks=pytest.mark.slow if law in slow else ()) for law in law_names()]


LAWS = laws(HEAVY + WIDE)


def test_every_law_has_a_case() -> None:
    assert set(CASES) == set(law_names())


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.usefixtures("fitted_once")
def test_fit_profile_json_and_report(
    law: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue("svg_alone" if law in RENDERED else "unrendered")
    write_table(tmp_path / "t.csv", law)
    arguments = [str(tmp_path / "t.csv"), "--law", law, *mapped(law), *FAST]
    name = next(name for name in CASES[law][0].parameters if name in readable(law))
    assert main(["fit", *arguments, "--profile", name]) == 0
    out = capsys.readouterr().out
    assert f"{law} law of L(" in out
    assert "interval by its profile" in out or "is not identified" in out
    assert main(["fit", *arguments, "--profile", name, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    (part,) = printed["parts"].values()
    (found,) = part["laws"]
    assert found["law"] == law
    assert found["rms"] < 0.02
    assert set(found["parameters"]) == set(CASES[law][0].parameters)
    (profile,) = printed["profiles"]
    assert (profile["law"], profile["parameter"]) == (law, name)
    assert len(profile["statistic"]) > 20
    assert main(["report", *arguments, "--out", str(tmp_path / "report")]) == 0
    page = (tmp_path / "report" / "index.html").read_text()
    assert law_named(law).formula.split(",")[0].replace("'", "&#39;") in page.replace("&#x27;", "&#39;")


def readable(law: str) -> set[str]:
    """Parameters that can be pinned."""
    from analysis.laws.form import Data, Pins

    truth, inputs = CASES[law]
    return set(law_named(law).form(Data.of(dict(inputs), truth(**inputs)), Pins()).readouts)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.usefixtures("fitted_once")
def test_forecast_register_and_score(law: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, file = tmp_path / "t.csv", tmp_path / "forecast.json"
    inputs = write_table(path, law)
    asked = ["forecast", str(path), "--law", law, *mapped(law), *question(inputs), *FAST]
    assert main([*asked, "--register", str(file)]) == 0
    assert f"values by {law}; intervals by {law} 1.00" in capsys.readouterr().out
    assert main([*asked, "--json"]) == 0
    (part,) = json.loads(capsys.readouterr().out)["parts"].values()
    forecast = part["forecast"]
    assert forecast["run"][0] < forecast["loss"]["value"] < forecast["run"][1]
    at = {name: 3.0 * float(np.max(x)) for name, x in inputs.items()}
    new = {called(n): v for n, v in at.items()} | {"loss": float(CASES[law][0](**at)), "run_id": "new"}
    pd.concat([pd.read_csv(path), pd.DataFrame([new])]).to_csv(path, index=False)
    assert main(["forecast", str(path), *mapped(law), "--score", str(file), "--json"]) == 0
    (scored,) = json.loads(capsys.readouterr().out)
    assert scored["run_id"] == "new"
    assert abs(scored["error"]) < 0.2


def pairs() -> list[tuple[str, str]]:
    """Each law with another of its inputs; laws of a curve are chosen among, not weighed."""
    found = set()
    for law in law_names():
        others = [name for name in law_names(law_named(law).inputs) if name != law]
        if others and law_named(law).inputs != ("x",):
            found.add((min(law, others[0]), max(law, others[0])))
    return sorted(found)


PAIRS = [pytest.param(pair, marks=pytest.mark.slow if {*pair} & {*HEAVY, *WIDE} else ()) for pair in pairs()]


@pytest.mark.parametrize("laws", PAIRS, ids="-".join)
def test_ensemble(laws: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inputs = write_table(tmp_path / "t.csv", laws[0])
    words = [word for law in laws for word in ("--law", law)]
    asked = [str(tmp_path / "t.csv"), *words, *mapped(laws[0]), *question(inputs), *FAST]
    assert main(["forecast", *asked, "--json"]) == 0
    (part,) = json.loads(capsys.readouterr().out)["parts"].values()
    assert set(part["forecast"]["weights"]) == set(laws)


@pytest.mark.parametrize("law", law_names())
def test_what_the_table_lacks_is_named(law: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On a table of another kind, the law is refused and what is missing is named with the way to map it."""
    inputs = law_named(law).inputs
    write_table(tmp_path / "t.csv", "power" if "N" in inputs else "chinchilla")
    missing = [called(name) for name in inputs if "C" not in inputs]
    if not missing:
        pytest.skip("compute follows from params and tokens")
    assert main(["fit", str(tmp_path / "t.csv"), "--law", law, *FAST]) == 1
    assert f"{law}: the table has no {missing[0]}" in " ".join(capsys.readouterr().out.split())
    assert main(["forecast", str(tmp_path / "t.csv"), "--law", law, "--at", "x=5", *FAST]) == 2
    assert f"the table has no {missing[0]}" in capsys.readouterr().err


def test_a_law_that_does_not_exist_is_named_with_the_nearest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_table(tmp_path / "t.csv", "chinchilla")
    assert main(["fit", str(tmp_path / "t.csv"), "--law", "chinchila"]) == 2
    assert "Did you mean 'chinchilla'?" in capsys.readouterr().err


# How parameters are held does not depend on the law.
@pytest.mark.parametrize("law", LAWS)
def test_every_parameter_that_can_be_read_can_be_pinned(law: str, tmp_path: Path) -> None:
    """Pinning a parameter where the fit has it already changes nothing; where it has not, costs something."""
    from analysis.fitting.bootstrap.replicates import Bootstrap
    from analysis.fitting.fit import fit_runs
    from analysis.fitting.losses import Robust
    from analysis.fitting.recipe import Recipe
    from analysis.fitting.runs import Runs

    truth, inputs = CASES[law]
    runs = Runs.of(inputs, truth.sample(np.random.default_rng(0), relative_noise=0.005, **inputs))
    recipe, alone = Recipe(law, Robust("squared")), Bootstrap(resamples=0)
    free = fit_runs(runs, recipe, alone)
    form = free.form_of_law
    theta = free.form.full(free.theta[None])
    names = list(form.readouts)
    for name in names if len(names) < 8 else names[::3]:  # of nine alike, which take long, three
        value = float(form.read(form.readouts[name], theta)[0])
        held = fit_runs(runs, recipe.holding(name, value), alone)
        assert held.objective == pytest.approx(free.objective, rel=1e-4), name
        assert len(held.theta) == len(free.theta) - 1


def write_recipes(path: Path) -> None:
    """The README's study: does a smaller weight decay change the exponent? Rates follow a rule of size."""
    N, D, decay = (
        v.ravel() for v in np.meshgrid([1e6, 3e6, 1e7, 3e7, 1e8], [1e8, 3e8, 1e9, 3e9], [0.01, 0.1])
    )
    loss = 1.7 + 400 * N ** -np.where(decay < 0.05, 0.30, 0.36) + 900 * D**-0.33
    rows = {"params": N, "tokens": D, "weight_decay": decay, "learning_rate": 0.5 * N**-0.3, "loss": loss}
    noise = np.exp(0.001 * np.random.default_rng(0).standard_normal(len(N)))
    pd.DataFrame(rows).assign(
        loss=loss * noise, optimizer="adamw", run_id=[f"r{i}" for i in range(len(N))]
    ).to_csv(path)


def test_two_recipes_get_two_laws_and_the_question_an_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_recipes(tmp_path / "t.csv")
    asked = ["fit", str(tmp_path / "t.csv"), "--law", "chinchilla", *FAST]
    assert main([*asked, "--json"]) == 0
    parts = json.loads(capsys.readouterr().out)["parts"]
    alpha = {label: part["laws"][0]["parameters"]["alpha"]["value"] for label, part in parts.items()}
    assert alpha == {
        "weight_decay 0.01": pytest.approx(0.30, abs=0.02),
        "weight_decay 0.1": pytest.approx(0.36, abs=0.02),
    }
    assert main(asked) == 0
    out = capsys.readouterr().out
    assert "2 arms by weight_decay" in out
    assert "learning_rate (" in out, "what was found and not used is said"
    assert main([*asked, "--by", "optimizer"]) == 0
    assert "pooled, as you asked: weight_decay" in capsys.readouterr().out
    assert main([*asked, "--by", "precision"]) == 2
    assert "'precision' is not a column" in capsys.readouterr().err
    assert main(["forecast", *asked[1:], "--params", "1e9", "--tokens", "1e10"]) == 0
    assert capsys.readouterr().out.count("one new run") == 2
