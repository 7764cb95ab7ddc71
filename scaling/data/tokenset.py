"""A set of token files in one folder: how it is written, and how it is opened without trusting it.

tokenizer.json                   byte-level BPE only
train.bin, heldout.bin           little-endian token ids
dataset.json                     written last: sizes and hashes of the others, and its own hash

A process checks every byte of a set when it first opens it: the tokenizer by its SHA-256, tokens by a CRC-32
of each block, which is made for flipped bits and lost pages and takes a fifth of the time. Sets from before
there were blocks are checked by the SHA-256 of the whole file.
"""

from __future__ import annotations

import hashlib
import stat
import zlib
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from scaling.data.split import SPLITS, Split
from scaling.data.tokenizer import BYTES, BpeTokenizer, ByteTokenizer, Tokenizer
from scaling.records.reading import LARGEST_PLAN, read_json
from scaling.records.record import canonical_json
from scaling.records.storage import atomic_file, write_atomic, write_json

SCHEMA = 1
CHUNK_BYTES = 4_000_000  # text encoded at once: bounds memory
BLOCK_BYTES = 1 << 20  # of tokens, under one checksum
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
            "blocks": encoder.blocks.values,
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


def read_set(folder: Path) -> tuple[TokenSet, dict[str, dict[str, Any]]]:
    """Return what a finished set says of itself, and of its files, which are not looked at.

    Raises:
        FileNotFoundError: when no set was finished here.
        DamagedSet: naming the file, and what is wrong with it.
    """
    path = folder / META_FILE
    try:
        meta = read_json(path, LARGEST_PLAN)
        digest = meta.pop("sha256")
        if digest != json_digest(meta):
            raise ValueError("its content does not match its sha256")
        if meta.pop("schema") != SCHEMA:
            raise ValueError(f"this version reads schema {SCHEMA}")
        files = meta.pop("files")
        return TokenSet(folder, **meta), files
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedSet(f"{path}: damaged ({error})") from error


def open_set(folder: Path) -> TokenSet:
    """Open a finished set after checking every byte of its files, once per process.

    Raises:
        FileNotFoundError: when no set was finished here.
        DamagedSet: naming the file, and what is wrong with it.
    """
    found, files = read_set(folder)
    for name, expected in files.items():
        check_file(folder / name, expected)
    return found


def json_digest(value: Any) -> str:
    return hashlib.sha256(canonical_json(value)).hexdigest()


_checked: set[tuple[Any, ...]] = set()  # files as this process has found them whole


def check_file(path: Path, expected: dict[str, Any]) -> None:
    """Check a file of a set against what `dataset.json` says of it, unless this process has done so.

    Raises:
        DamagedSet: naming the file, and what is wrong with it.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        raise DamagedSet(f"{path}: missing") from None
    if not stat.S_ISREG(status.st_mode):
        raise DamagedSet(f"{path}: not a regular file")
    if status.st_size != expected["bytes"]:
        raise DamagedSet(f"{path}: {status.st_size:,} bytes, should have {expected['bytes']:,}")
    known = (path, status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, expected["sha256"])
    if known not in _checked:
        with path.open("rb", buffering=0) as file:
            damage = _find_damage(file, expected)
        if damage:
            raise DamagedSet(f"{path}: {damage} in {META_FILE}")
        _checked.add(known)


def _find_damage(file: Any, expected: dict[str, Any]) -> str:
    blocks = expected.get("blocks")
    if blocks is None:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return "" if digest == expected["sha256"] else "its content does not have the sha256"
    block = memoryview(bytearray(BLOCK_BYTES))
    for number, checksum in enumerate(blocks):
        if zlib.crc32(block[: _fill(file, block)]) != checksum:
            return f"bytes from {number * BLOCK_BYTES:,} on do not have the checksum"
    return "" if _fill(file, block) == 0 else "it has more blocks than are"


def _fill(file: Any, block: memoryview) -> int:
    """Read a block; fewer bytes only at the end of the file."""
    count = 0
    while count < len(block) and (read := file.readinto(block[count:])):
        count += read
    return count


class _Blocks:
    """Checksums of the blocks of what is written piece by piece."""

    def __init__(self) -> None:
        self.values: list[int] = []
        self._room = 0  # bytes that the last block still takes

    def update(self, data: memoryview) -> None:
        data = data.cast("B")
        while data:
            if not self._room:
                self.values.append(0)
                self._room = BLOCK_BYTES
            part, data = data[: self._room], data[self._room :]
            self.values[-1] = zlib.crc32(part, self.values[-1])
            self._room -= len(part)


def _token_file(folder: Path, split: Split) -> Path:
    return folder / f"{split}.bin"


class _Encoder:
    """Gathers documents of one split, encodes them by the chunk and appends the ids to a file."""

    def __init__(self, file: BinaryIO, tokenizer: Tokenizer) -> None:
        self.file, self.tokenizer = file, tokenizer
        self.sha256 = hashlib.sha256()
        self.blocks = _Blocks()
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
        if ids.size:
            self.blocks.update(ids.data)
        self.file.write(ids.data)
        self.tokens += ids.size
        self._texts, self._gathered = [], 0
