"""How an arm looks in every figure of a report: its colour, its marker, and the name its marks carry."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist

from analysis.report.style import MARKERS, PLAIN, colours


@dataclass(frozen=True)
class Look:
    """Colour and marker of an arm, and the key by which a page finds its marks."""

    ink: str = PLAIN
    marker: str = "o"
    key: str = "0"

    def tag(self, artists: Iterable[Artist], runs: npt.ArrayLike | None = None) -> None:
        """Name artists after this arm, and with `runs`, positions in its table (n,), each of their points."""
        words = ["law" if runs is None else "runs", self.key]
        words += [] if runs is None else [str(int(run)) for run in np.asarray(runs).tolist()]
        for artist in artists:
            artist.set_gid(" ".join(words))


PLAIN_LOOK = Look()  # of a figure with one arm


def looks(arms: Iterable[str]) -> dict[str, Look]:
    """A look for each arm: no two share colour and marker. Use one result for all figures of a report."""
    inks = colours(arms)
    return {
        arm: Look(ink, MARKERS[place % len(MARKERS)], f"{zlib.crc32(arm.encode()):08x}")
        for place, (arm, ink) in enumerate(inks.items())
    }


def look_of(given: Mapping[str, Look] | None, arms: Iterable[str]) -> Mapping[str, Look]:
    """The looks given, or those of these arms alone."""
    return given if given is not None else looks(arms)
