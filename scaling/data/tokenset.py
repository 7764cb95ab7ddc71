"""A set of token files in one folder: how it is written, and how it is opened without trusting it.

tokenizer.json                   byte-level BPE only
train.bin, heldout.bin           little-endian token ids
dataset.json                     written last: sizes and hashes of the others, and its own hash
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from scaling.data.split import SPLITS, Split
from scaling.data.tokenizer import BYTES, BpeTokenizer, ByteTokenizer, Tokenizer
from scaling.records.record import canonical_json
from scaling.records.storage import atomic_file, write_atomic, write_json

SCHEMA = 1
CHUNK_BYTES = 4_000_000  # text encoded at once: bounds memory
META_FILE = "dataset.json"
TOKENIZER_FILE = "tokenizer.json"


class DamagedSet(ValueError):
    """A set whose files are not what its `dataset.json` says."""


@dataclass(frozen=True)
class TokenSet:
    """A finished set on disk."""

    folder: Path
    content: str  # hash of the documents, in order, with their splits
    tokenizer_digest: str
    vocab: int
    dtype: str
    tokens: dict[str, int]  # by split

    def memory_map(self, split: Split) -> NDArray[np.unsignedinteger[Any]]:
        """(n,) ids, read from disk as they are touched. Stays valid when the file is replaced."""
        shape = (self.tokens[split],)
        return np.memmap(_token_file(self.folder, split), dtype=self.dtype, mode="r", shape=shape)

    def load_tokenizer(self) -> Tokenizer:
        if self.vocab == BYTES:
            return ByteTokenizer()
        return BpeTokenizer((self.folder / TOKENIZER_FILE).read_bytes())


def write_set(
    folder: Path, tokenizer: Tokenizer, documents: Iterable[tuple[Split, bytes]], content: str
) -> None:
    """Encode `documents` into `folder`. Nothing in it counts before `dataset.json` is there."""
    files: dict[str, dict[str, Any]] = {}
    if isinstance(tokenizer, BpeTokenizer):
        write_atomic(folder / TOKENIZER_FILE, tokenizer.state)
        digest = hashlib.sha256(tokenizer.state).hexdigest()
        files[TOKENIZER_FILE] = {"bytes": len(tokenizer.state), "sha256": digest}
    with ExitStack() as stack:
        encoders = {
            split: _Encoder(stack.enter_context(atomic_file(_token_file(folder, split))), tokenizer)
            for split in SPLITS
        }
        for split, text in documents:
            encoders[split].add(text)
        for encoder in encoders.values():
            encoder.flush()
    for split, encoder in encoders.items():
        files[_token_file(folder, split).name] = {
            "bytes": encoder.tokens * tokenizer.dtype.itemsize,
            "sha256": encoder.sha256.hexdigest(),
        }
    meta = {
        "schema": SCHEMA,
        "content": content,
        "tokenizer_digest": tokenizer.digest,
        "vocab": tokenizer.vocab,
        "dtype": tokenizer.dtype.str,
        "tokens": {split: encoder.tokens for split, encoder in encoders.items()},
        "files": files,
    }
    write_json(folder / META_FILE, {**meta, "sha256": json_digest(meta)})


def open_set(folder: Path, *, verify: bool) -> TokenSet:
    """Open a finished set after comparing the sizes of its files, and with `verify` their hashes.

    Raises:
        FileNotFoundError: when no set was finished here.
        DamagedSet: naming the file, and what is wrong with it.
    """
    path = folder / META_FILE
    body = path.read_bytes()
    try:
        meta = json.loads(body)
        digest = meta.pop("sha256")
        if digest != json_digest(meta):
            raise ValueError("its content does not have the sha256 that it says")
        if meta.pop("schema") != SCHEMA:
            raise ValueError(f"this version reads schema {SCHEMA}")
        files = meta.pop("files")
        found = TokenSet(folder, **meta)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedSet(f"{path}: damaged ({error})") from error
    for name, expected in files.items():
        _check_file(folder / name, expected, verify)
    return found


def json_digest(value: Any) -> str:
    return hashlib.sha256(canonical_json(value)).hexdigest()


def _check_file(path: Path, expected: dict[str, Any], verify: bool) -> None:
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise DamagedSet(f"{path}: missing") from None
    if size != expected["bytes"]:
        raise DamagedSet(f"{path}: {size:,} bytes, should have {expected['bytes']:,}")
    if verify:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != expected["sha256"]:
            raise DamagedSet(f"{path}: its content does not have the sha256 in {META_FILE}")


def _token_file(folder: Path, split: Split) -> Path:
    return folder / f"{split}.bin"


class _Encoder:
    """Gathers documents of one split, encodes them by the chunk and appends the ids to a file."""

    def __init__(self, file: BinaryIO, tokenizer: Tokenizer) -> None:
        self.file, self.tokenizer = file, tokenizer
        self.sha256 = hashlib.sha256()
        self.tokens = 0
        self._texts: list[bytes] = []
        self._gathered = 0

    def add(self, text: bytes) -> None:
        self._texts.append(text)
        self._gathered += len(text)
        if self._gathered >= CHUNK_BYTES:
            self.flush()

    def flush(self) -> None:
        ids = self.tokenizer.encode_documents(self._texts)
        self.sha256.update(ids.data)
        self.file.write(ids.data)
        self.tokens += ids.size
        self._texts, self._gathered = [], 0
