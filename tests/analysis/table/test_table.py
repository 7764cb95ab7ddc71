"""Loading anybody's runs: what is kept, what is set aside and counted, and every message."""

from __future__ import annotations

import csv
import json
import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.table import load_curves, load_runs, split_comparable
from tests.analysis.synthetic import make_record, true_loss, write_record, write_study

HEADER = ["run", "params", "tokens", "loss"]


def rows_of(n: int = 30, seed: int = 0) -> list[list[object]]:
    """Runs of the known law on a 6 × 5 grid with 0.4 % noise."""
    rng = np.random.default_rng(seed)
    grid = [(N, D) for N in (5e3, 1.2e4, 3e4, 7e4, 1.5e5, 3e5) for D in (1e5, 2.5e5, 6e5, 1.6e6, 4e6)]
    return [
        [f"r{i}", N, D, float(true_loss(N, D) * np.exp(rng.normal() * 0.004))]
        for i, (N, D) in enumerate(grid * (n // len(grid) + 1))
    ][:n]


def write_csv(path: Path, rows: list[list[object]], header: list[str] = HEADER, end: str = "\n") -> Path:
    lines = [",".join(map(str, row)) for row in [header, *rows]]
    path.write_text("\n".join(lines) + end)
    return path


def reasons(table: pd.DataFrame) -> str:
    return "; ".join(f"{q.row}: {q.reason}" for q in table.set_aside)


# --- a study folder ------------------------------------------------------------------------------------


def test_folder_gives_one_row_a_done_run_and_counts_the_rest(tmp_path: Path) -> None:
    records = write_study(tmp_path / "demo", diverged=2, failed=1, missing=3)
    table = load_runs(tmp_path / "demo")
    assert table.counts == {
        "used": 24,
        "quarantined": 0,
        "diverged": 2,
        "failed": 1,
        "missing": 3,
    } | {
        "failed": 4,
        "missing": 0,
    }, "all four lost runs are of the trunk that failed"
    assert set(table["run_id"]) == {r.run_id for r in records if r.status == "done"} - {
        r.run_id for r in records[-2:]
    }
    assert table.study == "demo"
    assert any("diverged: loss is NaN at step 120" in note for note in table.notes)
    assert any("failed (oom): out of memory at step 3" in note for note in table.notes)


def test_folder_values_are_those_of_the_records(tmp_path: Path) -> None:
    records = {r.run_id: r for r in write_study(tmp_path / "demo")}
    table = load_runs(tmp_path / "demo")
    for row in table.rows.itertuples():
        record = records[row.run_id]
        assert (row.params, row.tokens, row.flops, row.loss) == (
            record.params,
            record.tokens,
            record.flops,
            record.loss,
        )
    assert table["params"].dtype == np.int64
    assert not {"spec", "versions"} & set(table.columns)


def test_a_damaged_record_is_quarantined_and_not_missing_too(tmp_path: Path) -> None:
    records = write_study(tmp_path / "demo")
    path = tmp_path / "demo" / records[0].trunk_id / records[0].run_id / "record.json"
    path.write_bytes(re.sub(rb'"loss": ?', rb'"loss":1', path.read_bytes(), count=1))
    table = load_runs(tmp_path / "demo")
    assert table.counts == {"used": 29, "quarantined": 1, "diverged": 0, "failed": 0, "missing": 0}
    assert "sha256" in reasons(table)


def test_a_record_with_a_negative_size_is_quarantined(tmp_path: Path) -> None:
    write_study(tmp_path / "demo")
    write_record(tmp_path / "demo", make_record(16, 100_000, run_id="odd", params=-5))
    assert "params is -5; it must be positive and finite" in reasons(load_runs(tmp_path / "demo"))


def test_no_finished_run(tmp_path: Path) -> None:
    write_study(tmp_path / "demo", missing=30)
    with pytest.raises(
        ValueError, match=r"no finished run to fit: 0 set aside, 0 diverged, 0 failed, 30 missing"
    ):
        load_runs(tmp_path / "demo")


def test_no_such_source(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere: no such runs folder or table. A table is"):
        load_runs(tmp_path / "nowhere")


def test_a_folder_takes_no_mapping(tmp_path: Path) -> None:
    write_study(tmp_path / "demo")
    with pytest.raises(ValueError, match="names its own columns"):
        load_runs(tmp_path / "demo", "params=tokens")


# --- names and mappings ---------------------------------------------------------------------------------


def test_aliases_that_mean_one_thing(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", rows_of(), ["id", "N", "Training Tokens", "val_loss"])
    table = load_runs(path)
    assert table.columns == {"params": "'N'", "tokens": "'Training Tokens'", "loss": "'val_loss'"}
    assert "flops are derived: C = 6 N D" in table.notes
    np.testing.assert_array_equal(table["flops"], 6.0 * table["params"] * table["tokens"])
    assert list(table["id"]) == [f"r{i}" for i in range(30)], "columns that are not ours are kept"


@pytest.mark.parametrize("kind", ["dict", "strings", "yaml", "json", "factor dict"])
def test_every_way_to_say_a_mapping(tmp_path: Path, kind: str) -> None:
    rows = [[n, N / 1e6, D, L] for n, N, D, L in rows_of()]
    path = write_csv(tmp_path / "t.csv", rows, ["id", "Model Size", "seen", "heldout"])
    pairs = {"params": "Model Size*1e6", "tokens": "seen", "loss": "heldout", "run_id": "id"}
    (tmp_path / "map.yaml").write_text("".join(f"{k}: {v}\n" for k, v in pairs.items()))
    (tmp_path / "map.json").write_text(json.dumps(pairs))
    columns = {
        "dict": pairs,
        "strings": [f"{k}={v}" for k, v in pairs.items()],
        "yaml": tmp_path / "map.yaml",
        "json": str(tmp_path / "map.json"),
        "factor dict": pairs | {"params": {"column": "Model Size", "factor": 1e6}},
    }[kind]
    table = load_runs(path, columns)
    assert list(table["run_id"]) == [f"r{i}" for i in range(30)]
    np.testing.assert_allclose(table["params"], [r[1] for r in rows_of()], rtol=1e-15)


def test_tokens_from_flops(tmp_path: Path) -> None:
    rows = [[n, N, 6.0 * N * D, L] for n, N, D, L in rows_of()]
    table = load_runs(write_csv(tmp_path / "t.csv", rows, ["run_id", "params", "flops", "loss"]))
    np.testing.assert_allclose(table["tokens"], [r[2] for r in rows_of()], rtol=1e-15)
    assert "tokens are derived: D = C / (6 N)" in table.notes


@pytest.mark.parametrize(
    ("header", "columns", "message"),
    [
        (
            ["w", "x", "y", "d"],
            None,
            r"no column for params, loss, tokens \(or flops\). Columns present: 'w', 'x'",
        ),
        (["w", "x", "y", "d"], None, r"--columns params=NAME .* YAML file .* params=NAME\*1e6"),
        (["N", "D", "my loss", "x"], None, r"--columns .loss=my loss."),
        (["N", "D", "loss", "val_loss"], None, r"'loss' could be any of 'loss', 'val_loss'. Say which one"),
        (HEADER, "parms=params", r"'parms' is not a column of the table. Did you mean 'params'\?"),
        (
            HEADER,
            "params=size",
            r"params=size names a column that is not there. Columns present: 'run', 'params'",
        ),
        (HEADER, "params", r"write ours=theirs, as in 'params=Model Size'; got 'params'"),
        (HEADER, ["params=run", "params=loss"], r"'params' is given twice, from 'run' and 'loss'"),
        (HEADER, {"params": {"column": "run", "unit": 3}}, r"an entry is \{column, factor\}; got"),
        (
            HEADER,
            {"params": {"column": "run", "factor": -1}},
            r"a factor is a positive number, as in NAME\*1e6",
        ),
        (HEADER, "family=run*2", r"'family' holds text and takes a column as it is; got 'run\*2'"),
    ],
)
def test_mapping_refusals(tmp_path: Path, header: list[str], columns: object, message: str) -> None:
    path = write_csv(tmp_path / "t.csv", rows_of(), header)
    with pytest.raises(ValueError, match=message):
        load_runs(path, columns)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "message"), [("- a\n", "`ours: theirs` lines; got list"), ("a: [", "not YAML")]
)
def test_mapping_file_refusals(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "map.yaml").write_text(text)
    with pytest.raises(ValueError, match=message):
        load_runs(write_csv(tmp_path / "t.csv", rows_of()), tmp_path / "map.yaml")


# --- files ----------------------------------------------------------------------------------------------


def as_objects(rows: list[list[object]]) -> list[dict[str, object]]:
    return [dict(zip(HEADER, row, strict=True)) for row in rows]


@pytest.mark.parametrize(
    "kind", ["csv", "tsv", "json", "jsonl", "parquet", "bom", "crlf", "semicolon", "blank lines"]
)
def test_every_format_gives_the_same_rows(tmp_path: Path, kind: str) -> None:
    rows = rows_of()
    lines = [",".join(map(str, row)) for row in [HEADER, *rows]]
    path = tmp_path / f"t.{kind if kind in ('tsv', 'json', 'jsonl', 'parquet') else 'csv'}"
    text = "\n".join(lines) + "\n"
    if kind == "parquet":
        pd.DataFrame(as_objects(rows)).to_parquet(path)
    elif kind in ("json", "jsonl"):
        objects = [json.dumps(o) for o in as_objects(rows)]
        path.write_text("[" + ",".join(objects) + "]" if kind == "json" else "\n".join(objects))
    else:
        text = {"tsv": text.replace(",", "\t"), "semicolon": text.replace(",", ";")}.get(kind, text)
        text = {"crlf": text.replace("\n", "\r\n"), "blank lines": text.replace("\n", "\n\n")}.get(kind, text)
        path.write_bytes((b"\xef\xbb\xbf" if kind == "bom" else b"") + text.encode())
    table = load_runs(path)
    assert table[["params", "tokens", "loss"]].to_numpy().tolist() == [[N, D, L] for _, N, D, L in rows]
    assert table.counts["quarantined"] == 0


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.xlsx", b"x", r"got the suffix '.xlsx'"),
        ("t.csv", b"", "holds no rows"),
        ("t.csv", b"params,tokens,loss\n", "holds no rows"),
        ("t.csv", b"params,params,loss\n1,2,3\n", "the column 'params' occurs twice; rename or drop one"),
        ("t.csv", b"params,tokens,loss\n\xff,2,3\n", "not UTF-8 text at byte 19; save it as UTF-8"),
        ("t.csv", b'params,tokens,loss\n1,2,"3\n', "line 2: not CSV: unexpected end of data"),
        ("t.json", b"[1,", "not JSON: Expecting value"),
        ("t.json", b'{"a": 1}', "a list of objects, one per run; got an object"),
        ("t.json", b"[" * 100_000, "not JSON: maximum recursion depth"),
        ("t.parquet", b"PAR1 no", "not a readable Parquet file"),
    ],
)
def test_unreadable_files(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load_runs(tmp_path / name)


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("1.3B", "loss is not a number: '1.3B'"),
        ("1_000", "not a number"),
        ("0x10", "not a number"),
        ("٣", "not a number"),
        ("inf", "not a number"),
        ("1e999", "loss is not finite: '1e999'"),
        ("nan", "loss is missing"),
        ("", "loss is missing"),
        ("-2.5", "loss is -2.5; it must be positive and finite"),
        ("0", "loss is 0; it must be positive"),
        ("True", "not a number"),
    ],
)
def test_unreadable_cells_are_quarantined_with_their_line(tmp_path: Path, cell: str, reason: str) -> None:
    rows = rows_of()
    rows[4][3] = cell
    table = load_runs(write_csv(tmp_path / "t.csv", rows))
    assert table.counts == {"used": 29, "quarantined": 1, "diverged": 0, "failed": 0, "missing": 0}
    assert table.set_aside[0].row == "line 6"
    assert reason in table.set_aside[0].reason


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("[1, 2]", "not an object: list"),
        ('{"params": 1, "params": 2}', "says 'params' twice"),
        ('{"params": ', "not JSON"),
        ('{"params": true, "tokens": 1e5, "loss": 3}', "params is a truth value, not a number: True"),
        ('{"params": 1e4, "tokens": Infinity, "loss": 3}', "tokens is not finite: inf"),
        ('{"params": 1e4, "tokens": [1], "loss": 3}', "tokens is not a number"),
    ],
)
def test_bad_json_lines(tmp_path: Path, line: str, reason: str) -> None:
    lines = [json.dumps(o) for o in as_objects(rows_of())]
    (tmp_path / "t.jsonl").write_text("\n".join([*lines, line]))
    table = load_runs(tmp_path / "t.jsonl")
    assert table.counts["used"] == 30
    assert [q.row for q in table.set_aside] == ["line 31"]
    assert reason in reasons(table)


def test_ragged_and_cut_rows(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", [*rows_of(), ["r30", 1e4, 1e5]], end="\n1,2e5,3e5,3.1")
    table = load_runs(path)
    assert table.counts["used"] == 30
    assert "line 32: 3 cells where the header has 4" in reasons(table)
    assert "line 33: the file ends without a newline, as a file cut short does" in reasons(table)


def test_repeats_and_contradictions(tmp_path: Path) -> None:
    rows = rows_of()
    rows += [list(rows[3]), [rows[5][0], *rows[6][1:]]]
    table = load_runs(write_csv(tmp_path / "t.csv", rows, ["run_id", *HEADER[1:]]))
    assert table.counts["used"] == 29
    assert "line 32: repeats line 5" in reasons(table)
    assert "line 33: run_id 'r5' is also that of line 7, with other values" in reasons(table)
    assert "line 7: run_id 'r5' is also that of line 33" in reasons(table)
    unnamed = load_runs(write_csv(tmp_path / "u.csv", rows[:31]))
    assert "repeats line 5; give each a run_id or a seed" in reasons(unnamed)
    copy = [*rows_of(), ["another", *rows_of()[3][1:]]]
    again = load_runs(write_csv(tmp_path / "w.csv", copy, ["run_id", *HEADER[1:]]))
    assert again.counts["used"] == 30
    assert "line 32: is line 5 under another 'run_id': its sizes and all digits" in reasons(again)
    trunks = [[*row, "t"] for row in copy]
    named = load_runs(write_csv(tmp_path / "v.csv", trunks, ["run_id", *HEADER[1:], "trunk_id"]))
    assert "line 32: is line 5 under another 'run_id'" in reasons(named)


def test_rows_that_say_they_hold_no_result(tmp_path: Path) -> None:
    rows = [[*row, "done"] for row in rows_of()]
    rows[0][3:] = ["", "diverged"]
    rows[1][3:] = ["", "crashed"]
    rows[2][3:] = ["", "missing"]
    table = load_runs(write_csv(tmp_path / "t.csv", rows, [*HEADER, "status"]))
    assert table.counts == {"used": 27, "quarantined": 0, "diverged": 1, "failed": 1, "missing": 1}
    assert "1 row with status 'crashed' counts as failed" in table.notes


def test_the_hash_sees_values_and_not_order(tmp_path: Path) -> None:
    rows, header = rows_of(), ["run_id", *HEADER[1:]]
    one = load_runs(write_csv(tmp_path / "a.csv", rows, header))
    two = load_runs(write_csv(tmp_path / "b.csv", rows[::-1], header))
    assert one.data_hash == two.data_hash
    rows[7][3] = float(np.nextafter(rows[7][3], 9))
    assert load_runs(write_csv(tmp_path / "c.csv", rows, header)).data_hash != one.data_hash


# --- units ----------------------------------------------------------------------------------------------

SLIPS = {
    "params in millions": (1, lambda v: v / 1e6),
    "params in thousands": (1, lambda v: v / 1e3),
    "tokens in billions": (2, lambda v: v / 1e9),
    "tokens in millions": (2, lambda v: v / 1e6),
    "loss in bits": (3, lambda v: v / np.log(2)),
    "loss as perplexity": (3, np.exp),
}


@pytest.mark.parametrize("slip", SLIPS)
@pytest.mark.parametrize("n", [10, 20, 30, 200])
def test_one_row_in_ten_in_other_units_is_noticed(tmp_path: Path, slip: str, n: int) -> None:
    rows = rows_of(n)
    column, change = SLIPS[slip]
    wrong = np.random.default_rng(n).choice(n, n // 10, replace=False)
    for i in wrong:
        rows[i][column] = change(rows[i][column])
    table = load_runs(write_csv(tmp_path / "t.csv", rows, ["run_id", *HEADER[1:]]))
    used_wrong = {f"r{i}" for i in wrong} & set(table["run_id"])
    assert not used_wrong or table.warnings, reasons(table)
    assert {q.row for q in table.set_aside} <= {f"line {i + 2}" for i in wrong}, "no good row is lost"
    if n >= 20 and slip != "params in thousands":
        assert not used_wrong, table.warnings
        assert "wrong units" in reasons(table)


def test_flops_that_disagree_with_6nd(tmp_path: Path) -> None:
    rows = [[*row, 6.5 * row[1] * row[2]] for row in rows_of()]
    for i in (3, 11, 25):
        rows[i][4] /= 8.64e19
    table = load_runs(write_csv(tmp_path / "t.csv", rows, [*HEADER, "flops"]))
    assert table.counts["quarantined"] == 3
    assert "wrong units: C / (6 N D) is 1.16e-20 times that of the other rows" in reasons(table)


def test_derived_tokens_do_not_hide_a_slip(tmp_path: Path) -> None:
    rows = [[n, N, 6.0 * N * D, L] for n, N, D, L in rows_of()]
    for i in (3, 11, 25):
        rows[i][1] /= 1e6
    table = load_runs(write_csv(tmp_path / "t.csv", rows, ["run_id", "params", "flops", "loss"]))
    assert table.counts["quarantined"] == 3
    assert "looks to be in millions" in reasons(table)


@pytest.mark.parametrize(
    ("column", "change", "warning"),
    [
        (1, lambda v: v / 1e6, r"params: the median is .* for millions --columns 'params=params\*1e6'"),
        (2, lambda v: v / 1e9, "tokens: the median is"),
        (3, np.exp, "nats/token, more than a uniform guess"),
    ],
)
def test_a_whole_column_in_other_units(tmp_path: Path, column: int, change: object, warning: str) -> None:
    rows = rows_of()
    for row in rows:
        row[column] = change(row[column])  # type: ignore[operator]
        row[3] = row[3] if column != 3 else row[3] * 10
    table = load_runs(write_csv(tmp_path / "t.csv", rows))
    assert any(pd.Series([w]).str.contains(warning).all() for w in table.warnings), table.warnings


def test_a_large_held_out_run_is_kept(tmp_path: Path) -> None:
    """A run a hundred times larger whose loss agrees with its size is not a slip of units."""
    rows = [*rows_of(), ["big", 3e7, 4e8, true_loss(3e7, 4e8)]]
    table = load_runs(write_csv(tmp_path / "t.csv", rows, ["run_id", *HEADER[1:]]))
    assert "big" in set(table["run_id"])
    assert any("one run has 3e+07, far from the others" in w for w in table.warnings)


@pytest.mark.parametrize(
    "name", ["chinchilla_points/svg_extracted_data.csv", "gadre_overtraining/gadre_104_models.csv"]
)
def test_public_tables_raise_no_false_alarm(name: str) -> None:
    root = Path(os.environ.get("SCALING_PUBLIC_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not (root / name).is_file():
        pytest.skip("public data not here")
    table = load_runs(root / name, "loss=loss_openlm" if "gadre" in name else None)
    assert table.counts["quarantined"] == 0
    assert table.warnings == ()


# --- comparable -----------------------------------------------------------------------------------------


def test_two_fingerprints_or_objectives_never_share_a_part(tmp_path: Path) -> None:
    write_study(tmp_path / "demo", families=("decoder", "lstm"))
    table = load_runs(tmp_path / "demo")
    assert list(split_comparable(table)) == ["decoder", "lstm"]
    table.rows.loc[table.rows.index[:5], "data_fingerprint"] = "00ff" * 16
    table.rows.loc[table.rows.index[-5:], "objective"] = "masked"
    parts = split_comparable(table)
    assert sorted(map(len, parts.values())) == [5, 5, 25, 25]
    for part in parts.values():
        assert len(part[["family", "objective", "data_fingerprint"]].drop_duplicates()) == 1
    assert "decoder, causal, fingerprint 00ff00ff" in parts
    assert sum(map(len, parts.values())) == len(table)


# --- learning curves ------------------------------------------------------------------------------------


def test_curves_of_trunks_and_cooldowns(tmp_path: Path) -> None:
    write_study(tmp_path / "demo", curves=True)
    torn = tmp_path / "demo" / "decoder-w16" / "metrics.jsonl"
    torn.write_text(torn.read_text() + '{"step": 9, "tokens": 99, "train_loss": NaN}\n{"step": 12, "tok')
    loaded = load_curves(tmp_path / "demo")
    curves = loaded.rows
    assert curves["trunk_id"].nunique() == 6
    assert (curves["part"] == "trunk").sum() == 6 * 120
    assert (curves["part"] == "cooldown").sum() == 30 * (16 + 1)  # and the record that ends each
    assert set(curves.loc[curves["part"] == "cooldown", "run_id"]) == set(
        load_runs(tmp_path / "demo")["run_id"]
    )
    assert loaded.notes == ("decoder-w16/metrics.jsonl: 2 lines could not be read",)
    assert load_curves(tmp_path / "demo").rows.equals(curves)


def test_long_curves_are_thinned_evenly_while_they_are_read(tmp_path: Path) -> None:
    write_study(tmp_path / "demo")
    lines = [
        {"step": i, "tokens": 100 * i, "train_loss": 3.0, **({"loss": 2 + 1 / i} if i % 3 == 1 else {})}
        for i in range(1, 3001)
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / "demo" / "decoder-w16" / "metrics.jsonl").write_text(text + '{"step": 3001\n')
    every = load_curves(tmp_path / "demo")
    kept = load_curves(tmp_path / "demo", most=100)
    steps, some = (
        loaded.rows[(loaded.rows["trunk_id"] == "decoder-w16") & (loaded.rows["part"] == "trunk")]
        for loaded in (every, kept)
    )
    assert len(steps) == 3000
    evaluated = some.dropna(subset="loss")
    assert 100 <= len(evaluated) <= 201
    assert (evaluated["step"].iloc[0], evaluated["step"].iloc[-1]) == (1, 2998)
    assert some["step"].iloc[-1] == 3000
    assert set(np.diff(evaluated["step"])[:-1]) == {24}
    assert "decoder-w16/metrics.jsonl: 126 of 1000 evaluations are shown, evenly spaced" in kept.notes
    assert "decoder-w16/metrics.jsonl: 1 lines could not be read" in kept.notes
    assert len(every.rows) - len(kept.rows) == len(steps) - len(some), "short curves keep every line"


def test_a_plan_cannot_lead_out_of_the_study(tmp_path: Path) -> None:
    write_study(tmp_path / "demo")
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "tokens": 1, "loss": 1}\n')
    plan = json.loads((tmp_path / "demo" / "plan.json").read_text())
    plan["runs"].append({"run_id": "x", "trunk_id": "..", "family": "decoder", "params": 1})
    (tmp_path / "demo" / "plan.json").write_text(json.dumps(plan))
    curves = load_curves(tmp_path / "demo").rows
    assert ".." not in set(curves["trunk_id"])
    assert len(curves) == 30  # no metrics were written: the records alone


# --- scale ----------------------------------------------------------------------------------------------


@contextmanager
def cpu_seconds() -> Iterator[list[float]]:
    start, taken = os.times(), [0.0]
    yield taken
    end = os.times()
    taken[0] = end.user + end.system - start.user - start.system


def test_ten_thousand_rows_of_csv_in_seconds(tmp_path: Path) -> None:
    path = tmp_path / "big.csv"
    with path.open("w", newline="") as handle:
        csv.writer(handle).writerows([HEADER, *rows_of(10_000)])
    with cpu_seconds() as taken:
        table = load_runs(path, "run_id=run")
    assert len(table) == 10_000
    assert taken[0] < 3


def test_a_sweep_over_rates_keeps_its_badly_trained_runs(tmp_path: Path) -> None:
    """A loss 1 / ln 2 times the others' is bits if one run per cell says so, and a poor rate in a sweep."""
    rows = ["params,tokens,loss,learning_rate"]
    for params in (1e4, 2e4, 4e4, 8e4):
        for tokens in (1e6, 2e6, 4e6):
            loss = 1.7 + 14 / params**0.33 + 105 / tokens**0.37
            rows += [f"{params},{tokens},{loss * off},{rate}" for rate, off in ((1e-3, 1.0), (1e-2, 1.0))]
    swept = tmp_path / "swept.csv"
    bad = f"1e4,1e6,{(1.7 + 14 / 1e4**0.33 + 105 / 1e6**0.37) / math.log(2)},0.1"
    swept.write_text("\n".join([*rows, bad, ""]))
    assert len(load_runs(swept)) == 25
    once = tmp_path / "once.csv"
    header, *others = [row.rsplit(",", 1)[0] for row in rows]
    once.write_text("\n".join([header, *others[::2], bad.rsplit(",", 1)[0], ""]))
    (aside,) = load_runs(once).set_aside
    assert "in bits, not nats" in aside.reason


def test_a_file_is_named_by_the_one_study_of_its_rows(tmp_path: Path) -> None:
    rows = pd.DataFrame({"params": [1e6, 2e6], "tokens": [1e8, 2e8], "loss": [3.0, 2.9], "study": "ladder"})
    rows.to_csv(tmp_path / "runs.csv", index=False)
    assert load_runs(tmp_path / "runs.csv").study == "ladder"
    rows["study"] = ["ladder", "wide"]
    rows.to_csv(tmp_path / "runs.csv", index=False)
    assert load_runs(tmp_path / "runs.csv").study == "runs"
