"""What the commands print: aligned tables that fit the window, and durations people can say."""

from __future__ import annotations

import logging
import math
import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Column:
    """One column; a narrow window drops the highest `rank` first."""

    title: str
    cells: Sequence[str]
    rank: int = 0
    left: bool = False

    @cached_property
    def width(self) -> int:
        """Of the longest cell."""
        return max(len(text) for text in (self.title, *self.cells))


def table(columns: Sequence[Column], width: int | None = None) -> str:
    """Aligned text no wider than `width` (the terminal's; unlimited where output is no terminal)."""
    if width is None:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 10_000
    shown = list(columns)
    dropped: list[str] = []
    while sum(c.width for c in shown) + 2 * (len(shown) - 1) > width and any(c.rank for c in shown):
        worst = max(shown, key=lambda c: c.rank)
        shown.remove(worst)
        dropped.append(worst.title)
    rows = zip(*([c.title, *c.cells] for c in shown), strict=True)
    lines = [
        "  ".join(
            cell.ljust(c.width) if c.left else cell.rjust(c.width) for c, cell in zip(shown, row, strict=True)
        ).rstrip()
        for row in rows
    ]
    if dropped:
        lines.append(f"(a wider window also shows {', '.join(dropped)})")
    return "\n".join(lines)


def wrapped(text: str) -> str:
    """The text with long lines broken at the terminal's width, at 80 columns where output is no terminal."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 80
    lines = []
    for line in text.split("\n"):
        indent = line[: len(line) - len(line.lstrip())] + "  "
        fits = len(line) <= width
        lines += (
            [line] if fits else textwrap.wrap(line, width, subsequent_indent=indent, break_on_hyphens=False)
        )
    return "\n".join(lines)


def plural(number: int, noun: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


class _Plain(logging.Formatter):
    """The message alone, fit for a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record).replace("\t", "    "))


def spell_out_controls() -> None:
    """Have warnings printed with control characters as escapes: what lies in a runs folder names files."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Plain("%(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)


def discard_output() -> None:
    """Lead standard output nowhere if it takes nothing: Python flushes once more when it ends, and complains.

    So does the start of a process.
    """
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def size(count: float) -> str:
    """512 B, 3.1 kB, 48 MB, 1.2 TB: powers of a thousand."""
    if count < 1000:
        return f"{count:.0f} B"
    for unit in ("kB", "MB", "GB", "TB"):
        count /= 1000
        if count < 999.5 or unit == "TB":
            break
    return f"{count:.2g} {unit}" if count < 9.95 else f"{count:.0f} {unit}"


def printable(text: str) -> str:
    """The text with control characters as escapes: a file's name cannot move the cursor."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def duration(seconds: float) -> str:
    """12 s, 3 min 20 s, 2 h 05 min, 3.1 days; ? where nobody knows."""
    if math.isnan(seconds):
        return "?"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if seconds < 3600:
        whole = round(seconds)
        return f"{whole // 60} min {whole % 60:02d} s"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{seconds / 86400:.1f} days"
