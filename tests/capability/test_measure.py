"""From finished runs to scores beside their records: once, and as the record says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from analysis.table import load_evaluations, load_runs
from experiments.cli import main
from scaling.capability.finished import open_finished
from scaling.data.corpora import open_dataset
from scaling.records.record import read_study
from scaling.study.plan import plan_study
from scaling.training.train import train_trunk

TASK = [
    {"prompt": f"item {i} has value ", "choices": [f"{(i * 7) % 97}; the next", "}{qq##"], "answer": 0}
    for i in range(40)
]


@pytest.fixture
def study(tiny_study: list[str], tmp_path: Path) -> tuple[Path, list[str]]:
    """A trained study, and the arguments that every evaluation of it takes."""
    plan = plan_study(tiny_study)
    dataset = open_dataset(plan.trunks[0].spec.data, plan.config.cache)
    for trunk in plan.trunks:
        train_trunk(trunk, dataset, plan.folder, study=plan.name, device="cpu", threads=1)
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, TASK)))
    return plan.folder, [str(plan.folder), "--cache", plan.config.cache, "--workers", "1"]


def test_scores_are_made_once_and_stand_beside_records(
    study: tuple[Path, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, arguments = study
    before = {path: path.read_bytes() for path in folder.rglob("record.json")}
    asked = [*arguments, "--tasks", f"{tmp_path}/mine.jsonl", "--quantise", "16,8,2", "--prune", "0.9"]
    assert main(["evaluate", *asked]) == 0
    said = capsys.readouterr().out
    assert "as trained" in said
    assert "quantise 2" in said
    assert "by chance: mine 0.5 of 40" in said

    made = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("evaluations/*.json")}
    assert len(made) == len(before) * (1 + 1 + 2 * 4)
    assert main(["evaluate", *asked, "--json"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert len(body["scores"]) == len(made)
    assert made == {
        path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("evaluations/*.json")
    }
    assert before == {path: path.read_bytes() for path in folder.rglob("record.json")}

    every = load_evaluations(folder).rows
    losses = every[every["task"] == "loss"].set_index("run_id")
    plain = losses[losses["quantise"].isna() & losses["prune"].isna()]
    assert plain["value"].to_numpy() == pytest.approx(plain["loss"].to_numpy(), rel=1e-6)
    fine, coarse = (losses[losses["quantise"] == bits]["value"] for bits in (16, 2))
    assert fine.to_numpy() == pytest.approx(plain["value"].to_numpy(), rel=1e-3)
    assert (coarse > plain["value"]).all()
    assert (losses[losses["prune"] == 0.9]["value"] > plain["value"]).all()
    assert (losses[losses["quantise"] == 8]["bits"] < plain["bits"] / 3).all()
    table = load_runs(folder)
    assert (table["mine"] > 0.9).all(), "text of the corpus against noise"
    assert np.isfinite(table["mine_margin"]).all()


def test_what_cannot_be_measured_is_said(
    study: tuple[Path, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, arguments = study
    own = ["--tasks", f"{tmp_path}/mine.jsonl"]
    for words, message in (
        (["--tasks", "recal"], "no task 'recal'"),
        (["--tasks", "well_formed"], "the held-out text gives 0 items"),
        (["--tasks", "none"], "nothing to measure"),
        ([*own, "--prune", "1.5"], "fraction above 0 and below 1"),
    ):
        assert main(["evaluate", *arguments, *words]) == 2
        assert message in capsys.readouterr().err
    lost = read_study(folder).done[0]
    shutil.rmtree(folder / lost.trunk_id / lost.run_id / "checkpoints")
    assert main(["evaluate", *arguments, *own]) == 1
    said = capsys.readouterr().out
    assert f"not measured: run {lost.run_id}" in said
    assert "weights are gone" in said
    assert load_runs(folder)["mine"].isna().sum() == 1


def test_a_run_of_other_data_is_not_opened(
    study: tuple[Path, list[str]], tiny_corpus: Path, tmp_path: Path
) -> None:
    folder, arguments = study
    record = read_study(folder).done[0]
    run = folder / record.trunk_id / record.run_id
    cache = arguments[arguments.index("--cache") + 1]
    assert open_finished(run, cache=cache).spec.id == record.run_id
    added = tiny_corpus / "99.txt"
    added.write_text("one more document\n")
    try:
        with pytest.raises(ValueError, match=f"trained on data {record.data_fingerprint}, but corpus 'text'"):
            open_finished(run, cache=tmp_path / "cache")
        kept = open_finished(run, cache=cache).subject.dataset  # the text it saw is still there
        assert kept.fingerprint == record.data_fingerprint
    finally:
        added.unlink()
    with pytest.raises(FileNotFoundError, match="no finished run"):
        open_finished(folder)


@pytest.mark.slow
def test_processes_give_what_one_gives(
    study: tuple[Path, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, arguments = study
    asked = [*arguments[:-1], "2", "--tasks", f"{tmp_path}/mine.jsonl", "--json"]
    assert main(["evaluate", *asked]) == 0
    several = json.loads(capsys.readouterr().out)["scores"]
    for path in folder.rglob("evaluations/*.json"):
        path.unlink()
    assert main(["evaluate", *asked[:3], "--workers", "1", *asked[5:]]) == 0
    one = json.loads(capsys.readouterr().out)["scores"]
    assert len(one) == len(several)
    assert [(s["run_id"], s["value"]) for s in one] == [(s["run_id"], s["value"]) for s in several]
