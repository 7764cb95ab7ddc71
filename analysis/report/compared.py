"""The comparison of families in a report, where a table holds several that may be compared."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from analysis.fitting.runs import FitError
from analysis.report.figures.families import plot_compute_multiplier
from analysis.report.formats import Cell, Table
from analysis.report.gallery import Picture, picture
from analysis.report.style import say
from analysis.sweeps.families import FamilyComparison, compare_families

RESAMPLES = 100
_COMPARED = ("objective", "data", "data_fingerprint")


def compare_in(table: pd.DataFrame, reference: str = "decoder") -> FamilyComparison | None:
    """Compare the families of the largest group that shares objective and corpus.

    Returns:
        None where the table has one family, says nothing about families or sizes, or where a family has too
        few runs for a law.
    """
    if not {"family", "params", "tokens", "flops"} <= set(table.columns):
        return None
    columns = [name for name in _COMPARED if name in table]
    groups = [rows for _, rows in table.groupby(columns)] if columns else [table]
    groups = [rows for rows in groups if len(rows["family"].unique()) > 1]
    if not groups:
        return None
    rows = max(groups, key=len)
    families = list(dict.fromkeys(map(str, rows["family"])))
    first = reference if reference in families else families[0]
    try:
        return compare_families(rows, reference=first, resamples=RESAMPLES)
    except FitError:
        return None


def family_table(found: FamilyComparison, families: Iterable[str]) -> Table:
    """List the laws, which share a floor, and the multiplier at the lowest loss that both families reach.

    Args:
        families: all of the table; those that are not compared are named.
    """
    last = {curve.family: curve for curve in found.multipliers}
    rows: list[tuple[Cell, ...]] = []
    for family, law in found.laws.items():
        at: tuple[Cell, ...] = (None, None, None, None)
        if family in last:
            curve = last[family]
            at = tuple(float(v[-1]) for v in (curve.loss, curve.value, curve.low, curve.high))
        rows.append((family, law.E, law.A, law.B, law.alpha, law.beta, law.sharpness, *at))
    header = ("family", "E", "A", "B", "alpha", "beta", "k", "at loss", "compute", "from", "to")
    note = (
        f"Fitted together by least squares of log loss, sharing E and k; rms {100 * found.rms:.2g} %. "
        f"{found.shared_floor}. {found.equal_exponents}. Compute: as a multiple of that of {found.reference} "
        f"for the same loss, each at its best size, with its {100 * found.level:g} % interval."
    )
    left = list(dict.fromkeys(name for name in families if name not in found.laws))
    if left:
        note += f" Not compared: {', '.join(left)}, whose losses are of another objective or corpus."
    return Table("families", "Families compared", header, tuple(rows), note)


def family_sentences(found: FamilyComparison) -> list[str]:
    """Say how much more compute each family needs than the reference."""
    lines = []
    for curve in found.multipliers:
        value, low, high = (float(f"{v[-1]:.2g}") for v in (curve.value, curve.low, curve.high))
        if not (low <= high):  # too few draws reach the loss
            lines.append(
                f"For a loss of {curve.loss[-1]:.3g} these runs give no interval of the compute that "
                f"{curve.family} needs against {found.reference}: they cannot tell."
            )
            continue
        sure = "" if low > 1 or high < 1 else " The interval includes 1: no clear difference."
        lines.append(
            f"For a loss of {curve.loss[-1]:.3g}, {curve.family} needs {say(value)} times the compute of "
            f"{found.reference} ({100 * found.level:g} % interval {say(low)} to {say(high)}).{sure}"
        )
    return lines


def family_picture(found: FamilyComparison) -> Picture:
    """Draw the compute multiplier over losses."""
    return picture(
        "compute-multiplier",
        "Families",
        f"Compute that a family needs to reach the loss of {found.reference}, as a multiple, each at its "
        f"best size. Bands: {100 * found.level:g} % bootstrap intervals over trunks. Below 1 it needs less.",
        plot_compute_multiplier(found),
    )
