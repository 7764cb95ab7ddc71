"""Small files as they come from a disk that nobody vouches for: regular, bounded, and fit to be printed."""

from __future__ import annotations

import difflib
import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scaling.records.seal import DamagedRecord

LARGEST = 16 << 20  # bytes of a record, a note or a spec
LARGEST_PLAN = 1 << 30
LONGEST_LINE = 4 << 20  # bytes of a row of a log
TOO_LONG = b"a line that is too long"

# C0 and C1 controls but tab and line feed, and what turns the direction of text around.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def read_small(path: str | Path, largest: int = LARGEST) -> bytes:
    """Return the content of a regular file.

    Raises:
        FileNotFoundError: when there is none.
        OSError: of the disk.
        DamagedRecord: for a pipe, a device or a folder, and for a file that is too large.
    """
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise DamagedRecord("not a regular file")
    if status.st_size > largest:
        raise DamagedRecord(f"{status.st_size:,} bytes, where {largest:,} are the most to be expected")
    with open(path, "rb", buffering=0) as file:
        return file.read(status.st_size + 1) or b""  # room for `largest` took longer than all else


def read_json(path: str | Path, largest: int = LARGEST) -> Any:
    """Return what a small file of JSON holds; see `read_small`.

    Raises:
        DamagedRecord: also for what is not JSON, or nested too deeply.
    """
    try:
        return json.loads(read_small(path, largest))
    except DamagedRecord:
        raise
    except (ValueError, RecursionError) as error:
        raise DamagedRecord(f"not JSON: {error}") from error


def read_lines(path: str | Path, block: int = 1 << 20) -> Iterator[list[bytes]]:
    """Yield the lines of a log without their ends, about a block at a time.

    A line longer than `LONGEST_LINE` is given as `TOO_LONG`, which no reader can parse: a file that is one
    line would fill the memory.

    Raises:
        OSError: of the disk.
    """
    rest, lost = b"", False
    with open(path, "rb") as file:
        while part := file.read(block):
            *lines, rest = (rest + part).split(b"\n")
            if lost and lines:
                lines, lost = lines[1:], False
            if lost:
                rest = b""
            elif len(rest) > LONGEST_LINE:
                rest, lost = b"", True
                lines.append(TOO_LONG)
            if lines:
                yield lines
    if rest:
        yield [rest]


def did_you_mean(path: Path) -> str:
    """A sentence about what lies beside a path that is not there, under almost its name; else nothing."""
    try:
        beside = [printable(other.name) for other in path.parent.iterdir()]
    except OSError:
        return ""
    near = difflib.get_close_matches(path.name, beside, n=1)
    return f" Did you mean {path.with_name(near[0])}?" if near else ""


def printable(text: str) -> str:
    """Return `text` with every control character spelled out, so that no file writes to a terminal."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)
