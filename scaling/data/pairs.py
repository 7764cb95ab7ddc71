"""The user's own pairs of sentences, such as translations: local TSV and JSONL files, one document per
pair."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from scaling.data.compressed import open_bytes
from scaling.data.source import Document, Source
from scaling.data.text import check_field, json_rows, read_files
from scaling.data.tokenizer import Tokenizer

# Between the sides of a pair. White space, so that BPE never joins it to a word (see `tokenizer.WORDS`; a
# control character would count as punctuation and merge with a full stop), and one that nobody types.
SEPARATOR = "\v"
LEGAL = ".tsv and .jsonl (each also .gz or .zst)"


def pair_files(paths: Sequence[str], fields: str) -> Source:
    """Documents `source SEPARATOR target` of local files, in the order of their names.

    A row of .tsv is source, tab, target; further columns, such as a licence, are left alone. A row of .jsonl
    holds both in `fields`, "source,target" unless told otherwise. Blank rows are skipped; white space around
    a side is taken off. Pairs with one source are on one side of the split, so that no held-out source has
    been seen.

    Raises:
        ValueError: for no paths, or a file of another kind; while reading, for a row with a missing side or a
            vertical tab in it, naming file and line.
        FileNotFoundError: for a path or glob that matches no file.
    """
    if not paths:
        raise ValueError(f"corpus 'pairs' needs paths: files, folders or globs of {LEGAL}.")
    return read_files("pairs", paths, fields, {".tsv": _read_tsv, ".jsonl": _read_jsonl}, LEGAL)


def find_separator(tokenizer: Tokenizer) -> int:
    """The id of the separator."""
    ids = tokenizer.encode(SEPARATOR)
    assert len(ids) == 1  # every byte has an id, and this one merges with nothing
    return ids[0]


def _read_tsv(path: str, name: str, fields: str) -> Iterator[Document]:
    with open_bytes(path) as file:
        for number, line in enumerate(file, start=1):
            where = f"{path}:{number}"
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise ValueError(
                    f"{where}: not UTF-8 at byte {error.start}; save the file as UTF-8."
                ) from error
            if text.strip():
                source, _, rest = text.partition("\t")
                yield _document(source, rest.partition("\t")[0], where, "source, tab, target")


def _read_jsonl(path: str, name: str, fields: str) -> Iterator[Document]:
    source, comma, target = (part.strip() for part in fields.partition(","))
    if not (source and comma and target):
        raise ValueError(f'data.field: of pairs, both fields of a row as in "source,target"; got {fields!r}.')
    for number, row in json_rows(path, source):
        where = f"{path}:{number}"
        sides: list[str] = []
        for field in (source, target):
            check_field(field, row, where)
            if not isinstance(row[field], str):
                kind = type(row[field]).__name__
                raise ValueError(f"{where}: field {field!r} holds {kind}, not text.")
            sides.append(row[field])
        yield _document(sides[0], sides[1], where, f"an object with {source!r} and {target!r}")


def _document(source: str, target: str, where: str, form: str) -> Document:
    source, target = source.strip(), target.strip()
    for side, text in (("source", source), ("target", target)):
        if not text:
            raise ValueError(f"{where}: the {side} is missing. A row is {form}.")
        if SEPARATOR in text:
            raise ValueError(
                f"{where}: the {side} holds a vertical tab (0x0b), which stands between the sides here. "
                "Remove it."
            )
    key = hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()
    return Document(key, f"{source}{SEPARATOR}{target}".encode("utf-8", "surrogatepass"))
