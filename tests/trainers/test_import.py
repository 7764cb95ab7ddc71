"""`scaling import`: a stranger's table becomes records, once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import load_runs
from experiments.cli import main
from scaling.records.record import read_study


@pytest.fixture
def table(tmp_path: Path) -> pd.DataFrame:
    N, D = (v.ravel() for v in np.meshgrid(np.geomspace(1e7, 1e9, 4), np.geomspace(2e8, 2e10, 3)))
    loss = 1.7 + 400 * N**-0.34 + 900 * D**-0.33
    rows = pd.DataFrame({"Size (M)": N / 1e6, "tokens": D.round(), "val_loss": loss, "optimizer": "muon"})
    other = rows.assign(optimizer="adamw", val_loss=loss * 1.03)
    return pd.concat([rows, other], ignore_index=True).assign(mmlu=0.25, gpu="h200")


def run(tmp_path: Path, table: pd.DataFrame, *more: str) -> int:
    table.to_csv(tmp_path / "t.csv", index=False)
    words = ["import", str(tmp_path / "t.csv"), "--columns", "params=Size (M)*1e6", "--to"]
    return main([*words, str(tmp_path / "runs" / "theirs"), *more])


def test_a_table_becomes_records_once(
    tmp_path: Path, table: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, table) == 0
    assert "24 records written\n" in capsys.readouterr().out
    home = tmp_path / "runs" / "theirs"
    before = sorted((str(path), path.read_bytes()) for path in home.rglob("*") if path.is_file())
    assert run(tmp_path, table.sample(frac=1, random_state=0)) == 0
    assert "0 records written; 24 runs already there" in capsys.readouterr().out
    assert sorted((str(path), path.read_bytes()) for path in home.rglob("*") if path.is_file()) == before
    found = load_runs(home)
    assert set(zip(found["params"], found["tokens"], found["loss"], strict=True)) == {
        (round(row["Size (M)"] * 1e6), row["tokens"], row["val_loss"]) for _, row in table.iterrows()
    }
    assert list(found["mmlu"]) == [0.25] * 24
    assert main(["fit", str(home), "--resamples", "20"]) == 0
    assert "2 arms by optimizer" in capsys.readouterr().out


def test_a_changed_value_is_refused_and_nothing_is_written(
    tmp_path: Path, table: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, table.iloc[:20]) == 0
    table.loc[3, "val_loss"] += 0.01
    table.loc[4, "mmlu"] = 0.3
    assert run(tmp_path, table) == 2
    error = capsys.readouterr().err
    assert "2 of 24 rows contradict records" in error
    assert "loss was " in error
    assert len(read_study(tmp_path / "runs" / "theirs").done) == 20
    assert run(tmp_path, table.iloc[:3].assign(batch=7), "--where", "optimizer == 'muon'") == 2
    assert "with other settings or under another name" in capsys.readouterr().err


def test_names_and_trunks_of_a_table_are_kept(
    tmp_path: Path, table: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    named = table.assign(run_id=[f"exp {i}" for i in range(24)], trunk_id=[f"t{i % 4}" for i in range(24)])
    assert run(tmp_path, named, "--arm", "gpt") == 0
    study = read_study(tmp_path / "runs" / "theirs")
    assert {record.run_id.rpartition("-")[0] for record in study.done} == {f"exp-{i}" for i in range(24)}
    assert len({record.trunk_id for record in study.done}) == 4
    assert {record.family for record in study.done} == {"gpt"}
    named.loc[5, "tokens"] *= 2
    assert run(tmp_path, named, "--arm", "gpt") == 2
    assert "tokens was" in capsys.readouterr().err


def test_runs_that_only_results_tell_apart_are_all_kept(tmp_path: Path, table: pd.DataFrame) -> None:
    twice = pd.concat([table, table.assign(val_loss=table["val_loss"] + 0.01)], ignore_index=True)
    for _ in range(2):
        assert run(tmp_path, twice, "--checkpoints", "all") == 0
        done = read_study(tmp_path / "runs" / "theirs").done
        assert len(done) == 48
    assert {record.seed for record in done} == {None}  # the table has none, and none is made up


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--by", "optimizer"], "give --by to scaling fit"),
        (["--columns", "x=tokens", "flops=tokens"], "a record needs params, tokens and loss"),
    ],
)
def test_what_is_no_import_is_refused(
    tmp_path: Path, table: pd.DataFrame, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    table[["tokens", "val_loss"]].to_csv(tmp_path / "t.csv", index=False)
    assert main(["import", str(tmp_path / "t.csv"), "--to", str(tmp_path / "runs"), *words]) == 2
    error = capsys.readouterr().err
    assert message in error or "params" in error
    assert main(["import", str(tmp_path), "--to", str(tmp_path / "runs")]) == 2
    assert not (tmp_path / "runs").exists()


def test_a_folder_with_other_files_takes_records(tmp_path: Path, table: pd.DataFrame) -> None:
    home = tmp_path / "runs" / "theirs"
    home.mkdir(parents=True)
    (home / "notes.txt").write_text("mine")
    assert run(tmp_path, table) == 0
    assert len(load_runs(home)) == 24
    assert (home / "notes.txt").read_text() == "mine"


def test_a_row_with_more_cells_than_its_header_says_what_is_missing(tmp_path: Path) -> None:
    from scaling.trainers.results import ResultError, _rows, pick

    (tmp_path / "result.csv").write_text("step,val\n1,2,3\n")
    rows = _rows(tmp_path / "result.csv")
    assert rows == [{"step": "1", "val": "2"}]
    with pytest.raises(ResultError, match="loss"):
        pick(rows[0], {"loss": "loss"}, tmp_path / "result.csv")
