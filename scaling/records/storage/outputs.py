"""What a command prints: kept, and bounded, as nobody knows how much it will be."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

from scaling.records.storage.files import make_folder, write_all

LARGEST = 4 << 20  # bytes that are kept
TAIL = 16 << 10  # bytes that are read for the end of it


class OutputLog:
    """A file that is appended to; once it is too large, only its newer half stays.

    Args:
        largest: bytes.
    """

    def __init__(self, path: str | Path, largest: int = LARGEST) -> None:
        self.path, self.largest = Path(path), largest
        make_folder(self.path.parent)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        self._fd = os.open(self.path, flags, 0o666)
        self._size = os.fstat(self._fd).st_size

    def write(self, data: bytes) -> None:
        """Append; a disk that takes no more loses what was printed, and never a run."""
        data = data[-self.largest :]
        try:
            write_all(self._fd, data)
            self._size += len(data)
            if self._size > self.largest:
                self._halve()
        except OSError:
            return

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def __enter__(self) -> OutputLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _halve(self) -> None:
        kept = os.pread(self._fd, self.largest // 2, self._size - self.largest // 2)
        kept = b"[older output is cut off]\n" + kept[kept.find(b"\n") + 1 :]
        os.ftruncate(self._fd, 0)
        write_all(self._fd, kept)
        self._size = len(kept)


def read_tail(path: str | Path, lines: int) -> list[str]:
    """Return the last lines of a log that say something; none where there is no log."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL))
            text = file.read(TAIL).decode(errors="replace")
    except OSError:
        return []
    # A progress bar overwrites its line.
    said = [line.rpartition("\r")[2].rstrip()[-500:] for line in text.rstrip().split("\n")]
    return [line for line in said if line.strip()][-lines:]
