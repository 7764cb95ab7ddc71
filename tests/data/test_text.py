from __future__ import annotations

import gzip
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
import zstandard

from scaling.data.source import Document
from scaling.data.text import text_files


def documents(*paths: Path | str, field: str = "text") -> list[Document]:
    return list(text_files([str(path) for path in paths], field).documents())


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    compress: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".zst": zstandard.compress}
    path.write_bytes(compress.get(path.suffix, bytes)(data))
    return path


def jsonl(*rows: object) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_plain_files_are_documents(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / f"b.txt{suffix}", "zwei\r\né".encode())
    write(tmp_path / f"sub/a.MD{suffix}", b"# one")
    expected = [Document(f"b.txt{suffix}", "zwei\r\né".encode()), Document(f"sub/a.MD{suffix}", b"# one")]
    assert documents(tmp_path) == expected


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_rows_of_jsonl_are_documents(tmp_path: Path, suffix: str) -> None:
    rows = jsonl({"body": "one\ntwo"}, {"body": None}, {"body": "\ud800"})
    path = write(tmp_path / f"x.jsonl{suffix}", rows + b"\n")
    name = path.name
    expected = [
        Document(f"{name}#0", b"one\ntwo"),
        Document(f"{name}#1", b""),
        Document(f"{name}#2", b"\xed\xa0\x80"),
    ]
    assert documents(path, field="body") == expected


def test_rows_of_parquet_are_documents(tmp_path: Path) -> None:
    values = [f"row {i}" for i in range(2500)] + [None]
    path = tmp_path / "x.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"n": range(2501), "text": values}), path)
    found = documents(path)
    assert [d.text for d in found] == [(v or "").encode() for v in values]
    assert [d.key for d in found[:2]] == ["x.parquet#0", "x.parquet#1"]


@pytest.mark.parametrize("size", [1, 64 * 1024, 70_000, 300_000])
def test_a_large_plain_file_is_cut_at_line_ends(tmp_path: Path, size: int) -> None:
    lines = b"".join(b"%06d a line of a book\n" % i for i in range(size // 22 + 1))[:size]
    found = documents(write(tmp_path / "book.txt", lines))
    texts = [d.text or b"" for d in found]
    assert b"".join(texts) == lines
    if size <= 64 * 1024:
        assert [d.key for d in found] == ["book.txt"]
    else:
        assert [d.key for d in found] == [f"book.txt#{i}" for i in range(len(found))]
        assert all(8192 <= len(t) < 8192 + 30 and t.endswith(b"\n") for t in texts[:-1])


def test_a_book_of_one_file_has_both_splits(tmp_path: Path, open_text: Callable[..., object]) -> None:
    write(tmp_path / "book.txt", b"".join(b"%06d a line of a book\n" % i for i in range(50_000)))
    data = open_text(tmp_path / "book.txt", heldout_fraction=0.05)
    assert data.facts["documents"]["heldout"] > 0  # type: ignore[attr-defined]


def test_globs_are_sorted_and_named_from_their_fixed_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("corpus/z.txt", "corpus/a/b.txt", "corpus/a/c/d.txt", "corpus/skip.md"):
        write(tmp_path / name, name.encode())
    monkeypatch.chdir(tmp_path)
    assert [d.key for d in documents("corpus/**/*.txt")] == ["a/b.txt", "a/c/d.txt", "z.txt"]
    assert [d.key for d in documents("corpus/*/*.txt")] == ["a/b.txt"]
    assert [d.key for d in documents("corpus/z.txt", "corpus/z.txt")] == ["z.txt"]
    assert [d.key for d in documents(tmp_path / "corpus/[yz].txt")] == ["z.txt"]
    monkeypatch.setenv("HOME", str(tmp_path))
    assert [d.key for d in documents("~/corpus/z.txt")] == ["z.txt"]


def test_a_folder_takes_the_kinds_it_knows(tmp_path: Path) -> None:
    for name in ("a.txt", "b.csv", "c.parquet.gz", "d.gz"):
        write(tmp_path / "[odd]" / name, b"x")
    assert [d.key for d in documents(tmp_path / "[odd]")] == ["a.txt"]


def test_nothing_found_names_the_glob_and_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    where = rf"Current folder: {tmp_path}\."
    with pytest.raises(FileNotFoundError, match=rf"corpus 'text': 'no/\*\.txt': no file matches\. {where}"):
        documents("no/*.txt")
    with pytest.raises(FileNotFoundError, match=rf"corpus 'text': 'gone.txt': no file matches\. {where}"):
        documents("gone.txt")
    os.mkdir("empty")
    with pytest.raises(FileNotFoundError, match="'empty': the folder holds no file of a known kind"):
        documents("empty")


def test_no_paths_and_other_kinds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"corpus 'text' needs paths: files, folders or globs of \.txt"):
        documents()
    write(tmp_path / "a.csv", b"x")
    with pytest.raises(
        ValueError, match=r"a\.csv: cannot read this kind of file\. Known: \.txt, \.md, \.jsonl"
    ):
        documents(tmp_path / "*")


def test_a_missing_field_names_those_present(tmp_path: Path) -> None:
    path = write(tmp_path / "x.jsonl", jsonl({"text": "a"}, {"body": "b", "id": 1}))
    with pytest.raises(ValueError, match=r"x\.jsonl, line 2: no field 'text'; there are: body, id\."):
        documents(path)
    with pytest.raises(ValueError, match=r"line 1: no field 'text'; there are: none\."):
        documents(write(path, b"{}\n"))
    parquet = tmp_path / "x.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"body": ["a"], "id": [1]}), parquet)
    with pytest.raises(ValueError, match=r"x\.parquet: no field 'text'; there are: body, id\."):
        documents(parquet)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{broken", r"x\.jsonl, line 1: not JSON \(.*\)\. A \.jsonl file has one JSON object per line\."),
        (b"[1]", r"line 1: a JSON list, where an object with a field 'text' should be\."),
        (b'{"text": 3}', r"line 1: field 'text' holds int, not text\."),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        documents(write(tmp_path / "x.jsonl", line))


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [("x.txt.zst", "zstandard", "train"), ("x.parquet", "pyarrow", "parquet")],
)
def test_a_missing_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, package: str, extra: str
) -> None:
    path = write(tmp_path / name, b"x")
    for module in [m for m in sys.modules if m.split(".")[0] == package]:
        monkeypatch.setitem(sys.modules, module, None)
    match = rf"{name}: reading .* needs the package {package}: pip install 'scaling-harness\[{extra}\]'"
    with pytest.raises(ModuleNotFoundError, match=match):
        documents(path)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_files_made_of_several_compressed_parts_are_read_whole(tmp_path: Path, suffix: str) -> None:
    compress = gzip.compress if suffix == ".gz" else zstandard.compress
    path = tmp_path / f"x.txt{suffix}"
    path.write_bytes(b"".join(compress(part) for part in (b"one ", b"", b"two ", b"three" * 10_000)))
    (tmp_path / f"nothing.txt{suffix}").write_bytes(b"")
    assert documents(path) == [Document(path.name, b"one two " + b"three" * 10_000)]
    assert documents(tmp_path / f"nothing.txt{suffix}")[0].text == b""


@pytest.mark.parametrize("name", ["x.txt.gz", "x.jsonl.zst", "x.txt.zst", "x.parquet"])
@pytest.mark.parametrize("keep", [0.1, 0.9])
def test_a_file_cut_short_is_an_error_never_a_shorter_text(tmp_path: Path, name: str, keep: float) -> None:
    path = tmp_path / name
    if name == "x.parquet":
        pyarrow.parquet.write_table(pyarrow.table({"text": ["a"] * 1000}), path)
    else:
        write(path, jsonl(*({"text": str(i**7)} for i in range(3000))))
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data))])
    with pytest.raises(ValueError, match=rf"{name}: cannot be read: "):
        documents(path)


def test_bytes_that_are_not_what_the_name_says_are_an_error(tmp_path: Path) -> None:
    for name in ("x.txt.gz", "x.txt.zst", "x.parquet"):
        (tmp_path / name).write_bytes(b"plain text, wrongly named")
        with pytest.raises(ValueError, match=rf"{name}: cannot be read: "):
            documents(tmp_path / name)
