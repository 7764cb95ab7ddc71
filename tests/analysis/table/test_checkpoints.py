"""Which rows are checkpoints of one run, and which are runs of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from analysis.table import load_runs
from experiments.cli import main
from tests.analysis.synthetic import true_loss

SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000)
GRID = (300_000, 1_000_000, 3_000_000, 10_000_000, 30_000_000)
Rows = Sequence[Sequence[object]]


def write(path: Path, header: str, rows: Rows) -> Path:
    lines = [header, *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def along(parts: int = 20, share: Sequence[float] | None = None) -> list[list[object]]:
    """name, params, tokens, step, loss of five runs of 20 tokens per parameter, one row per evaluation."""
    shares = share or [(k + 1) / parts for k in range(parts)]
    return [
        [f"r{i}", N, 20 * N * s, round(1000 * s), true_loss(N, 20 * N * s)]
        for i, N in enumerate(SIZES)
        for s in shares
    ]


def finished() -> list[list[object]]:
    """name, params, tokens, step, loss of 25 runs: every size at every budget, named after its size."""
    return [[f"{N // 1000}k", N, D, D // 1000, true_loss(N, D)] for N in SIZES for D in GRID]


def without(rows: Rows, *columns: int) -> Rows:
    return [[cell for k, cell in enumerate(row) if k not in columns] for row in rows]


HEADER = "run_name,params,tokens,step,val_loss"


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        (HEADER, along()),
        ("run_id,params,tokens,step,val_loss", along()),
        ("Name,params,tokens,_step,val_loss", along()),
        ("model,params,tokens,step,val_loss", along(10)),
        ("experiment_name,params,tokens,iteration,val_loss", along(6)),
        ("run_name,params,tokens,val_loss", without(along(10), 3)),
        ("run_id,params,tokens,val_loss", without(along(5), 3)),
        (HEADER, along(5)),
        ("params,tokens,step,val_loss", without(along(), 0)),
        (HEADER, [along()[k] for k in np.random.default_rng(0).permutation(100)]),
        ("model,params,tokens,step,val_loss", along(share=[2.0**-k for k in range(11, -1, -1)])),
    ],
    ids=lambda value: value if isinstance(value, str) else str(len(value)),
)
def test_the_last_checkpoint_of_each_run_is_fitted(tmp_path: Path, header: str, rows: Rows) -> None:
    table = load_runs(write(tmp_path / "t.csv", header, rows))
    assert len(table) == 5
    assert sorted(table["tokens"]) == [20 * N for N in SIZES]
    assert table.counts["checkpoints"] == len(rows) - 5
    (note,) = [note for note in table.notes if "checkpoints" in note]
    assert note.startswith(f"{len(rows) - 5} of {len(rows)} rows are intermediate checkpoints of 5 runs")
    assert table.curves is not None
    assert len(table.curves) == len(rows)
    assert table.curves["trunk_id"].nunique() == 5
    every = load_runs(tmp_path / "t.csv", checkpoints="all")
    assert len(every) == len(rows)
    assert every["run_id"].is_unique
    assert every["trunk_id"].nunique() == 5


@pytest.mark.parametrize("name", ["name", "model", "size", "label"])
def test_runs_named_after_their_size_are_runs(tmp_path: Path, name: str) -> None:
    for header, rows in (
        (f"{name},params,tokens,steps,loss", finished()),
        (f"{name},params,tokens,loss", without(finished(), 3)),
    ):
        table = load_runs(write(tmp_path / "t.csv", header, rows))
        assert len(table) == 25
        assert table["trunk_id"].nunique() == 25
        assert not table.warnings


@pytest.mark.parametrize("name", ["run_name", "run_id"])
def test_where_evidence_is_weak_all_are_kept_and_drawn_together(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "t.csv", f"{name},params,tokens,loss", without(finished(), 3))
    table = load_runs(path)
    assert len(table) == 25
    assert table["run_id"].is_unique
    assert table["trunk_id"].nunique() == 5
    (warning,) = table.warnings
    assert "25 rows of 5 runs" in warning
    assert "--checkpoints last fits the last of each" in warning
    assert len(load_runs(path, checkpoints="last")) == 5
    assert not load_runs(path, checkpoints="all").warnings


def test_budgets_of_compute_are_a_design(tmp_path: Path) -> None:
    rows = [
        [f"m{N}", N, C / (6 * N), true_loss(N, C / (6 * N))] for N in SIZES for C in (1e11, 3e11, 1e12, 3e12)
    ]
    assert len(load_runs(write(tmp_path / "t.csv", "name,params,tokens,loss", rows))) == 20


def test_an_experiment_of_several_sizes_is_no_run(tmp_path: Path) -> None:
    table = load_runs(
        write(tmp_path / "t.csv", "experiment,params,tokens,step,loss", [["a", *r[1:]] for r in finished()])
    )
    assert len(table) == 25
    assert not table.warnings


def test_cooldowns_that_left_one_trunk_are_runs(tmp_path: Path) -> None:
    trunks = [[f"{row[0]}-{row[2]}", *row] for row in finished()]
    named = load_runs(write(tmp_path / "a.csv", "run_id,trunk_id,params,tokens,step,loss", trunks))
    assert len(named) == 25
    assert named["trunk_id"].nunique() == 5
    cooled = [[*row, int(float(str(row[2]))) // 5000] for row in along(10)]
    assert len(load_runs(write(tmp_path / "b.csv", f"{HEADER},cooldown_steps", cooled))) == 50


def test_a_plan_of_steps_says_which_rows_stop_short(tmp_path: Path) -> None:
    rows = [[*row, 1000] for row in along(4)]
    assert len(load_runs(write(tmp_path / "a.csv", "name,params,tokens,step,loss,total_steps", rows))) == 5
    own = [[*row, row[3]] for row in along(8)]
    assert len(load_runs(write(tmp_path / "b.csv", "name,params,tokens,step,loss,total_steps", own))) == 40


def test_recipes_of_one_name_are_told_apart(tmp_path: Path) -> None:
    rows = [
        [*row[:4], float(row[4]) * scale, lr] for lr, scale in ((1e-3, 1.0), (2e-3, 1.1)) for row in along()
    ]  # type: ignore[arg-type]
    mixed = [rows[k] for k in np.random.default_rng(1).permutation(len(rows))]
    for order in (rows, mixed):
        table = load_runs(write(tmp_path / "t.csv", "model,params,tokens,step,loss,peak_lr", order))
        assert len(table) == 10
        assert set(table["learning_rate"]) == {1e-3, 2e-3}


def test_states_count_runs_and_not_their_checkpoints(tmp_path: Path) -> None:
    rows = [[*row, "crashed" if row[0] == "r2" else "finished"] for row in along()]
    table = load_runs(write(tmp_path / "t.csv", f"{HEADER},state", rows))
    assert (table.counts["used"], table.counts["failed"], table.counts["checkpoints"]) == (4, 1, 95)


def test_steps_between_evaluations_have_no_loss(tmp_path: Path) -> None:
    rows = [[*row[:4], row[4] if k % 4 == 1 else ""] for k, row in enumerate(along())]
    table = load_runs(write(tmp_path / "t.csv", HEADER, rows))
    assert len(table) == 5
    assert sorted(table["tokens"]) == pytest.approx([20 * N * 0.9 for N in SIZES])


def test_a_run_whose_last_loss_is_missing_does_not_fall_back_on_an_earlier_one(tmp_path: Path) -> None:
    rows = along()
    rows[-1][4] = "nan"
    table = load_runs(write(tmp_path / "t.csv", HEADER, rows))
    assert len(table) == 4
    assert [str(reason) for reason in table.reasons()] == ["line 101: loss is missing"]


def test_rows_twice_after_a_second_sync(tmp_path: Path) -> None:
    table = load_runs(write(tmp_path / "t.csv", HEADER, [*along(), *along()[-20:]]))
    assert len(table) == 5


def test_one_contradiction_among_ids_is_no_run_of_two_rows(tmp_path: Path) -> None:
    rows = [[f"id{k}", *row[1:]] for k, row in enumerate(without(finished(), 3))]
    rows.append(["id3", *rows[4][1:]])
    table = load_runs(write(tmp_path / "t.csv", "run_id,params,tokens,loss", rows))
    assert len(table) == 24
    assert "with other values" in str(table.reasons()[0])


def test_last_needs_a_name(tmp_path: Path) -> None:
    path = write(
        tmp_path / "t.csv", "params,loss,tokens", [[row[1], row[4], row[2]] for row in finished()[::-1]]
    )
    with pytest.raises(ValueError, match="--checkpoints last: no column names the runs of several rows"):
        load_runs(path, checkpoints="last")


def test_the_command_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "t.csv", HEADER, along())
    main(["fit", str(path), "--resamples", "10"])
    out = capsys.readouterr().out
    assert "5 used, 95 checkpoints" in out
    assert (
        "the last of each is fitted, the rest are learning curves. --checkpoints all fits every row." in out
    )


def test_a_path_that_ends_in_a_step_names_its_run(tmp_path: Path) -> None:
    rows = [[f"ckpts/{name}/step_{step}.pt", N, D, L] for name, N, D, step, L in along()]
    loaded = load_runs(write(tmp_path / "t.csv", "checkpoint_path,params,tokens,val_loss", rows))
    assert len(loaded.rows) == len(SIZES)


@pytest.mark.parametrize("column", ["is_final", "last_checkpoint"])
def test_a_column_that_says_which_row_is_final_is_believed(tmp_path: Path, column: str) -> None:
    rows = [[N, D, L, step == 1000] for _, N, D, step, L in along()]
    loaded = load_runs(write(tmp_path / "t.csv", f"params,tokens,val_loss,{column}", rows))
    assert sorted(loaded.rows["tokens"]) == [20 * N for N in SIZES]
    assert any("80 of 100 rows are intermediate" in note or "95 of 100" in note for note in loaded.notes)


def test_shuffled_checkpoints_without_a_name_are_warned_about(tmp_path: Path) -> None:
    rows = [without(along(), 0)[k] for k in np.random.default_rng(1).permutation(100)]
    loaded = load_runs(write(tmp_path / "t.csv", "params,tokens,step,val_loss", rows))
    assert any("may be checkpoints" in warning for warning in loaded.warnings)
