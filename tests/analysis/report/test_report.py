"""The written report: what it must say, that it is safe to open, and that it is the same bytes each time."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import re
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.fitting.bootstrap.replicates import Bootstrap
from analysis.fitting.checks import FitWarning
from analysis.fitting.fit import FitError
from analysis.fitting.runs import Runs
from analysis.forecast.advise import advise_runs
from analysis.forecast.findings import Findings, Question, fit_study
from analysis.report import write
from analysis.report.checklist import checklist
from analysis.report.content import count, known, unknown, warnings_of
from analysis.report.formats import (
    Table,
    escape_latex,
    escape_markdown,
    plain_text,
    to_csv,
    to_latex,
    to_markdown,
)
from analysis.report.gallery import draw_all
from analysis.report.interactive import script
from analysis.report.style import save, styled
from analysis.report.write import write_report
from analysis.table import RunTable, SetAside, load_runs
from experiments.cli import main
from tests.analysis.synthetic import write_study

FIGURES = {
    *("reducible-loss", "contours"),
    *("forecast", "loss-vs-flops", "loss-vs-params", "loss-vs-tokens", "isoflop", "approaches", "parameters"),
    *(
        "residuals-vs-params",
        "residuals-vs-tokens",
        "residuals-vs-fitted",
        "curves-vs-tokens",
        "curves-vs-flops",
    ),
}
QUESTION = "How far does the law of the small runs reach?"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "demo"
    write_study(folder, diverged=1, missing=1, curves=True)
    damaged = folder / "decoder-w16" / "decoder-w16-d100000" / "record.json"
    damaged.write_bytes(damaged.read_bytes()[:-9])
    return folder


@pytest.fixture(scope="module")
def findings(study: Path) -> dict[str, Findings]:
    return fit_study(load_runs(study), Question(bootstrap=Bootstrap(resamples=60)))


@pytest.fixture(scope="module")
def written(
    study: Path, findings: dict[str, Findings], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    return write_report(study, findings, tmp_path_factory.mktemp("out"))


@pytest.fixture(scope="module")
def page(written: dict[str, Path]) -> str:
    return written["index.html"].read_text().replace("\u00a0", " ")


def test_every_file_is_there(written: dict[str, Path]) -> None:
    assert {name for name in written if name.startswith("figures/")} == {
        f"figures/{name}.{kind}" for name in FIGURES for kind in ("png", "pdf", "svg")
    }
    texts = {
        "index.html",
        "approaches.csv",
        "sensitivity.csv",
        "report.md",
        "answer.json",
        "tables.tex",
        "runs.csv",
        "forecast.csv",
        "parameters.csv",
        "fits.csv",
    }
    assert texts | {"optimum.csv", "counts.csv", "quarantine.csv"} == {
        n for n in written if "/" not in n and n != "next.csv"
    }
    heads = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}
    for name, path in written.items():
        assert path.read_bytes().startswith(heads.get(name.rpartition(".")[2], b"")), name
        assert path.stat().st_size > 0


@pytest.mark.slow
def test_another_process_writes_the_same_bytes(study: Path, written: dict[str, Path], tmp_path: Path) -> None:
    """Another hash seed and folder, fits and all; and nothing heavy or with a global state is imported."""
    code = (
        "import sys\n"
        "from analysis.fitting.bootstrap.replicates import Bootstrap\n"
        "from analysis.forecast.findings import Question, fit_study\n"
        "from analysis.report.write import write_report\n"
        "from analysis.table import load_runs\n"
        "question = Question(bootstrap=Bootstrap(resamples=60))\n"
        "write_report(sys.argv[1], fit_study(load_runs(sys.argv[1]), question), 'out')\n"
        "assert not {'matplotlib.pyplot', 'torch', 'wandb', 'hydra'} & set(sys.modules)\n"
    )
    environment = os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-W", "error", "-c", code, str(study)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    again = {name: (tmp_path / "out" / name).read_bytes() for name in written}
    assert [name for name, path in written.items() if path.read_bytes() != again[name]] == []


def test_the_page_opens_with_the_answer_and_then_what_is_not_known(page: str) -> None:
    order = [
        QUESTION,
        'class="answer"',
        "of smaller compute",
        "<math",
        "What to train",
        "<table",
        "How sure",
        "What is not known",
        "Nothing was measured above",
        "warnings</span></a>",
    ]
    places = [page.index(text) for text in order]
    assert places == sorted(places)
    assert re.search(r"predicted the loss of\s+the 7 runs of largest compute \(up to [0-9.]+ times", page)


def test_the_page_states_data_counts_and_conventions(page: str, study: Path) -> None:
    for text in (
        "python_source",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "<b>27</b><span>used",
        "<b>1</b><span>set aside",
        "<b>1</b><span>diverged",
        "<b>1</b><span>missing",
        "decoder-w16/decoder-w16-d100000/record.json",
        "not JSON",
        "diverged: loss is NaN at step 120",
        "non-embedding parameters (Kaplan et al. 2020)",
        "N with all parameters (Hoffmann et al. 2022)",
        "counted C over 6 N D",
        "nats per predicted token",
        load_runs(study).data_hash,
    ):
        assert text in page, text


def test_every_warning_of_every_fit_is_in_the_page(page: str, findings: dict[str, Findings]) -> None:
    part = findings["decoder"]
    fits = [*part.fits, *(f.fit for f in part.forecasts), *(s.fit for s in part.slices)]
    messages = [warning.message for fit in fits for warning in fit.warnings]
    assert messages, "the one-trunk slice alone must raise one"
    listed = page[page.index('<h2 id="warnings">') : page.index("<h2>Runs and data")].replace("&#39;", "'")
    for message in messages:
        assert listed.count(message) == 1, "a message that several fits share stands once"


def test_the_page_is_self_contained(page: str) -> None:
    assert not re.search(r"""\bsrc=|<link|<img|@import|url\([^#]|href="[^#]""", page)
    assert set(re.findall(r"https?://[^\"' ]+", page)) == {"http://www.w3.org/2000/svg"}, "a name, no address"
    assert page.count("<script") == 2
    digest = base64.b64encode(hashlib.sha256(script().encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in page
    assert f"<script>{script()}</script>" in page
    assert page.count('<svg role="img"') == len(FIGURES)
    assert page.count('aria-label=""') == 0
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page


def test_the_other_formats_hold_the_same_numbers(
    written: dict[str, Path], findings: dict[str, Findings]
) -> None:
    fit = findings["decoder"].fits[0]
    parameters = pd.read_csv(written["parameters.csv"])
    row = parameters[(parameters["law"] == fit.name) & (parameters["parameter"] == "alpha")].iloc[0]
    assert row["value"] == fit.law.parameters["alpha"]
    assert (row["low"], row["high"]) == fit.interval(lambda law: law.parameters["alpha"])
    forecast = pd.read_csv(written["forecast.csv"])
    assert len(forecast) == sum(len(f.table) for f in findings["decoder"].forecasts)
    assert f"{fit.law.parameters['alpha']:#.4g}" in written["report.md"].read_text()
    latex = written["tables.tex"].read_text()
    assert f"{fit.law.parameters['alpha']:#.4g}" in latex
    assert latex.count(r"\toprule") == latex.count(r"\bottomrule") == latex.count(r"\begin{table}") >= 8
    assert len(pd.read_csv(written["runs.csv"])) == 27


def test_markdown_names_figures_that_exist(written: dict[str, Path]) -> None:
    text = written["report.md"].read_text()
    named = re.findall(r"\]\((figures/[a-z-]+\.png)\)", text)
    assert sorted(named) == sorted(n for n in written if n.endswith(".png"))


HOSTILE = "<img src=x onerror=alert(1)>\"'&{{7*7}}|`$\\frac$`\\input{/etc/passwd}"


@pytest.fixture
def svg_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw every figure, in one format: half of the time of a report is its other two."""
    monkeypatch.setattr(write, "save", partial(save, kinds=("svg",)))


@pytest.mark.usefixtures("svg_alone")
def test_hostile_names_stay_text(study: Path, tmp_path: Path) -> None:
    table = load_runs(study)
    names = [f"=cmd{i}" for i in range(len(table))]
    table = replace(
        table,
        rows=table.rows.assign(family=HOSTILE, data=f"../{HOSTILE}", run_id=names),
        study=HOSTILE,
        set_aside=(SetAside(HOSTILE, HOSTILE),),
        notes=(HOSTILE,),
    )
    findings = fit_study(table, Question(("chinchilla",), bootstrap=Bootstrap(resamples=0)))
    out = tmp_path / "out"
    written = write_report(table, findings, out, question=HOSTILE)
    page = written["index.html"].read_text()
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "{{7*7}}" in page, "text is never a template"
    assert "<img src=x" not in written["report.md"].read_text()
    assert r"\input{" not in written["tables.tex"].read_text()
    assert "\n=cmd" not in written["runs.csv"].read_text()
    assert "'=cmd0" in written["runs.csv"].read_text()
    outside = [p for p in tmp_path.rglob("*") if p.is_file() and not p.is_relative_to(out)]
    assert outside == []


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_text_that_a_spreadsheet_would_run(text: str) -> None:
    assert plain_text(text) == f"'{text}"
    assert to_csv([text], [[text, -1.5, 3, None, True, float("nan")]]).count(f"'{text[:1]}") == 2


def test_a_carriage_return_in_csv_begins_no_row() -> None:
    text = "name\r=1+1"
    assert list(csv.reader(io.StringIO(to_csv(["x"], [[text]]), newline=""))) == [["x"], [text]]


def test_numbers_in_csv_are_in_full_and_unchanged() -> None:
    assert (
        to_csv(["a", "b", "c"], [[-0.1, 10**15, 1 / 3]])
        == "a,b,c\n-0.1,1000000000000000,0.3333333333333333\n"
    )


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("50 % of a_b & #1", r"50 \% of a\_b \& \#1"),
        ("a\\b{c}", r"a\textbackslash{}b\{c\}"),
        ("~^", r"\textasciitilde{}\textasciicircum{}"),
    ],
)
def test_latex_escapes(text: str, latex: str) -> None:
    assert escape_latex(text) == latex


def test_markdown_escapes() -> None:
    assert escape_markdown("a|b\n*c* <i> [x](y)") == r"a\|b \*c\* &lt;i&gt; \[x\](y)"


def test_a_table_in_each_format() -> None:
    table = Table(
        "t",
        "Two runs",
        ("name", "N", "error %", "inside"),
        (("a", 20_000, -0.123, True), ("b", 1.6e6, None, False)),
    )
    assert to_markdown(table).splitlines()[2:] == [
        "| name | N | error % | inside |",
        "|:--|--:|--:|:--|",
        r"| a | 20k | -0.12 | yes |",
        "| b | 1.6M | – | no |",
    ]
    assert r"a & 20k & -0.12 & yes \\" in to_latex(table)
    assert r"\begin{tabular}{lrrl}" in to_latex(table)


@pytest.mark.usefixtures("svg_alone")
def test_too_few_runs_make_a_report_that_says_so(study: Path, tmp_path: Path) -> None:
    table = load_runs(study)
    few = table.take(np.arange(3))
    findings = fit_study(few, Question(bootstrap=Bootstrap(resamples=20)))
    assert findings["decoder"].fits == ()
    assert "fewer runs than the law has parameters" in findings["decoder"].refusals[0]
    page = write_report(few, findings, tmp_path)["index.html"].read_text()
    assert "No law could be fitted" in page
    assert "fewer runs than the law has parameters" in page
    assert "No run was held out, so no forecast was tested" in page
    assert "Runs, and the best run so far." in page  # no caption speaks of a law
    assert "of the first law" not in page


def test_a_law_through_every_run_is_not_printed_unless_it_was_asked_for(study: Path) -> None:
    """`next` gives no advice by it, so `fit` and the report may not open with it."""
    few = load_runs(study).take(np.arange(4))
    findings = fit_study(few, Question(bootstrap=Bootstrap(resamples=20)))["decoder"]
    assert findings.fits == ()
    with pytest.raises(FitError, match="goes through all 4 runs: nothing is left to judge it by") as refused:
        advise_runs(Runs.of_table(few, ("N", "D")), 1e12, laws=("gadre",))
    assert any(
        refusal.endswith(str(refused.value).removeprefix("no advice: ")) for refusal in findings.refusals
    )
    asked = fit_study(few, Question(laws=("gadre",), bootstrap=Bootstrap(resamples=20)))["decoder"]
    assert [fit.name for fit in asked.fits] == ["gadre"]
    (advice,) = (refusal for refusal in findings.refusals if "hold exponents" in refusal)
    assert "scaling fit --law chinchilla --fix alpha=0.34 beta=0.28" in advice
    fixed = {"alpha": 0.34, "beta": 0.28}
    held = fit_study(few, Question(laws=("chinchilla",), fixed=fixed, bootstrap=Bootstrap(resamples=20)))
    assert not held["decoder"].fits[0].exact  # the advice leaves fewer parameters than runs


def test_an_interval_of_too_few_runs_is_not_called_known(study: Path) -> None:
    """Six runs of two trunks: a law of five parameters meets them, and every replicate meets them too."""
    rows = load_runs(study).rows
    runs = RunTable.of(rows[rows["family"] == "decoder"].sort_values(["params", "tokens"]).head(6))
    findings = fit_study(runs, Question(("chinchilla",), bootstrap=Bootstrap(resamples=20)))
    assert findings["decoder"].fits
    assert not any("best model size grows" in line for line in known(findings))
    assert any("6 runs on 2 trunks are too few" in line for line in unknown(findings))
    with styled():
        assert "forecast" not in {each.name for each in draw_all(findings, None)}


def test_best_forecast_first_and_no_interval_from_one_trunk(findings: dict[str, Findings]) -> None:
    part = findings["decoder"]
    assert [f.fit.name for f in part.forecasts] == [f.name for f in part.fits]
    assert part.ensemble is not None
    assert part.fits[0].name == part.ensemble.best.name  # the law whose values are printed
    others = [f.error for f in part.forecasts[1:]]
    assert others == sorted(others)
    slices = {s.axis: s for s in part.slices}
    assert set(slices) == {"params", "tokens", "flops"}
    assert slices["tokens"].fit.n_trunks == 1
    assert len(slices["tokens"].fit.draws) == 0
    assert len(slices["params"].fit.draws) > 0


def test_the_checklist_guesses_nothing(study: Path, findings: dict[str, Findings]) -> None:
    full = load_runs(study)
    assert all(item.stated for item in checklist(full, findings))
    named = ["run_id", "trunk_id", "family", "objective", "data_fingerprint"]
    bare = RunTable.of(full.rows[[*named, "params", "tokens", "flops", "loss"]])
    silent = {item.question for item in checklist(bare, {}) if not item.stated}
    assert {"Which shapes?", "Schedule?", "Learning rate across sizes?", "How precise is a loss?"} <= silent


def _alone(column: str, x: np.ndarray, loss: np.ndarray) -> RunTable:
    """Runs of which nothing is known but one input and the loss."""
    names = [f"run-{i}" for i in range(len(x))]
    rows = pd.DataFrame({"run_id": names, "trunk_id": names, "family": "unstated", column: x, "loss": loss})
    return RunTable.of(rows.assign(objective="unstated", data_fingerprint="unstated"))


@pytest.mark.usefixtures("svg_alone")
@pytest.mark.parametrize(
    ("column", "law"),
    [("flops", "frontier"), pytest.param("x", "power", marks=pytest.mark.slow)],  # tested against bnsl
)
def test_a_table_of_one_input_makes_a_report(column: str, law: str, tmp_path: Path) -> None:
    """Loss of compute alone, or of any x: the law with its band, its residuals, its loss beyond the runs."""
    x = np.geomspace(1e15, 1e19, 12)
    loss = (1.6 + 900 * x**-0.17) * np.exp(0.002 * np.random.default_rng(0).standard_normal(12))
    table = _alone(column, x, loss)
    findings = fit_study(table, Question((law,), bootstrap=Bootstrap(resamples=20)))
    written = write_report(table, findings, tmp_path)
    drawn = {name for name in written if name.startswith("figures/")}
    assert {f"figures/{name}.svg" for name in ("curve", f"residuals-vs-{column}", "parameters")} <= drawn
    assert not any("isoflop" in name or "loss-vs" in name for name in drawn)
    reach = pd.read_csv(written["reach.csv"])
    assert reach["at"].tolist() == pytest.approx([1e19, 1e20, 1e21])
    assert (reach["low"] <= reach["loss"]).all()
    assert (reach["loss"] <= reach["high"]).all()
    assert "optimum.csv" not in written, "a law of one input has no best size"


def test_the_command_line_may_ask_the_question(study: Path, tmp_path: Path) -> None:
    """Of a table without a study, whose page would say that none is stated."""
    load_runs(study).rows.to_csv(tmp_path / "runs.csv", index=False)
    asked = ["report", str(tmp_path / "runs.csv"), "--out", str(tmp_path / "out"), "--resamples", "20"]
    assert main([*asked, "--question", "Does it grow?"]) == 0
    page = (tmp_path / "out" / "index.html").read_text()
    assert "Does it grow?" in page
    assert "states no question" not in page


def test_a_report_of_some_runs_shows_the_curves_of_their_trunks(study: Path) -> None:
    table = load_runs(study)
    curves, _ = write._logs(table)
    few, _ = write._logs(table.take(np.arange(3)))
    assert curves is not None
    assert few is not None
    assert set(few.rows["trunk_id"]) == set(table.trunks[:3]) < set(curves.rows["trunk_id"])
    assert write._logs(RunTable.of(table.rows)) == (None, None)


def test_a_warning_of_several_fits_stands_once_with_all_of_them(findings: dict[str, Findings]) -> None:
    part = findings["decoder"]
    shared = FitWarning("far", "one run lies far from the law")
    fits = tuple(replace(fit, warnings=(shared,)) for fit in part.fits)
    twice = {"decoder": replace(part, fits=fits, forecasts=(), slices=(), refusals=())}
    table = RunTable.of(part.runs)
    (remark,) = warnings_of(table, twice)
    assert (remark.code, remark.message) == ("far", shared.message)
    assert remark.where == "; ".join(f"decoder, {fit.name}" for fit in fits)


def test_numbers_and_nouns_agree() -> None:
    assert [count(n, "run") for n in (0, 1, 2, 10_000)] == ["0 runs", "1 run", "2 runs", "10,000 runs"]
