"""Files and expressions made to do harm: a sentence in no time and memory, no escapes to a terminal."""

from __future__ import annotations

import gzip
import json
import os
import resource
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.report.formats import frame_to_csv
from analysis.table import load_runs, split_comparable
from experiments.cli import main
from scaling.records.record import encode_record
from tests.analysis.synthetic import true_loss, write_study

ROWS = "".join(
    f"{n:g},{d:g},{true_loss(n, d)}\n" for n in (1e4, 3e4, 1e5, 3e5) for d in (1e5, 4e5, 1.6e6, 6.4e6)
)
GOOD = "params,tokens,loss\n" + ROWS


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """Every answer comes within seconds and without memory; what a file holds itself is not counted."""
    begun, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000  # kB
    assert time.process_time() - begun < 5


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refusal(*arguments: object, **options: object) -> str:
    """The message of a refusal: a sentence or two, printable."""
    with pytest.raises((ValueError, OSError)) as refused:
        load_runs(*arguments, **options)  # type: ignore[arg-type]
    text = str(refused.value)
    assert len(text) < 1000
    return text


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "zero.csv").symlink_to("/dev/zero")
    (tmp_path / "one.csv").symlink_to(tmp_path / "two.csv")
    (tmp_path / "two.csv").symlink_to(tmp_path / "one.csv")
    (tmp_path / "folder.csv").mkdir()
    assert "pipe.csv: a pipe or a device" in refusal(tmp_path / "pipe.csv")
    assert "zero.csv: a pipe or a device" in refusal(tmp_path / "zero.csv")
    assert "one.csv: a broken link" in refusal(tmp_path / "one.csv")
    assert "not a study's runs folder" in refusal(tmp_path / "folder.csv")
    os.mkfifo(tmp_path / "map.yaml")
    good = write(tmp_path / "good.csv", GOOD)
    assert "map.yaml: a folder, a pipe or a device" in refusal(good, str(tmp_path / "map.yaml"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("deep.json", "[" * 100_000, "not JSON"),
        ("closed.json", '[{"params":' + "[" * 100_000 + "]" * 100_000 + "}]", "not JSON"),
        ("deep.jsonl", '{"a":' * 100_000, "line 1: not JSON"),
        ("digits.json", '[{"params":' + "9" * 1_000_000 + "}]", "not JSON: Exceeds the limit"),
        ("line.csv", GOOD + "x" * 5_000_000, "line 18: more than 4000000 characters"),
        ("header.csv", "a," * 100_000 + "\n" + "1," * 100_000 + "\n", "columns are more than 20000"),
        ("quote.csv", GOOD + '"' + "1,2,3\n" * 100_000, "not CSV: field larger than"),
        ("bomb.csv.gz", gzip.compress(b"\0" * 50_000_000), "unpacks to more than"),
    ],
)
def test_files_that_would_never_end(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    assert message in refusal(write(tmp_path / name, content))


@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_a_file_too_large_to_read_is_not_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"big{suffix}"
    with path.open("wb") as file:
        file.truncate(1 << 32)  # a hole: no disk
    assert "4,294,967,296 bytes are more than the" in refusal(path)


@pytest.mark.parametrize(
    ("suffix", "content", "message"),
    [
        (".json", '{"a":' * 1_500, "too deeply"),
        (".json", '{"a":' * 100_000, "bytes are more than"),
        (".yaml", "[" * 1_200, "not YAML"),
        (".yaml", "loss: {column: loss, factor: [&a [x, x], &b [*a, *a], [*b, *b]]}\n", "positive number"),
    ],
)
def test_mappings_that_would_never_end(tmp_path: Path, suffix: str, content: str, message: str) -> None:
    good = write(tmp_path / "good.csv", GOOD)
    assert message in refusal(good, str(write(tmp_path / f"map{suffix}", content)))


@pytest.mark.parametrize(
    "text",
    [
        "9**9**9", "loss**9**9**9**9", "(" * 5000 + "loss" + ")" * 5000, "-" * 900 + "loss", "a" * 1_000_000,
        "log(" * 100 + "loss" + ")" * 100, "loss+'" + "x" * 900 + "'", "loss*" * 300 + "loss", "\x1b[31mloss",
    ],
)  # fmt: skip
def test_expressions_that_would_never_end(tmp_path: Path, text: str) -> None:
    good = write(tmp_path / "good.csv", GOOD)
    said = refusal(good, [f"loss={text}"]) + refusal(good, where=f"{text} > 1 and loss < 0")
    assert "\x1b" not in said


def test_control_characters_are_shown_and_not_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ROWS.splitlines()
    header = "params,tokens,loss,op\x1b[2Jtimizer"
    words = ("a", "mu\x1b[31mon")
    cells = [f"{row},{words[i % 2]}" for row in rows for i in range(2)]
    cells += [f"1e4,1e5,3\x07,\x9b31m\u202e{chr(0)}"]
    path = write(tmp_path / "t\x1b[31m.csv", "\n".join([header, *cells]) + "\n")
    parts = split_comparable(load_runs(path))
    assert set(parts) == {"op\\x1b[2Jtimizer a", "op\\x1b[2Jtimizer mu\\x1b[31mon"}
    assert main(["fit", str(path), "--law", "chinchilla", "--resamples", "2"]) == 0
    assert main(["fit", str(path), "--columns", "loss=\x1b[31m"]) == 2
    out, err = capsys.readouterr()
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(out + err)
    study = write_study(tmp_path / "study")
    first = study[0]
    forged = replace(first, family="mu\x1b[31mon", data="\u202ex")
    (tmp_path / "study" / first.trunk_id / first.run_id / "record.json").write_bytes(encode_record(forged))
    rows = load_runs(tmp_path / "study").rows
    assert {"mu\\x1b[31mon", "\\u202ex"} <= {*rows["family"], *rows["data"]}
    listed = json.dumps([{"params": 1e4, "tokens": 1e5, "loss": 3, "a\nb": "\x1b["}])
    assert load_runs(write(tmp_path / "t.json", listed))["a b"].tolist() == ["\\x1b["]


def test_no_cell_becomes_a_formula(tmp_path: Path) -> None:
    cells = ["=1+1", "@SUM(A1)", "+cmd|' /C calc'!A0", "-2+3", "\t=1+1", "plain"] * 2
    lines = [f"{row},{cell}" for row, cell in zip(ROWS.splitlines(), cells, strict=False)]
    table = load_runs(write(tmp_path / "t.csv", "params,tokens,loss,=note\n" + "\n".join(lines) + "\n"))
    text = frame_to_csv(table.rows)
    assert not [
        cell for line in text.splitlines() for cell in line.split(",") if cell[:1] in "=@+\t" and cell
    ]
    assert "'=1+1" in text
    assert "'=note" in text.splitlines()[0]
