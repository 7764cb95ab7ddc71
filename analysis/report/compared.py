"""What a report says where a table holds several families that may be compared."""

from __future__ import annotations

import pandas as pd

from analysis.fitting.runs import FitError
from analysis.report.formats import Cell, Table
from analysis.report.gallery import Picture, picture
from analysis.report.multiplier import plot_compute_multiplier
from analysis.report.style import say
from analysis.sweeps.families import FamilyComparison, compare_families

RESAMPLES = 100
_COMPARED = ("objective", "data", "data_fingerprint")


def compare_in(table: pd.DataFrame, reference: str = "decoder") -> FamilyComparison | None:
    """The families of the largest group that shares objective and corpus; None where there is one family.

    A table that says nothing of its families or their sizes is not compared, and neither is one where a
    family has too few runs for a law.
    """
    columns = [name for name in _COMPARED if name in table]
    groups = [rows for _, rows in table.groupby(columns)] if columns else [table]
    groups = [rows for rows in groups if len(rows["family"].unique()) > 1]
    if not groups:
        return None
    rows = max(groups, key=len)
    families = list(dict.fromkeys(map(str, rows["family"])))
    try:
        return compare_families(
            rows, reference=reference if reference in families else families[0], resamples=RESAMPLES
        )
    except FitError:
        return None


def family_table(found: FamilyComparison) -> Table:
    """The laws with one floor, and the multiplier at the hardest loss that both reach."""
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
        f"Fitted together by least squares of log loss, E and k shared; rms {100 * found.rms:.2g} %. "
        f"{found.shared_floor}. {found.equal_exponents}. Compute: times that of {found.reference} for the "
        f"same loss, each at its best size, with its {100 * found.level:g} % interval."
    )
    return Table("families", "Families compared", header, tuple(rows), note)


def family_sentences(found: FamilyComparison) -> list[str]:
    """The lead of one family over another, in words."""
    said = []
    for curve in found.multipliers:
        value, low, high = (float(f"{v[-1]:.2g}") for v in (curve.value, curve.low, curve.high))
        sure = "" if low > 1 or high < 1 else " It may be none."
        said.append(
            f"For a loss of {curve.loss[-1]:.3g}, {curve.family} needs {say(value)} times the compute of "
            f"{found.reference} ({100 * found.level:g} % interval {say(low)} to {say(high)}).{sure}"
        )
    return said


def family_picture(found: FamilyComparison) -> Picture:
    """The compute multiplier over losses."""
    return picture(
        "compute-multiplier",
        "Families",
        f"Compute that a family needs for the loss of {found.reference}, each at its best size; bands "
        f"are {100 * found.level:g} % intervals from whole trunks. Below 1 it needs less.",
        plot_compute_multiplier(found),
    )
