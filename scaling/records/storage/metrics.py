"""The training log of a trunk or cooldown: one JSON object per line, cut back to a checkpoint on resume."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from scaling.records.storage.files import make_folder, open_own, sync_folder, write_all

BUFFER_BYTES = 1 << 16
BUFFER_SECONDS = 1.0  # so that `tail -f` shows a run that is alive


class MetricsLog:
    """Append-only lines. They are safe after `sync()`, which a checkpoint calls and whose offset it stores.

    JSON has no NaN, and a missing number is missing: a value that is not finite is written as null, and said
    in the same line, as in `{"step": 7, "train_loss": null, "nonfinite": {"train_loss": "nan"}}`.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        make_folder(self.path.parent)
        self._fd = open_own(self.path, os.O_RDWR | os.O_APPEND)
        sync_folder(self.path.parent)
        self._written = os.fstat(self._fd).st_size
        self._gathered = bytearray()
        self._drained = time.monotonic()

    @property
    def offset(self) -> int:
        """Where the next line will start [bytes]."""
        return self._written + len(self._gathered)

    def append(self, line: Mapping[str, Any]) -> None:
        """Add one line of plain values.

        Raises:
            TypeError: for a value JSON does not know, e.g. a tensor.
            OSError: when the disk takes no more.
        """
        self._gathered += _encode(line)
        if len(self._gathered) >= BUFFER_BYTES or time.monotonic() - self._drained > BUFFER_SECONDS:
            self._drain()

    def sync(self) -> int:
        """Put every line on the disk; returns the offset that a checkpoint stores [bytes]."""
        self._drain()
        os.fsync(self._fd)
        return self._written

    def truncate(self, offset: int) -> None:
        """Forget every line from `offset` on: what was logged after the checkpoint that is resumed from.

        Raises:
            ValueError: when the file is shorter than the checkpoint says.
        """
        self._drain()
        if not 0 <= offset <= self._written:
            raise ValueError(
                f"{self.path}: cannot go back to byte {offset}, the file has {self._written}; lines that a "
                "checkpoint counts on are gone. Move the trunk's folder away and run it again."
            )
        os.ftruncate(self._fd, offset)
        os.fsync(self._fd)
        self._written = offset

    def close(self) -> None:
        """Write what is gathered and close. Does not wait for the disk: `sync` does."""
        try:
            self._drain()
        finally:
            os.close(self._fd)

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _drain(self) -> None:
        try:
            write_all(self._fd, bytes(self._gathered))
        except OSError:
            os.ftruncate(self._fd, self._written)  # no half line stays, and nothing gathered is lost
            raise
        self._written += len(self._gathered)
        self._gathered.clear()
        self._drained = time.monotonic()


def _encode(line: Mapping[str, Any]) -> bytes:
    body = dict(line)
    nonfinite = {k: str(v) for k, v in body.items() if isinstance(v, float) and not math.isfinite(v)}
    if nonfinite:
        body.update(dict.fromkeys(nonfinite), nonfinite=nonfinite)
    return json.dumps(body, allow_nan=False, separators=(",", ":")).encode() + b"\n"
