"""Local files as bytes, plain or compressed; a file that ends too early is an error, never a shorter text."""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

CHUNK_BYTES = 1 << 18


def open_bytes(path: str) -> BinaryIO:
    """Open for reading, through the decompressor that the last suffix names.

    Raises:
        ModuleNotFoundError: for .zst without the `zstandard` package.
    """
    return _OPEN.get(suffix(path), _open_plain)(path)


def suffix(path: str) -> str:
    """The compression that a name tells: ".gz", ".zst", or "" for none."""
    last = os.path.splitext(path.lower())[1]
    return last if last in _OPEN else ""


def _open_plain(path: str) -> BinaryIO:
    return Path(path).open("rb")


def _open_gzip(path: str) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb"))


def _open_zstd(path: str) -> BinaryIO:
    try:
        import zstandard
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{path}: reading .zst needs the package zstandard: pip install 'scaling-harness[train]'."
        ) from error
    return io.BufferedReader(_Zstd(_open_plain(path), zstandard.ZstdDecompressor().decompressobj))


class _Zstd(io.RawIOBase):
    """All frames of a file, and an error if the last one is cut short.

    The package's own `stream_reader` stops at the end of the first frame unless told otherwise, and reports a
    truncated file as an ordinary end: both would shorten a corpus in silence.
    """

    def __init__(self, file: BinaryIO, new_frame: Callable[[], Any]) -> None:
        super().__init__()
        self._file, self._new_frame = file, new_frame
        self._frame: Any = None  # None between frames
        self._ready = b""  # decompressed, not yet handed out

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        target = memoryview(buffer).cast("B")
        while not self._ready and self._decompress():
            pass
        part, self._ready = self._ready[: len(target)], self._ready[len(target) :]
        target[: len(part)] = part
        return len(part)

    def close(self) -> None:
        self._file.close()
        super().close()

    def _decompress(self) -> bool:
        """One more piece of input; False at its proper end."""
        data = self._file.read(CHUNK_BYTES)
        if not data and self._frame is not None:
            raise EOFError("ends in the middle of a zstandard frame")
        pieces = []
        left = data
        while left:
            self._frame = self._frame or self._new_frame()
            pieces.append(self._frame.decompress(left))
            left = b""
            if self._frame.eof:
                left, self._frame = self._frame.unused_data, None
        self._ready = b"".join(pieces)
        return bool(data)


_OPEN: dict[str, Callable[[str], BinaryIO]] = {".gz": _open_gzip, ".zst": _open_zstd}
