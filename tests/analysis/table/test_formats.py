"""One table in every format and number style that people have: the same numbers or a refusal, no others."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis.table import RunTable, load_curves, load_runs
from analysis.table.cells import read_numbers
from analysis.table.numbers import Role
from analysis.table.sources import read_file
from tests.analysis.synthetic import true_loss

Row = tuple[str, int, int, float]
HEADER = ["run_id", "params", "tokens", "loss"]


def make_runs(digits: int = 15) -> list[Row]:
    """25 runs of the known law; losses rounded to so many decimals."""
    rng = np.random.default_rng(3)
    sizes, budgets = (
        (5_760, 31_104, 124_000, 1_300_000, 12_000_000),
        (100_000, 630_000, 4_000_000, 5 * 10**7, 10**9),
    )
    return [
        (f"r{N}x{D}", N, D, round(float(true_loss(N, D) * np.exp(rng.normal() * 0.004)), digits))
        for N in sizes
        for D in budgets
    ]


RUNS = make_runs()


def frame(runs: Sequence[Row] = RUNS) -> pd.DataFrame:
    return pd.DataFrame(runs, columns=HEADER)


def delimited(
    rows: Sequence[Sequence[object]], delimiter: str = ",", end: str = "\n", quote: int = csv.QUOTE_MINIMAL
) -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=quote).writerows(rows)  # type: ignore[arg-type]
    return text.getvalue()


def table_text(runs: Sequence[Row] = RUNS, delimiter: str = ",") -> str:
    return delimited([HEADER, *runs], delimiter)


def assert_same(table: RunTable, runs: Sequence[Row] = RUNS) -> None:
    assert table.counts["used"] == len(runs), table.set_aside[:3]
    assert table.counts["quarantined"] == 0, table.set_aside
    assert table.rows[["params", "tokens", "loss"]].to_numpy().tolist() == [list(run[1:]) for run in runs]


def load(tmp_path: Path, name: str, content: str | bytes) -> RunTable:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return load_runs(path)


def noted(table: RunTable, text: str) -> bool:
    return any(text in note for note in table.notes)


# --- number styles --------------------------------------------------------------------------------------

GROUPS = {
    "comma": ",",
    "dot": ".",
    "space": " ",
    "nbsp": "\u00a0",
    "thin": "\u202f",
    "apostrophe": "'",
    "_": "_",
}


def group(value: int, mark: str) -> str:
    return f"{value:,}".replace(",", mark)


def suffix(value: int, letters: str = "kMBT") -> str:
    """The value with a suffix and no digit lost: 1300000 as 1.3M."""
    power = max(p for p in (1, 2, 3, 4) if value >= 1000**p or p == 1)
    return f"{(Decimal(value) / 1000**power).normalize():f}{letters[power - 1]}"


WORDS = {"k": "thousand", "M": "million", "B": "billion", "T": "trillion"}
SIZES: dict[str, Callable[[int], str]] = {
    "plain": str,
    "float": lambda v: f"{v}.0",
    "exponent": lambda v: f"{v:.6e}",
    "suffix": suffix,
    "small suffix": lambda v: suffix(v, "kmbt"),
    "G": lambda v: suffix(v, "KMGT"),
    "spaced suffix": lambda v: f"{suffix(v)[:-1]} {suffix(v)[-1]}",
    "words": lambda v: f"{suffix(v)[:-1]} {WORDS[suffix(v)[-1]]}",
    "unit": lambda v: f"{suffix(v)} tokens",
    **{f"groups {name}": lambda v, mark=mark: group(v, mark) for name, mark in GROUPS.items()},
}


def write_styled(
    runs: Sequence[Row], style: str, mark: str, delimiter: str, header: Sequence[str] = HEADER
) -> str:
    def size(value: int) -> str:
        text = SIZES[style](value)
        return text if mark == "." or style.startswith("groups") else text.replace(".", ",")

    rows = [[name, size(N), size(D), repr(L).replace(".", mark)] for name, N, D, L in runs]
    return delimited([list(header), *rows], delimiter)


def fits(style: str, mark: str) -> bool:
    """Whether a style of separators can stand beside this decimal mark."""
    return style != ("groups comma" if mark == "," else "groups dot")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("mark", [".", ","])
@pytest.mark.parametrize("style", SIZES)
def test_every_style_of_numbers(tmp_path: Path, style: str, mark: str, delimiter: str) -> None:
    if not fits(style, mark):
        pytest.skip("one mark cannot be both")
    table = load(tmp_path, "t.csv", write_styled(RUNS, style, mark, delimiter))
    assert_same(table)
    assert noted(table, "loss: read") == (mark == ",")
    plain = style in ("plain", "float", "exponent")
    assert noted(table, "params: read") == (not plain or (mark == "," and style != "plain"))
    assert sum(note.startswith("params:") for note in table.notes) <= 1


DELIMITERS = st.sampled_from([",", ";", "\t", "|"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    style=st.tuples(*[st.sampled_from(list(SIZES))] * 2),
    marks=st.tuples(*[st.sampled_from([".", ","])] * 3),
    delimiter=DELIMITERS,
    digits=st.sampled_from([2, 3, 4, 15]),
    keep=st.sets(st.integers(0, 24), min_size=10),
    mixed=st.sampled_from([0.0, 0.1, 0.5]),
    commas=st.booleans(),
    data=st.data(),
)
def test_any_mix_of_styles_gives_the_same_numbers_or_a_refusal(
    tmp_path: Path,
    style: tuple[str, str],
    marks: tuple[str, str, str],
    delimiter: str,
    digits: int,
    keep: set[int],
    mixed: float,
    commas: bool,
    data: st.DataObject,
) -> None:
    """A column may contradict the next or itself: rows may be lost with a reason, numbers never changed."""
    runs = [run for i, run in enumerate(make_runs(digits)) if i in keep]
    draw = data.draw(st.randoms(use_true_random=False))

    def size(value: int, j: int) -> str:
        name = "plain" if draw.random() < mixed else style[j]
        text = SIZES[name](value)
        return text if marks[j] == "." or name.startswith("groups") else text.replace(".", ",")

    header = ["run_id", "params", "tokens", "loss", "note, free" if commas else "note"]
    rows = [[n, size(N, 0), size(D, 1), repr(L).replace(".", marks[2]), "x"] for n, N, D, L in runs]
    path = tmp_path / "t.csv"
    path.write_text(delimited([header, *rows], delimiter), encoding="utf-8")
    try:
        table = load_runs(path)
    except ValueError as error:
        if "no finished run to fit" not in str(error):
            raise
        return
    truth = {name: (N, D, L) for name, N, D, L in runs}
    for row in table.rows.itertuples():
        assert (row.params, row.tokens, row.loss) == truth[row.run_id], (path.read_text(), table.notes)
    assert table.counts["used"] + table.counts["quarantined"] == len(runs)


@pytest.mark.parametrize(
    ("cells", "role", "decimal", "values"),
    [
        (["4,943", "4,41"], "real", ".", [4.943, 4.41]),  # 4,41 groups nothing, so the column settles it
        (["4,943", "3,912"], "real", ",", [4.943, 3.912]),
        (["4,943", "3,912"], "real", "", None),
        (["4,943", "3,912"], "real", ".", None),
        (["10,000", "300,000"], "size", ".", [1e4, 3e5]),
        (["10,000", "300,000"], "size", ",", None),
        (["10,000", "300,000"], "size", "", None),
        (["10,000", "1,300,000"], "size", "", [1e4, 1.3e6]),
        (["10.000", "300.000"], "size", ",", [1e4, 3e5]),
        (["10.000", "300.000"], "real", ",", None),
        (["10.000", "1.300.000"], "size", ".", [1e4, 1.3e6]),
        (["10.000", "300.000"], "size", ".", None),  # no count has a fraction
        (["10.000", "300.000"], "real", ".", [10.0, 300.0]),
        (["10.000", "300.25"], "size", ".", [10.0, 300.25]),
        (["1.234", "4.5"], "real", ",", [1.234, 4.5]),
        (["1.234,5", "12"], "real", ".", [1234.5, 12]),
        (["1,00E+09", "3,00E+10"], "size", ",", [1e9, 3e10]),
        (["0,123", "0,456"], "real", ".", [0.123, 0.456]),  # no number is grouped behind a zero
        (["1.3B", "4.1M", "700k"], "size", ".", [1.3e9, 4_100_000, 7e5]),
        (["1,3B", "4,1M", "700k"], "size", ",", [1.3e9, 4_100_000, 7e5]),
        (["1.300M", "4.100M"], "size", ",", None),  # 1.3 or 1300 million
        (["6.2 TFLOPs", "12 TFLOPs"], "size", ".", [6.2e12, 1.2e13]),
        (["125M params", "1.3B params"], "size", ".", [1.25e8, 1.3e9]),
        (["10M", "30M"], "real", ".", None),  # no unit of a loss
        (["32K", "50K"], "count", ".", None),  # 1000 or 1024
        (["45%", "50%"], "real", ".", None),
        (["10M", 30_000_000, "100M"], "size", ".", [1e7, 3e7, 1e8]),
    ],
)
def test_what_a_column_settles(
    cells: list[Any], role: Role, decimal: str, values: list[float] | None
) -> None:
    found = read_numbers(cells, role=role, decimal=decimal)
    if values is None:
        assert set(found.reasons) == {0, 1}
        assert np.isnan(found.values).all()
    else:
        assert list(found.values) == values
        assert len(found.notes) <= 1


@pytest.mark.parametrize(
    ("cells", "role", "bad"),
    [
        (["10000", "30000", "40000", "1_000"], "size", 3),
        (["10000", "30000", "40000", "1,000"], "size", 3),
        (["4.9", "3.1", "4.0", "1_000"], "real", 3),
        (["4.9", "3.1", "4.0", "1,5"], "real", 3),
        (["5", "3", "4", "1,5"], "real", 3),
        (["10M", "30M", "100M", "7"], "size", 3),
        (["10000", "30000", "40000", "1.3B"], "size", 3),
        ([10_000, 30_000, 40_000, "1.3B"], "size", 3),
        ([4.9, 3.1, 4.0, "1,5"], "real", 3),
        (["4,9", "3,1", "4,0", "1.5"], "real", 3),
    ],
)
def test_a_cell_unlike_its_column_is_set_aside_alone(cells: list[Any], role: Role, bad: int) -> None:
    found = read_numbers(cells, role=role)
    assert set(found.reasons) == {bad}
    assert repr(cells[bad]) in found.reasons[bad]


@given(st.lists(st.integers(1000, 10**15), min_size=1, max_size=8), st.sampled_from(list(SIZES)))
def test_whole_numbers_survive_every_style_of_counts(values: list[int], style: str) -> None:
    if style == "exponent":  # writes six digits
        values = [int(float(f"{v:.6e}")) for v in values]
    found = read_numbers(
        [SIZES[style](v) for v in values], role="size", decimal="," if "dot" in style else "."
    )
    for i, (read, value) in enumerate(zip(found.values, values, strict=True)):
        assert i in found.reasons or read == float(value)
    assert not found.reasons or style in ("words", "unit", "suffix", "small suffix", "G", "spaced suffix")


@given(st.lists(st.text("0123456789.,eE+-_' kMBT%", min_size=1, max_size=9), min_size=1, max_size=5))
def test_no_text_breaks_the_reader(cells: list[str]) -> None:
    for role in ("size", "count", "real"):
        for decimal in (".", ",", ""):
            found = read_numbers(cells, role=role, decimal=decimal)  # type: ignore[arg-type]
            for i, value in enumerate(found[0]):
                assert np.isfinite(value) or i in found.reasons or cells[i].strip() in ("", "-")


# --- delimited files ------------------------------------------------------------------------------------

PLAIN = table_text()
GERMAN = write_styled(RUNS, "plain", ",", ";")
VARIANTS: dict[str, str | bytes] = {
    "bom": b"\xef\xbb\xbf" + PLAIN.encode(),
    "utf-16": table_text(delimiter="\t").encode("utf-16"),
    "utf-16 big endian": b"\xfe\xff" + PLAIN.encode("utf-16-be"),
    "cr": PLAIN.replace("\n", "\r"),
    "crlf": PLAIN.replace("\n", "\r\n"),
    "sep line": "sep=;\r\n" + table_text(delimiter=";").replace("\n", "\r\n"),
    "quoted sep line": '"sep=|"\n' + table_text(delimiter="|"),
    "quoted": delimited([HEADER, *RUNS], quote=csv.QUOTE_ALL),
    "quoted without end": delimited([HEADER, *RUNS], quote=csv.QUOTE_ALL).rstrip("\n"),
    "without end": PLAIN.rstrip("\n"),
    "comments": "# made by hand\n#\n" + PLAIN.replace("\nr124000x1", "\n# of, three, parts\nr124000x1", 1),
    "blank lines": "\n\n" + PLAIN.replace("\n", "\n\n"),
    "empty rows": PLAIN + ",,,\n,,,\n",
    "trailing delimiters": PLAIN.replace("\n", ",\n"),
    "trailing delimiters of rows": PLAIN.replace("\n", ",\n").replace(",\n", "\n", 1),
    "spaces": PLAIN.replace(",", " , "),
    "no-break spaces": PLAIN.replace(",", "\u00a0,\u00a0"),
    "commas in a header": delimited([[*HEADER, "a, b, c"], *([*run, "x"] for run in RUNS)], ";"),
    "repeated header": PLAIN + PLAIN.partition("\n")[0] + "\n",
    "markdown": "".join(
        f"| {' | '.join(map(str, row))} |\n" for row in [HEADER, ["---", "--:", "--:", "---"], *RUNS]
    ),
}  # fmt: skip


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("packed", [False, True])
def test_every_kind_of_delimited_file(tmp_path: Path, variant: str, packed: bool) -> None:
    content = VARIANTS[variant]
    content = content.encode() if isinstance(content, str) else content
    table = load(tmp_path, "t.csv.gz" if packed else "t.csv", gzip.compress(content) if packed else content)
    assert_same(table)
    assert list(table["run_id"]) == [run[0] for run in RUNS]
    assert noted(table, "ends without a newline") == ("without end" in variant)


def test_a_header_behind_a_hash(tmp_path: Path) -> None:
    """np.savetxt writes its header as a comment."""
    path = tmp_path / "t.csv"
    np.savetxt(path, frame()[HEADER[1:]].to_numpy(), delimiter=",", header="params,tokens,loss", fmt="%.17g")
    assert_same(load_runs(path))


def test_rows_that_begin_with_a_hash_are_data_or_noted(tmp_path: Path) -> None:
    colours = delimited([["color", *HEADER], *(["#faebdd", *run] for run in RUNS)])
    assert_same(load(tmp_path, "a.csv", colours))
    out = load(tmp_path, "b.csv", PLAIN.replace("\nr5760x630000", "\n#r5760x630000"))
    assert_same(out, [run for run in RUNS if run[0] != "r5760x630000"])
    assert noted(out, "left out: line 3 is a comment that looks like a row")


@pytest.mark.parametrize("header", ["a, b;params;tokens;loss", "a;params, N;tokens, D;loss, nats"])
def test_the_rows_decide_on_the_delimiter(tmp_path: Path, header: str) -> None:
    text = header + "\n" + GERMAN.partition("\n")[2]
    (tmp_path / "t.csv").write_text(text)
    assert list(read_file(tmp_path / "t.csv").columns) == header.split(";")


def test_a_german_table_with_three_decimals(tmp_path: Path) -> None:
    """Every loss could be a number of thousands; that semicolons part the cells settles it."""
    runs = [run for run in make_runs(3) if len(repr(run[3])) == 5]
    assert_same(load(tmp_path, "t.csv", write_styled(runs, "groups dot", ",", ";")), runs)


@pytest.mark.parametrize("style", ["groups space", "groups apostrophe"])
def test_other_separators_leave_the_comma_to_decimals(tmp_path: Path, style: str) -> None:
    runs = [run for run in make_runs(3) if len(repr(run[3])) == 5]
    assert_same(load(tmp_path, "t.tsv", write_styled(runs, style, ",", "\t")), runs)


def test_columns_that_the_file_leaves_open_are_refused(tmp_path: Path) -> None:
    runs = [(n, N, D, L) for n, N, D, L in make_runs(3) if N < 10**6 and D < 10**6 and len(repr(L)) == 5]
    with pytest.raises(ValueError, match=r"not clear: '5,760' is 5760 or 5\.760; write it as one of the two"):
        load(tmp_path, "t.tsv", write_styled(runs, "groups comma", ".", "\t"))


CUTS = [("params", 1), ("tokens", 2), ("loss", 3)]


@pytest.mark.parametrize(("last", "j"), CUTS)
def test_a_file_cut_short_is_noticed(tmp_path: Path, last: str, j: int) -> None:
    """Cut anywhere in its last row: the row is set aside, or whole but for digits far behind the point."""
    order = [*[k for k in range(4) if k != j], j]
    text = delimited([[row[k] for k in order] for row in [HEADER, *RUNS]])  # type: ignore[list-item]
    start = text.rstrip("\n").rindex("\n") + 1
    for end in range(start + 1, len(text)):
        table = load(tmp_path, "t.csv", text[:end])
        rows = table.rows[table.rows["run_id"] == RUNS[-1][0]]
        if len(rows):
            assert rows["loss"].iloc[0] == pytest.approx(RUNS[-1][3], rel=1e-6)
            assert tuple(rows[["params", "tokens"]].iloc[0]) == RUNS[-1][1:3]
            assert noted(table, "ends without a newline")
        else:
            assert table.counts["quarantined"] == 1


def test_short_rows_and_damage_are_still_counted(tmp_path: Path) -> None:
    table = load(tmp_path, "t.csv", PLAIN + "r,1e5,1e6\nr\0s,1e5,1e6,3\nx,1e5,1e6,3,4\n")
    assert [item.row for item in table.set_aside] == ["line 27", "line 28", "line 29"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(PLAIN.encode())[:-20], "not a complete gzip file"),
        (b"params,tokens,loss\n", "not a complete gzip file"),
        (gzip.compress(bytes(1 << 25)), "unpacks to more than 16777216 bytes"),
    ],
)
def test_packed_files_that_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load(tmp_path, "t.csv.gz", content)


# --- headers of several rows ----------------------------------------------------------------------------

LEVELS = [("meta", "run_id"), ("config", "params"), ("config", "tokens"), ("summary", "loss")]


@pytest.mark.parametrize("index", [None, "name", "", "several"])
@pytest.mark.parametrize("names", [None, ["section", "key"]])
@pytest.mark.parametrize("levels", [2, 3])
def test_headers_of_several_rows(
    tmp_path: Path, index: str | None, names: list[str] | None, levels: int
) -> None:
    wide = frame()
    columns = [("all",) * (levels - 2) + pair for pair in LEVELS]
    wide.columns = pd.MultiIndex.from_tuples(columns, names=names and [None] * (levels - 2) + names)
    if index == "name":
        wide.index.name = "place in line"
    elif index == "several":
        wide.index = pd.MultiIndex.from_tuples([(f"g{i}", i) for i in range(len(wide))], names=["group", "n"])
    wide.to_csv(tmp_path / "t.csv", index=index is not None)
    table = load_runs(tmp_path / "t.csv")
    assert_same(table)
    assert noted(table, f"the first {levels} lines are a header of {levels} levels")
    if index == "several":
        assert {"group", "n"} <= set(table.rows.columns)
    if index == "name":
        assert "place in line" in table


def test_an_aggregated_table(tmp_path: Path) -> None:
    """groupby().agg() of two statistics: neither is the loss until somebody says so."""
    runs = pd.concat([frame(), frame().assign(loss=lambda t: t["loss"] + 0.01)])
    runs.groupby(["params", "tokens"]).agg({"loss": ["mean", "std"]}).to_csv(tmp_path / "t.csv")
    with pytest.raises(ValueError, match=r"'loss\.mean', 'loss\.std'"):
        load_runs(tmp_path / "t.csv")
    table = load_runs(tmp_path / "t.csv", ["loss=loss.mean"])
    assert len(table) == 25
    np.testing.assert_allclose(table["loss"], [run[3] + 0.005 for run in RUNS])


def test_merged_cells_and_a_row_of_units(tmp_path: Path) -> None:
    body = PLAIN.partition("\n")[2]
    assert_same(load(tmp_path, "a.csv", "meta,config,,summary\n" + PLAIN))
    assert_same(load(tmp_path, "b.csv", "run_id,params,tokens,loss\nname,count,count,nats\n" + body))


def test_a_bad_first_row_is_no_header(tmp_path: Path) -> None:
    header, _, body = PLAIN.partition("\n")
    for row in ("r0,oops,100000,3.1", "r0,,,", "r0,oops,nan,", "r0,oops,1e5,crashed"):
        table = load(tmp_path, "t.csv", f"{header}\n{row}\n{body}")
        assert (table.counts["used"], table.counts["quarantined"]) == (25, 1)


# --- JSON -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("orient", ["columns", "index", "split", "records", "table", "list", "tight"])
def test_every_orientation_of_pandas(tmp_path: Path, orient: str, named: bool) -> None:
    table = frame().set_index(pd.Index([f"exp-{i}" for i in range(25)])) if named else frame()
    if orient in ("list", "tight"):
        text = json.dumps(table.to_dict(orient=orient))  # type: ignore[call-overload]
    else:
        text = table.to_json(orient=orient, double_precision=15)  # type: ignore[call-overload]
    found = load(tmp_path, "t.json", text)
    assert_same(found)
    if named and orient not in ("records", "list"):
        assert list(found["index"]) == [f"exp-{i}" for i in range(25)], (
            "an index with something to say is kept"
        )
    assert_same(load(tmp_path, "u.json", json.dumps(text)))  # written twice, as json.dump(frame.to_json())


@pytest.mark.parametrize("orient", ["columns", "index", "split", "records"])
def test_columns_of_several_levels_in_json(tmp_path: Path, orient: str) -> None:
    table = frame()
    table.columns = pd.MultiIndex.from_tuples(LEVELS)
    assert_same(load(tmp_path, "t.json", table.to_json(orient=orient, double_precision=15)))  # type: ignore[call-overload]


def test_values_without_names_are_refused_with_what_to_type(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"lists without names .*orient='records'"):
        load(tmp_path, "t.json", frame().to_json(orient="values"))
    assert_same(load(tmp_path, "t.json", json.dumps([HEADER, *RUNS])))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"params": {"0": 1}, "params": {"0": 2}}', "says 'params' twice"),
        ('{"a": {"x": 1}, "b": {"y": 2}}', "columns or rows"),
        ('{"params": [1, 2], "loss": [3]}', "different lengths"),
        ("3", "got int '3'"),
        ('"abc"', "not JSON"),
        ('{"a":' * 900 + "1" + "}" * 900, "t.json"),
    ],
)
def test_json_that_is_no_table(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load(tmp_path, "t.json", text)


def test_a_wrapper_around_the_rows(tmp_path: Path) -> None:
    rows = [dict(zip(HEADER, run, strict=True)) for run in RUNS]
    table = load(tmp_path, "t.json", json.dumps({"runs": rows, "version": 3}))
    assert_same(table)
    assert noted(table, "not read: 'version'")


def wandb_rows(wrapped: bool = False) -> list[dict[str, Any]]:
    def config(value: Any) -> Any:
        return {"value": value, "desc": None} if wrapped else value

    return [
        {
            "name": name,
            "config": {"params": config(N), "optim": config({"lr": 0.01}), "_wandb": {"version": 1}},
            "summary": {"tokens": D, "eval": {"loss": L}, "_step": 10, "_runtime": 1.5},
        }
        for name, N, D, L in RUNS
    ]


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("kind", ["jsonl", "json", "python in csv", "json in csv", "parquet"])
def test_nested_wandb_runs(tmp_path: Path, kind: str, wrapped: bool) -> None:
    rows = wandb_rows(wrapped)
    path = tmp_path / f"t.{kind.split()[-1]}"
    if kind == "jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    elif kind == "json":
        path.write_text(json.dumps(rows))
    elif kind == "parquet":
        pd.DataFrame(rows).to_parquet(path)
    else:
        dump = json.dumps if kind.startswith("json") else str
        pd.DataFrame([{k: v if k == "name" else dump(v) for k, v in row.items()} for row in rows]).to_csv(
            path
        )
    table = load_runs(path)
    assert_same(table)
    assert table.columns["loss"] == "'eval.loss'"
    assert set(table["optim.lr"]) == {0.01}
    assert not [name for name in table.rows.columns if "_wandb" in name or "_step" in name]


def test_a_key_of_both_sections_keeps_its_full_names(tmp_path: Path) -> None:
    rows = [{**row, "summary": {**row["summary"], "params": 7}} for row in wandb_rows()]
    with pytest.raises(ValueError, match=r"'config\.params'.*'summary\.params'"):
        load(tmp_path, "t.jsonl", "\n".join(map(json.dumps, rows)))
    table = load_runs(tmp_path / "t.jsonl", "params=config.params")
    assert_same(table)


def test_lines_that_hold_other_ends_of_a_line(tmp_path: Path) -> None:
    rows = [
        json.dumps({**dict(zip(HEADER, run, strict=True)), "note": "a\u2028b\x85c"}, ensure_ascii=False)
        for run in RUNS
    ]
    assert_same(load(tmp_path, "t.jsonl", "\n".join(rows)))


# --- Parquet, index columns, optional columns -----------------------------------------------------------


@pytest.mark.parametrize("kind", ["", "index", "Unnamed: 0", "level_0", "parquet", "json"])
@pytest.mark.parametrize("start", ["once", "again", "gaps"])
def test_an_index_column_never_hides_duplicates(tmp_path: Path, kind: str, start: str) -> None:
    table = pd.concat([frame(), frame().tail(5), frame().tail(5)], ignore_index=start == "once")
    table = table.drop(columns="run_id")
    if start == "gaps":
        table.index = pd.Index(np.arange(len(table))[::-1] * 3 + 7)
    if kind == "parquet":
        table.to_parquet(tmp_path / "t.parquet", index=True)
    elif kind == "json":
        (tmp_path / "t.json").write_text(
            json.dumps(
                [
                    {"index": int(i), **row}
                    for i, row in zip(table.index, table.to_dict("records"), strict=True)
                ]
            )
        )
    else:
        table.to_csv(tmp_path / "t.csv", index_label=kind)
    found = load_runs(next(tmp_path.iterdir()))
    assert (found.counts["used"], found.counts["quarantined"]) == (25, 10)
    assert "repeats" in found.set_aside[0].reason


def test_an_index_with_something_to_say_is_kept(tmp_path: Path) -> None:
    names = frame().rename(columns={"run_id": "index"})
    assert "index" in load(tmp_path, "a.csv", names.to_csv(index=False))
    repeated = frame().assign(index=[0, 5] * 12 + [0])
    assert "index" in load(tmp_path, "b.csv", repeated.to_csv(index=False))


def test_pandas_numbers_repeated_columns(tmp_path: Path) -> None:
    table = load(tmp_path, "t.csv", frame().assign(**{"loss.1": 7.0}).to_csv(index=False))
    assert_same(table)
    assert set(table["loss.1"]) == {7.0}


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("vocab", "32.0K"),
        ("context", "2k"),
        ("learning_rate", "3e-4 (cosine)"),
        ("loss_se", "±0.01"),
        ("seed", "a"),
        ("width", "45%"),
        ("epochs", "-1"),
        ("steps", "0"),
        ("params_total", "?"),
        ("flops_6nd", "many"),
    ],
)
@pytest.mark.parametrize("everywhere", [False, True])
def test_an_optional_column_costs_no_run(tmp_path: Path, name: str, cell: str, everywhere: bool) -> None:
    cells = [cell if everywhere or i == 3 else "2" for i in range(25)]
    table = load(tmp_path, "t.csv", frame().assign(**{name: cells}).to_csv(index=False))
    assert_same(table)
    assert sum(note.startswith(f"{name}: kept as text") for note in table.notes) == 1
    assert cell in next(note for note in table.notes if note.startswith(name))
    if name != "flops_6nd":
        assert list(table[name]) == cells
    assert len(table.data_hash) == 64


def test_a_table_with_text_in_every_optional_column_is_reported(tmp_path: Path) -> None:
    from analysis.report.content import conventions, data_facts

    extra = dict.fromkeys(
        ("vocab", "learning_rate", "epochs", "loss_se", "params_total", "width", "depth"), "few"
    )
    table = load(tmp_path, "t.csv", frame().assign(**extra).to_csv(index=False))
    assert ("Learning rate", "few") in data_facts(table)
    assert ("N with all parameters (Hoffmann et al. 2022)", "not stated") in conventions(table)


# --- W&B charts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("quote", [csv.QUOTE_ALL, csv.QUOTE_MINIMAL])
@pytest.mark.parametrize("bounds", [False, True])
def test_a_wandb_chart_becomes_one_row_a_run_and_step(tmp_path: Path, quote: int, bounds: bool) -> None:
    names = ["lr-3e-4 - wide", "params=1e9"]
    header, rows = ["Step"], [[step] for step in range(0, 50, 10)]
    for k, name in enumerate(names):
        for end in ("", "__MIN", "__MAX") if bounds else ("",):
            header.append(f"{name} - val/loss{end}")
            for i, row in enumerate(rows):
                row.append("" if k and i % 2 else 5 - i / 8 - k)  # type: ignore[arg-type]
    (tmp_path / "t.csv").write_text(delimited([header, *rows], quote=quote).rstrip("\n"))
    raw = read_file(tmp_path / "t.csv")
    assert list(raw.columns) == ["run_name", "Step", "val/loss"]
    assert raw.columns["run_name"] == [names[0]] * 5 + [names[1]] * 3
    assert [float(cell) for cell in raw.columns["val/loss"]] == [5 - i / 8 for i in range(5)] + [
        4.0,
        3.75,
        3.5,
    ]
    assert [int(cell) for cell in raw.columns["Step"]] == [0, 10, 20, 30, 40, 0, 20, 40]
    assert any("__MIN and __MAX are left out" in note for note in raw.notes) == bounds
    assert any("2 runs" in note for note in raw.notes)
    curves = load_curves(tmp_path / "t.csv")
    assert curves.rows["loss"].tolist() == [5 - i / 8 for i in range(5)] + [4.0, 3.75, 3.5]
    assert curves.rows["step"].tolist() == [0, 10, 20, 30, 40, 0, 20, 40]
    assert list(curves.rows["trunk_id"]) == raw.columns["run_name"]
    assert curves.rows["params"].isna().all(), "a name is a label: no number comes from it"
    with pytest.raises(ValueError, match=r"a W&B chart: .*load_curves"):
        load_runs(tmp_path / "t.csv")


def test_a_table_of_runs_is_no_chart(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(PLAIN)
    with pytest.raises(ValueError, match=r"a chart that W&B exports .*Columns present: 'run_id'"):
        load_curves(tmp_path / "t.csv")
    spaced = PLAIN.replace("tokens,loss", "tokens - all,loss - val")
    (tmp_path / "u.csv").write_text(spaced)
    assert not read_file(tmp_path / "u.csv").chart
