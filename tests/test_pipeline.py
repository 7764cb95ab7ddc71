"""YAML → plan → records → fit → report, as a person runs it, and what it says when something is wrong."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path

import pytest

from analysis.report import write
from analysis.report.style import save
from experiments.cli import main
from scaling.records.record import read_study
from tests.conftest import quiet_machine
from tests.records.offline_log import read_offline


def say(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of `scaling …`."""
    code = main(list(words))
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture(scope="module")
def finished(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path]:
    """A study of six trunks and eighteen runs, trained."""
    runs = tmp_path_factory.mktemp("runs")
    overrides = [
        *("name=tiny", "question=Does the pipeline work?", f"runs={runs}", f"cache={runs}/cache"),
        *("tracking=off", "workers=1", "data=text", f"data.paths=[{tiny_corpus}/*.txt]", "data.vocab=256"),
        *("data.context=32", "data.heldout_fraction=0.2", "model.params=5e3,6.2e3,8e3,1e4,1.4e4,2e4"),
        *("budget.tokens=[2e3,4e3,8e3]", "training.sequences=4", "training.warmup_steps=4"),
        *("training.threads=1", "training.precision=float32", "training.evaluation_tokens=8192"),
        *("training.curve_evaluations=4", "training.curve_tokens=2048"),
    ]
    with pytest.MonkeyPatch.context() as patch:
        quiet_machine(patch)  # else the times of steps are not kept
        assert main(["run", *overrides]) == 0
    return overrides, runs / "tiny"


def test_a_second_study_takes_over_what_the_first_has_trained(
    finished: tuple[list[str], Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides, folder = finished
    part = [*overrides, "name=part", "model.params=5e3,8e3", "budget.tokens=[2e3,8e3]"]
    monkeypatch.setattr("scaling.training.state.LocalState.train_step", None)  # what would train, fails
    monkeypatch.setattr("scaling.training.throughput.find_crowd", lambda: None)  # or a step is timed again
    code, out, _ = say(capsys, "plan", *part)
    assert code == 0
    headline = r"part: [\d.e+]+ FLOP in all, about 0\.0 s \(.*\) for what is left: 4 runs on 2 trunks\n"
    assert re.match(headline, out)
    assert "shared with study tiny: 4 of 4 runs\n" in out
    assert "shared with study" not in say(capsys, "plan", *part, "reuse=false")[1]
    code, out, _ = say(capsys, "plan", *part, "--json")
    assert {row["shared"] for row in json.loads(out)["runs"]} == {"tiny"}
    code, out, _ = say(capsys, "run", *part)
    assert code == 0
    assert "(from study tiny)" in out
    assert "reused from study tiny: 4 runs" in out
    assert {r.study for r in read_study(folder.with_name("part")).done} == {"tiny"}


@pytest.mark.usefixtures("fitted_once")
def test_from_yaml_to_report(
    finished: tuple[list[str], Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(write, "save", partial(save, kinds=("png", "svg")))  # W&B takes PNG
    _, folder = finished
    study = read_study(folder)
    assert (len(study.done), study.missing, study.damaged) == (18, (), {})
    assert len({record.trunk_id for record in study.records}) == 6

    code, out, _ = say(capsys, "status", str(folder))
    assert code == 0
    assert "18 done, 0 diverged, 0 failed, 0 missing of 18 planned" in out

    code, out, _ = say(capsys, "fit", str(folder), "--resamples", "20")
    assert code == 0
    assert "L(N, D) on 18 runs (6 trunks)" in out
    assert "18 used\n" in out
    assert "forecast" in out

    code, out, _ = say(capsys, "fit", str(folder), "--resamples", "20", "--json")
    said = json.loads(out)
    assert said["counts"]["used"] == 18
    laws = said["parts"]["decoder"]["laws"]
    assert {law["law"] for law in laws} == {"chinchilla", "coupled", "gadre"}
    assert all(law["parameters"].keys() >= {"E"} for law in laws)

    asked = ("--resamples", "20", "--out", str(tmp_path / "report"), "--wandb", "offline")
    code, out, err = say(capsys, "report", str(folder), *asked)
    assert f"W&B: wandb sync {folder}/wandb/offline-run-*" in out
    assert "W&B" not in err
    fit = read_offline(folder)["fit-tiny"]
    assert (fit.job_type, fit.project, fit.group, fit.exit_code) == ("fit", "scaling", "tiny", 0)
    law = fit.summary["law"]
    assert fit.summary[f"{law}/E_low"] <= fit.summary[f"{law}/E"] <= fit.summary[f"{law}/E_high"]
    shown = {name.rpartition("/")[0] for row in fit.rows for name in row}
    assert {"runs", "forecasts"} <= shown
    assert len([name for name in shown if name.startswith("figures/")]) >= 6
    assert "report-tiny" in fit.artifacts
    assert code == 0
    page = (tmp_path / "report" / "index.html").read_text()
    assert "Does the pipeline work?" in page
    assert len(list((tmp_path / "report" / "figures").glob("*.svg"))) >= 6
    assert {p.name for p in (tmp_path / "report").iterdir()} >= {"report.md", "tables.tex", "runs.csv"}


def test_a_finished_study_does_nothing_and_says_so(
    finished: tuple[list[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    overrides, folder = finished
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*/**/*")}
    code, out, _ = say(capsys, "run", *overrides)
    assert code == 0
    assert "all 18 runs are done already; nothing to train" in out
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*/**/*")} == before


def test_a_plan_shows_every_run_and_trains_nothing(
    tiny_study: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, out, _ = say(capsys, "plan", *tiny_study)
    assert code == 0
    assert "4 runs on 2 trunks" in out
    assert "D/N" in out
    assert not (tmp_path / "runs").exists()
    code, out, _ = say(capsys, "plan", *tiny_study, "--json")
    rows = json.loads(out)["runs"]
    assert len(rows) == 4
    assert all(row["step_seconds"] > 0 and row["device"] == "cpu" for row in rows)


def test_a_damaged_record_enters_no_fit_and_is_trained_again(
    finished: tuple[list[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    overrides, folder = finished
    path = next(folder.glob("*/*/record.json"))
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"loss"', b'"lost"'))
    code, out, _ = say(capsys, "status", str(folder))
    assert "17 done" in out
    assert "damaged" in out
    assert "sha256" in out
    code, out, _ = say(capsys, "fit", str(folder), "--resamples", "0")
    assert "17 used, 1 set aside" in out
    code, out, _ = say(capsys, "run", *overrides)
    assert code == 0
    losses = [json.loads(data)["loss"] for data in (whole, path.read_bytes())]
    assert losses[0] == losses[1]


def test_a_divergent_run_is_listed_and_fitted_by_nobody(
    tiny_study: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, out, _ = say(capsys, "run", *tiny_study, "training.learning_rate=1e30", "training.clip=1e30")
    assert code == 0
    assert "0 done, 4 diverged, 0 failed, 0 missing of 4 planned" in out
    assert "at step" in out
    code, _, err = say(capsys, "fit", str(tmp_path / "runs" / "tiny"))
    assert code == 2
    assert "diverged" in err


def test_fewer_runs_than_parameters_is_refused_by_name(
    tiny_study: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert say(capsys, "run", *tiny_study)[0] == 0
    code, out, _ = say(capsys, "fit", str(tmp_path / "runs" / "tiny"), "--law", "chinchilla")
    assert code == 1
    assert "fewer runs than the law has parameters: 4 runs, 5 parameters" in out


def test_a_bad_job_among_good_ones_stops_before_anything_trains(
    tiny_study: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, _, err = say(capsys, "run", *tiny_study, "model.params=3e3,5e3")
    assert code == 2
    assert "1 of 2 jobs cannot be decided; nothing was trained." in err
    assert not (tmp_path / "runs").exists()


def test_an_unwritable_runs_folder_is_named(
    tiny_study: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a folder")
    code, _, err = say(capsys, "run", *tiny_study, f"runs={tmp_path}/file")
    assert code == 2
    assert f"runs folder {tmp_path}/file/tiny cannot be written" in err
    assert "runs=FOLDER" in err


def test_a_trunk_that_fails_does_not_stop_the_others(
    tiny_study: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scaling.training import segment

    original = segment.save_checkpoint

    def full_for_the_first(folder: Path, *rest: object) -> object:
        if "14x2" in str(folder):
            raise OSError(28, "No space left on device")
        return original(folder, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(segment, "save_checkpoint", full_for_the_first)
    code, out, _ = say(capsys, "run", *tiny_study)
    assert code == 1
    assert "2 done, 0 diverged, 2 failed, 0 missing of 4 planned" in out
    assert "enospc" in out
    assert "No space left on device" in out
    monkeypatch.undo()
    code, out, _ = say(capsys, "run", *tiny_study)
    assert code == 0
    assert "4 done, 0 diverged, 0 failed" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["status", "/nowhere"], "/nowhere: no such runs folder"),
        (["fit", "/nowhere"], "/nowhere"),
        (["report", "/nowhere"], "/nowhere"),
        (["run", "study=nope"], "study=nope: there is no nope"),
    ],
)
def test_expected_errors_are_one_message(
    capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    code, _, err = say(capsys, *words)
    assert code == 2
    assert err.startswith(f"scaling {words[0]}: ")
    assert message in err


def test_a_study_with_no_finished_run_cannot_be_fitted(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    plan = {"study": "empty", "schema": 1, "runs": [{"run_id": "a", "trunk_id": "t"}]}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    code, out, _ = say(capsys, "status", str(tmp_path))
    assert "0 done, 0 diverged, 0 failed, 1 missing of 1 planned" in out
    code, _, err = say(capsys, "fit", str(tmp_path))
    assert code == 2
    assert "no" in err
    assert "missing" in err


def test_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = say(capsys, "fitt")
    assert code == 2
    assert err == "scaling: unknown command 'fitt'. Did you mean scaling fit?\n"
    code, _, err = say(capsys, "frobnicate")
    assert code == 2
    assert "unknown command 'frobnicate'" in err
    assert "usage: scaling" in err


def test_a_time_limit_saves_and_the_same_command_goes_on(
    tiny_study: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long = [*tiny_study, "model.params=5e3", "budget.tokens=[6e4]"]
    assert main(["run", *long, "max_hours=1e-5"]) == 1
    assert "reached max_hours=1e-05; progress is saved." in capsys.readouterr().out
    assert not read_study(tmp_path / "runs" / "tiny").records
    assert main(["run", *long]) == 0
    (record,) = read_study(tmp_path / "runs" / "tiny").records
    assert record.attempts == 2


def test_limited_data_are_repeated_and_judged_on_the_same_text(tiny_study: list[str], tmp_path: Path) -> None:
    assert main(["run", *tiny_study, "data.train_tokens=null,2000", "model.params=5e3"]) == 0
    whole, limited = sorted(
        (r for r in read_study(tmp_path / "runs" / "tiny").records if r.tokens > 4000),
        key=lambda r: r.epochs,
    )
    assert whole.tokens == limited.tokens
    assert whole.tokens_unique == whole.tokens
    assert limited.tokens_unique == 1999 // 32 * 32
    assert limited.epochs == pytest.approx(limited.tokens / limited.tokens_unique)
    assert limited.data_fingerprint == whole.data_fingerprint


def test_a_study_names_its_tasks(
    tiny_study: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    questions = tmp_path / "mine.jsonl"
    rows = [{"prompt": "item 3 has", "choices": [" value", " q#!"], "answer": 0} for _ in range(8)]
    questions.write_text("\n".join(map(json.dumps, rows)))
    one = [*tiny_study, "model.params=5e3", "budget.tokens=[2e3]"]
    assert main(["run", *one, f"tasks=[mine:{questions}]"]) == 0
    assert "by chance: mine 0.5 of 8" in capsys.readouterr().out
    assert main(["run", *one, "tasks=[juggling]"]) == 2
    assert "juggling" in capsys.readouterr().err
