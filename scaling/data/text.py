"""The user's own text: local files by path, folder or glob."""

from __future__ import annotations

import glob
import itertools
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from scaling.data.compressed import open_bytes, suffix
from scaling.data.source import Document, FileStamp, Source

WHOLE_BYTES = 64 * 1024  # a plain file up to about this size is one document
PART_BYTES = 8 * 1024  # a larger one is cut at line ends into parts of about this size
LEGAL = ".txt, .md, .jsonl (each also .gz or .zst) and .parquet"


def text_files(paths: Sequence[str], field: str) -> Source:
    """Documents of local files, in the order of their names.

    A path is a file, a folder (every file of a known kind below it) or a glob (`**` for any depth). One
    document is a row of .jsonl or .parquet, its text in `field`; or a plain file up to about 64 KiB. A larger
    plain file is a book or a collection: it is cut at line ends into documents of about 8 KiB, so that a
    corpus of one file can be split too. Documents are named by their place below the folder or the fixed part
    of the glob, so moving the corpus changes nothing.

    Raises:
        ValueError: for no paths, or a file of another kind.
        FileNotFoundError: for a path or glob that matches no file, naming it and the current folder.
    """
    if not paths:
        raise ValueError(f"corpus 'text' needs paths: files, folders or globs of {LEGAL}.")
    return read_files("text", paths, field, _READ, LEGAL)


Reader = Callable[[str, str, str], Iterator[Document]]  # path, name, field


def read_files(
    corpus: str, paths: Sequence[str], field: str, readers: Mapping[str, Reader], legal: str
) -> Source:
    """The source of the files that `paths` name, each read by the reader of its suffix."""
    files = sorted({pair for pattern in paths for pair in _match(corpus, pattern, readers, legal)})
    stamps = []
    for name, path in files:
        status = os.stat(path)
        stamps.append(FileStamp(name, status.st_size, status.st_mtime_ns))

    def documents() -> Iterator[Document]:
        for name, path in files:
            kind = _kind(path, readers)
            assert kind is not None  # _match let only known kinds through
            try:
                yield from readers[kind](path, name, field)
            except Exception as error:
                if path in str(error):
                    raise
                # What decompressors and Parquet say of a damaged file does not name it.
                raise ValueError(f"{path}: cannot be read: {error}") from error

    facts = {
        "paths": list(paths),
        "files": len(files),
        "file_bytes": sum(stamp.size for stamp in stamps),
    }
    settings = {"field": field, "files": [path for _, path in files]}
    where = f"{', '.join(map(repr, paths))} (current folder: {os.getcwd()})"
    return Source(corpus, where, tuple(stamps), documents, settings, facts)


def _match(corpus: str, pattern: str, readers: Mapping[str, Reader], legal: str) -> Iterator[tuple[str, str]]:
    """(name, path) of the files of one path, folder or glob."""
    path = os.path.abspath(os.path.expanduser(pattern))
    if os.path.isdir(path):
        root, found = path, [p for p in _files(os.path.join(glob.escape(path), "**")) if _kind(p, readers)]
        missing = f"the folder holds no file of a known kind ({legal})"
    elif os.path.exists(path):
        root, found, missing = os.path.dirname(path), [path], ""
    else:
        fixed = itertools.takewhile(lambda part: not glob.has_magic(part), Path(path).parent.parts)
        root, found = os.path.join(*fixed), _files(path)
        missing = "no file matches"
    if not found:
        raise FileNotFoundError(f"corpus {corpus!r}: {pattern!r}: {missing}. Current folder: {os.getcwd()}.")
    for file in found:
        if not _kind(file, readers):
            raise ValueError(f"corpus {corpus!r}: {file}: cannot read this kind of file. Known: {legal}.")
        yield os.path.relpath(file, root).replace(os.sep, "/"), file


def _files(pattern: str) -> list[str]:
    return [path for path in glob.iglob(pattern, recursive=True) if os.path.isfile(path)]


def _kind(path: str, readers: Mapping[str, Reader]) -> str | None:
    """The format that a name tells, as a key of `readers`; None for one that is not known."""
    compression = suffix(path)
    kind = os.path.splitext(path.lower().removesuffix(compression))[1]
    return kind if kind in readers and not (kind == ".parquet" and compression) else None


def _read_plain(path: str, name: str, field: str) -> Iterator[Document]:
    with open_bytes(path) as file:
        parts = iter(lambda: b"".join(file.readlines(PART_BYTES)), b"")
        head = list(itertools.islice(parts, WHOLE_BYTES // PART_BYTES))
        following = next(parts, None)
        if following is None:
            yield Document(name, b"".join(head))
            return
        for i, part in enumerate(itertools.chain(head, [following], parts)):
            yield Document(f"{name}#{i}", part)


def _read_jsonl(path: str, name: str, field: str) -> Iterator[Document]:
    for number, row in json_rows(path, field):
        where = f"{path}, line {number}"
        check_field(field, row, where)
        yield Document(f"{name}#{number - 1}", text_bytes(row[field], field, where))


def json_rows(path: str, field: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of a .jsonl file.

    Raises:
        ValueError: for a line that is none.
    """
    with open_bytes(path) as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            where = f"{path}, line {number}"
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ValueError(
                    f"{where}: not JSON ({error}). A .jsonl file has one JSON object per line."
                ) from error
            if not isinstance(row, dict):
                raise ValueError(
                    f"{where}: a JSON {type(row).__name__}, where an object with a field {field!r} should be."
                )
            yield number, row


def _read_parquet(path: str, name: str, field: str) -> Iterator[Document]:
    try:
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{path}: reading Parquet needs the package pyarrow: pip install 'scaling-harness[parquet]'."
        ) from error
    with pyarrow.parquet.ParquetFile(path) as file:
        check_field(field, file.schema_arrow.names, path)
        number = itertools.count()
        for batch in file.iter_batches(batch_size=1024, columns=[field]):
            for value in batch.column(0).to_pylist():
                i = next(number)
                yield Document(f"{name}#{i}", text_bytes(value, field, f"{path}, row {i}"))


def check_field(field: str, present: Any, where: str) -> None:
    """
    Raises:
        ValueError: where rows have no `field`, naming those they have.
    """
    if field not in present:
        raise ValueError(f"{where}: no field {field!r}; there are: {', '.join(map(str, present)) or 'none'}.")


def text_bytes(value: Any, field: str, where: str) -> bytes:
    """The text of a field; no text where it is null, which counts as an empty document.

    Raises:
        ValueError: where it is something else.
    """
    if value is None:
        return b""
    if not isinstance(value, str):
        raise ValueError(f"{where}: field {field!r} holds {type(value).__name__}, not text.")
    return value.encode("utf-8", "surrogatepass")  # half a surrogate pair then counts as not UTF-8


_READ: dict[str, Reader] = {
    ".txt": _read_plain,
    ".md": _read_plain,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}
