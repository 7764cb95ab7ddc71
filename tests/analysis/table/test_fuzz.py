"""200 damaged tables: an error, or a quarantine with a count; never a changed row.

The oracle: every row that is used carries exactly the numbers of the run it names, and every row that is gone
is counted. What no reader could see (one digit turned into another) is not among the damages.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.table import load_runs
from tests.analysis.synthetic import make_record, true_loss, write_study

Row = dict[str, Any]
COLUMNS = ("run_id", "trunk_id", "params", "tokens", "flops", "loss")
TEXT_CELLS = [
    "",
    "nan",
    "NaN",
    "inf",
    "-inf",
    "1e999",
    "oops",
    "1.3B",
    "1,5",
    "1_000",
    "0x1f",
    "--3",
    "None",
    "3.1.4",
    "¼",
    "3 pears",
]
OBJECT_CELLS = [
    None,
    True,
    False,
    math.nan,
    math.inf,
    -math.inf,
    "oops",
    "",
    [3.0],
    {"value": 3.0},
    -1.0,
    0,
    10**400,
]
SIZES = ("params", "tokens", "flops", "loss")


def clean_rows() -> list[Row]:
    rng = np.random.default_rng(7)
    rows = []
    for N in (5_760, 13_824, 31_104, 64_896, 138_624, 301_056):
        for D in (100_000, 250_000, 630_000, 1_600_000, 4_000_000):
            loss = float(true_loss(N, D) * np.exp(rng.normal() * 0.004))
            rows.append(
                {
                    "run_id": f"n{N}d{D}",
                    "trunk_id": f"n{N}",
                    "params": N,
                    "tokens": D,
                    "flops": 6.6 * N * D,
                    "loss": loss,
                }
            )
    return rows


def spoil_cells(rows: list[Row], rng: random.Random, cells: list[Any]) -> None:
    for _ in range(rng.randint(1, 6)):
        rng.choice(rows)[rng.choice(SIZES)] = rng.choice(cells)


def slip_units(rows: list[Row], rng: random.Random) -> None:
    name, factor = rng.choice(
        [
            ("params", 1e-6),
            ("params", 1e-9),
            ("tokens", 1e-6),
            ("tokens", 1e-9),
            ("flops", 1e-18),
            ("loss", 1 / math.log(2)),
        ]
    )
    for row in rng.sample(rows, 3):
        row[name] *= factor


def repeat_rows(rows: list[Row], rng: random.Random) -> None:
    rows += [dict(rng.choice(rows)) for _ in range(rng.randint(1, 4))]


def contradict(rows: list[Row], rng: random.Random) -> None:
    one, two = rng.sample(rows, 2)
    rows.append(two | {"run_id": one["run_id"]})


def negate(rows: list[Row], rng: random.Random) -> None:
    rng.choice(rows)[rng.choice(SIZES)] *= -1


def shuffle(rows: list[Row], rng: random.Random) -> None:
    rng.shuffle(rows)


def drop_column(rows: list[Row], rng: random.Random) -> None:
    name = rng.choice(("params", "loss"))
    for row in rows:
        del row[name]


def to_csv(rows: list[Row], order: list[str]) -> str:
    lines = [",".join(order)] + [",".join(str(row.get(k, "")) for k in order) for row in rows]
    return "\n".join(lines) + "\n"


def damage_text(text: str, rng: random.Random) -> str:
    """Damage to the file, not to a value: cut, ragged, glued, quoted, binary."""
    lines = text.splitlines(keepends=True)
    i = rng.randrange(1, len(lines))
    kind = rng.randrange(7)
    if kind == 0:
        return text[: rng.randrange(len(lines[0]), len(text))]
    if kind == 1:
        lines[i] = lines[i].replace(",", ",,", 1)
    elif kind == 2:
        lines[i] = lines[i].rstrip("\n") + ",7\n"
    elif kind == 3:
        lines[i] = lines[i].rstrip("\n")
    elif kind == 4:
        lines[i] = '"' + lines[i]
    elif kind == 5:
        lines[i] = (
            lines[i].replace("n", "\0", 1) if rng.random() < 0.5 else lines[i].rpartition(",")[0] + "\n"
        )
    else:
        lines.insert(i, rng.choice(["\n", ",,,,,\n", "# comment\n", lines[0]]))
    return "".join(lines)


def csv_case(path: Path, rng: random.Random) -> Path:
    rows, order = clean_rows(), rng.sample(COLUMNS, len(COLUMNS))
    damages: list[Callable[[], None]] = [
        lambda: spoil_cells(rows, rng, [c for c in TEXT_CELLS if "," not in c]),
        lambda: slip_units(rows, rng),
        lambda: repeat_rows(rows, rng),
        lambda: contradict(rows, rng),
        lambda: negate(rows, rng),
        lambda: shuffle(rows, rng),
        lambda: drop_column(rows, rng),
    ]
    if rng.random() < 0.4:
        text = damage_text(to_csv(rows, order), rng)
    else:
        rng.choice(damages)()
        text = to_csv(rows, [k for k in order if any(k in row for row in rows)])
    path = path.with_suffix(".csv")
    path.write_bytes(text.encode() if rng.random() < 0.95 else text.encode("utf-16"))
    return path


def json_case(path: Path, rng: random.Random) -> Path:
    rows = clean_rows()
    rng.choice(
        [
            lambda: spoil_cells(rows, rng, OBJECT_CELLS),
            lambda: slip_units(rows, rng),
            lambda: repeat_rows(rows, rng),
            lambda: contradict(rows, rng),
            lambda: drop_column(rows, rng),
        ]
    )()
    lines = [json.dumps(row) for row in rows]
    if rng.random() < 0.3:
        i = rng.randrange(len(lines))
        lines[i] = rng.choice(
            [lines[i][: rng.randrange(1, len(lines[i]))], lines[i][:-1] + ', "tokens": 9}', "17", "[]"]
        )
    if rng.random() < 0.5:
        path = path.with_suffix(".jsonl")
        text = "\n".join(lines)
        path.write_text(text[: rng.randrange(200, len(text))] if rng.random() < 0.3 else text)
    else:
        path = path.with_suffix(".json")
        path.write_text("[" + ",".join(lines) + rng.choice(["]", "]", "]", "", ",]"]))
    return path


def parquet_case(path: Path, rng: random.Random) -> Path:
    rows = clean_rows()
    path = path.with_suffix(".parquet")
    if rng.random() < 0.5:
        rng.choice([slip_units, repeat_rows, contradict, negate, drop_column])(rows, rng)
    else:  # a column has one type: spoil cells with what fits it
        name = rng.choice(SIZES)
        texts = rng.random() < 0.5
        for row in rows:
            row[name] = str(row[name]) if texts else float(row[name])
        for row in rng.sample(rows, 4):
            row[name] = rng.choice(TEXT_CELLS if texts else [math.nan, math.inf, -1.0, 0.0])
    pd.DataFrame(rows).to_parquet(path, compression=rng.choice(["snappy", "none"]), write_page_checksum=True)
    content = bytearray(path.read_bytes())
    if rng.random() < 0.3:
        if rng.random() < 0.5:
            content = content[: rng.randrange(len(content))]
        else:
            content[rng.randrange(len(content) // 2)] ^= 1 << rng.randrange(8)
        path.write_bytes(content)
    return path


def folder_case(path: Path, rng: random.Random) -> Path:
    records = write_study(path)
    for record in rng.sample(records, rng.randint(1, 4)):
        file = path / record.trunk_id / record.run_id / "record.json"
        content = bytearray(file.read_bytes())
        kind = rng.randrange(4)
        if kind == 0:
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        elif kind == 1:
            content = content[: rng.randrange(len(content))]
        elif kind == 2:
            content = bytearray(b"\0" * len(content))
        else:
            content = bytearray((path / records[0].trunk_id / records[0].run_id / "record.json").read_bytes())
        file.write_bytes(bytes(content))
    return path


CASES = {"csv": csv_case, "json": json_case, "parquet": parquet_case, "folder": folder_case}


def truth_of(kind: str, path: Path) -> dict[str, tuple[float, ...]]:
    if kind == "folder":
        records = write_study(path.parent / "truth")
        return {r.run_id: (r.params, r.tokens, r.flops, r.loss or math.nan) for r in records}
    return {row["run_id"]: tuple(float(row[k]) for k in SIZES) for row in clean_rows()}


@pytest.mark.parametrize("seed", range(50))
@pytest.mark.parametrize("kind", CASES)
def test_damage_is_refused_or_counted(tmp_path: Path, kind: str, seed: int) -> None:
    path = CASES[kind](tmp_path / "table", random.Random(f"{kind} {seed}"))
    truth = truth_of(kind, path)
    try:
        table = load_runs(path)
    except ValueError as error:
        if str(path) not in str(error):
            raise AssertionError(f"a refusal names the file: {error}") from error
        return
    changed = [
        row.run_id
        for row in table.rows.itertuples()
        if (row.params, row.tokens, row.flops, row.loss) != truth.get(row.run_id)
    ]
    assert not changed, f"used with other numbers: {changed}; set aside: {table.set_aside}"
    assert table["run_id"].is_unique
    counts = table.counts
    assert counts["used"] == len(table)
    assert counts["quarantined"] == len(table.set_aside)
    lost = set(truth) - set(table["run_id"])
    assert not lost or counts["quarantined"] or cut_between_lines(path, len(table)), (
        f"gone without a word: {lost}"
    )


def cut_between_lines(path: Path, used: int) -> bool:
    """A file that lost whole lines at its end says nothing about it; no number changed."""
    return (
        path.suffix in (".csv", ".jsonl")
        and len(path.read_bytes().splitlines()) - (path.suffix == ".csv") == used
    )


def test_undamaged_tables_lose_nothing(tmp_path: Path) -> None:
    """The oracle itself: without damage every row is used, in every format."""
    rows = clean_rows()
    pd.DataFrame(rows).to_parquet(tmp_path / "t.parquet")
    (tmp_path / "t.json").write_text(json.dumps(rows))
    (tmp_path / "t.csv").write_text(to_csv(rows, list(COLUMNS)))
    for name in ("t.parquet", "t.json", "t.csv"):
        table = load_runs(tmp_path / name)
        assert table.rows[list(SIZES)].to_numpy().tolist() == [[float(r[k]) for k in SIZES] for r in rows]
    assert make_record(16, 100_000).params == 5_760
