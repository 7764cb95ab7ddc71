"""One accident each, as small as it can be: what is made of it, and what must not be taken for one."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis import api
from analysis.table import RunTable, load_runs, split_comparable
from tests.analysis.synthetic import true_loss

SIZES = (5_760, 31_104, 124_000, 1_300_000)
BUDGETS = (400_000, 2_500_000, 16_000_000, 90_000_000)
LOSSES = [true_loss(n, d) * math.exp(0.003 * math.sin(7 * n + d)) for n in SIZES for d in BUDGETS]


def frame(**more: Any) -> pd.DataFrame:
    """16 runs of the known law, and columns of a test's own."""
    grid = [(n, d) for n in SIZES for d in BUDGETS]
    return pd.DataFrame(
        {"params": [n for n, _ in grid], "tokens": [d for _, d in grid], "loss": LOSSES, **more}
    )


def again(rows: pd.DataFrame, **changes: Any) -> RunTable:
    """The table with its first three rows repeated, changed."""
    return load_runs(pd.concat([rows, rows[:3].assign(**changes)], ignore_index=True))


def load(tmp_path: Path, text: str) -> RunTable:
    path = tmp_path / "t.csv"
    path.write_text(text)
    return load_runs(path)


def text(rows: pd.DataFrame, **options: Any) -> str:
    buffer = io.StringIO()
    rows.to_csv(buffer, index=False, **options)
    return buffer.getvalue()


def unlike(table: RunTable) -> str:
    """What was set aside and warned of."""
    return "; ".join([*(f"{a.row}: {a.reason}" for a in table.set_aside), *table.warnings])


# --- copies ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "changes", "reason"),
    [
        ({}, {}, "repeats row 1; give each a run_id or a seed"),
        ({}, {"loss": [v * (1 + 1e-13) for v in LOSSES[:3]]}, "repeats row 1, written differently"),
        ({}, {"loss": [round(v, 5) for v in LOSSES[:3]]}, "repeats row 1, written differently"),
        (
            {"run": [f"r{i}" for i in range(16)]},
            {"run": list("abc")},
            "is row 1 under another 'run'",
        ),
        ({"seed": 0}, {"seed": 1}, "is row 1 under another 'seed'"),
        ({"acc": [i / 16 for i in range(16)]}, {"acc": [0.3, 0.4, 0.5]}, "is row 1 under another 'acc'"),
    ],
)
def test_a_run_that_is_there_twice(more: dict[str, Any], changes: dict[str, Any], reason: str) -> None:
    table = again(frame(**more), **changes)
    assert table.counts["used"] == 16
    assert f"row 17: {reason}" in unlike(table)


@pytest.mark.parametrize(
    ("more", "changes"),
    [
        ({"seed": 0}, {"seed": 1, "loss": [round(v, 3) for v in LOSSES[:3]]}),
        ({"optimizer": "adamw"}, {"optimizer": "muon"}),  # a baseline listed in each arm
        ({}, {"loss": [v + 1e-6 for v in LOSSES[:3]]}),
    ],
)
def test_two_runs_that_are_nearly_alike(more: dict[str, Any], changes: dict[str, Any]) -> None:
    assert again(frame(**more), **changes).counts == {
        "used": 19,
        "quarantined": 0,
        "diverged": 0,
        "failed": 0,
        "missing": 0,
    }


def test_low_precision_is_no_coincidence() -> None:
    """Two seeds whose losses were kept in bfloat16 agree often."""
    coarse = (np.asarray(LOSSES, dtype=np.float32).view(np.uint32) & 0xFFFF0000).view(np.float32)
    table = again(frame(seed=0).assign(loss=coarse), seed=1)
    assert table.counts["used"] == 19


# --- rows that are no runs -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mean", "sum", "median", "max", "min"])
@pytest.mark.parametrize("called", [True, False])
def test_a_summary_below_the_table(name: str, called: bool) -> None:
    rows = frame(run=[f"r{i}" for i in range(16)])
    last = rows.drop(columns="run").agg(name).to_dict() | {"run": name if called else ""}
    table = load_runs(pd.concat([rows, pd.DataFrame([last])], ignore_index=True))
    assert table.counts["used"] == 16
    assert "not a run" in unlike(table)


def test_a_run_called_total_is_a_run() -> None:
    rows = frame(corpus=["mean", "total"] * 8)
    assert load_runs(rows).counts["used"] == 16


def test_a_header_that_is_turned_round(tmp_path: Path) -> None:
    rows = frame()
    turned = text(rows[:8]) + text(rows[8:][["loss", "params", "tokens"]])
    table = load(tmp_path, turned)
    assert table["loss"].tolist() == LOSSES
    assert "line 10 is a header in another order; the rows below it are read in that order" in table.notes
    with pytest.raises(ValueError, match="line 10: the header of another table"):
        load(tmp_path, text(rows[:8]) + text(rows[8:].rename(columns={"loss": "ppl"})))


def test_titles_and_a_hash_above_the_rows(tmp_path: Path) -> None:
    table = load(tmp_path, "Runs of March\n\n" + text(frame()))
    assert table["loss"].tolist() == LOSSES
    assert "left out: line 1, a title: 'Runs of March'" in table.notes
    numbered = frame(name="x").reset_index().rename(columns={"index": "#"})
    assert load(tmp_path, text(numbered))["loss"].tolist() == LOSSES
    with pytest.raises(ValueError, match=r"\('params', 'tokens', 'loss'\) stand in the first column"):
        load(tmp_path, frame().T.to_csv())


# --- numbers that look right -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        (lambda f: f.assign(params=f["tokens"], tokens=f["params"]), "swapped? Then --columns params=tokens"),
        (lambda f: f.assign(tokens=f["tokens"] * 1e3), "Is one of the two in thousands"),
        (lambda f: f.assign(tokens=np.log10(f["tokens"])), "--columns 'tokens=10**tokens'"),
        (lambda f: f[["loss"]].assign(flops=np.geomspace(1, 1e4, 16)), "--columns 'flops=flops*1e18'"),
        (
            lambda f: f[["loss"]].assign(flops=[*np.geomspace(1e18, 1e21, 14), 1.0, 3.0]),
            "flops: 2 of 16 rows hold 1, 3, far from the others",
        ),
        (lambda f: f.assign(params=[f"{n:.0E}" for n in f["params"]]), "every cell has one digit, as 6E+03"),
    ],
)
def test_columns_as_a_whole(change: Any, warning: str) -> None:
    assert warning in unlike(load_runs(change(frame())))


def test_a_thousand_that_looks_like_a_fraction(tmp_path: Path) -> None:
    rows = "examples,loss\n100,3.1\n400,2.9\n1.600,2.7\n6400,2.5\n25600,2.4\n102400,2.3\n"
    path = tmp_path / "t.csv"
    path.write_text(rows)
    table = load_runs(path, "x=examples")
    assert table.counts["used"] == 5
    assert "line 4: x is not clear: '1.600' is 1600 or 1.600" in unlike(table)


def test_a_training_loss_is_no_recipe() -> None:
    parts = split_comparable(load_runs(frame(**{"training loss": [v * 0.9 for v in LOSSES]})))
    assert list(parts) == ["all runs"]
    words = frame(accuracy=["high", "low"] * 8, epochs=["one", "two", "two", "one"] * 4)
    assert sum(map(len, split_comparable(load_runs(words)).values())) == 16


def test_two_recipes_that_no_column_tells_apart() -> None:
    both = pd.concat([frame(), frame().assign(loss=[v * 1.1 for v in LOSSES])], ignore_index=True)
    (part,) = split_comparable(load_runs(both)).values()
    assert any("differ by 10 % in loss (median of 16 such groups)" in said for said in part.warnings)
    rng = np.random.default_rng(0)
    seeds = pd.concat(
        [frame().assign(loss=LOSSES * np.exp(0.01 * rng.normal(size=16)), seed=s) for s in range(2)]
    )
    (part,) = split_comparable(load_runs(seeds)).values()
    assert not part.warnings
    noisy = pd.concat([frame().assign(loss=[v * (1 + 0.08 * s) for v in LOSSES], seed=s) for s in range(2)])
    (part,) = split_comparable(load_runs(noisy)).values()
    assert not part.warnings, "seeds are named: what they differ by is noise"


# --- tables in memory -------------------------------------------------------------------------------------


def test_a_table_in_memory_is_read_as_its_file_is(tmp_path: Path) -> None:
    rows = frame(Name=[f"r{i}" for i in range(16)], State=["finished"] * 15 + ["crashed"], lr=[1e-3] * 16)
    rows.loc[3, "loss"] = np.nan
    rows["size"] = [f"{n / 1000:g}k" for n in rows.pop("params")]
    rows.to_csv(tmp_path / "t.csv", index=False)
    one, other = load_runs(rows, "params=size"), load_runs(tmp_path / "t.csv", "params=size")
    pd.testing.assert_frame_equal(
        one.rows.drop(columns=["run_id", "trunk_id"]), other.rows.drop(columns=["run_id", "trunk_id"])
    )
    assert one.counts == other.counts
    assert one.notes == other.notes
    assert (one.source, one.study) == ("a DataFrame", "table")
    assert "row 4: loss is missing" in unlike(one)
    assert len(load_runs(rows, "params=size", where="tokens > 1e6", drop="lr > 1")) == 10


def test_an_index_with_a_name_is_a_column() -> None:
    named = frame(run_id=[f"r{i}" for i in range(16)]).set_index("run_id")
    assert load_runs(named)["run_id"].tolist() == [f"r{i}" for i in range(16)]
    filtered = frame()[::2]
    assert list(load_runs(filtered).rows["params"]) == list(filtered["params"])
    assert "index" not in load_runs(filtered)
    levels = frame()
    levels.columns = pd.MultiIndex.from_tuples(
        [("config", "params"), ("config", "tokens"), ("summary", "loss")]
    )
    assert load_runs(levels)["loss"].tolist() == LOSSES


def test_cells_of_every_kind() -> None:
    rows = frame(
        when=pd.Timestamp("2026-01-01"),
        kind=pd.Categorical(["a"] * 16),
        flag=pd.array([True, None] * 8),
        deep=[{"x": 1}] * 16,
    )
    rows["params"] = rows["params"].astype("Int64")
    rows.loc[2, "params"] = pd.NA
    table = load_runs(rows)
    assert table.counts["used"] == 15
    assert table["deep.x"].tolist() == [1] * 15


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (frame()[:0], "a DataFrame: holds no rows"),
        (frame().rename(columns={"params": "width"}), "a DataFrame: no column for params"),
        (pd.concat([frame(), frame()[["loss"]]], axis=1), "a DataFrame: the column 'loss' occurs twice"),
    ],
)
def test_a_table_in_memory_that_is_refused(rows: pd.DataFrame, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_runs(rows)


def test_the_public_door_screens_a_table_in_memory() -> None:
    rows = pd.concat([frame(), frame()[:3]], ignore_index=True)
    at = {"N": 1e7, "D": 1e9}
    twice, once = (api.forecast(each, "chinchilla", at=at, resamples=5) for each in (rows, frame()))
    assert str(twice) == str(once)


@pytest.mark.parametrize(
    "title", ["Sweep 3,,,\nrun with care,,,\n", "Sweep of March,,by Ada,\n", "Sweep of March,,,Ada\n"]
)
def test_titles_of_several_lines_or_cells_are_no_level_of_the_header(title: str, tmp_path: Path) -> None:
    rows = [f"r{i},{10.0 ** (6 + i % 3)},{10.0 ** (8 + i // 3)},{3 - 0.1 * i}\n" for i in range(9)]
    (tmp_path / "t.csv").write_text(title + "name,params,tokens,loss\n" + "".join(rows))
    table = load_runs(tmp_path / "t.csv")
    assert len(table) == 9
    assert any(note.startswith("left out: line 1, a title") for note in table.notes)
