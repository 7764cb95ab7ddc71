"""Recipes that only the names of runs tell: `muon-20M` beside `adamw-20M`, and no column of recipes."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
from scipy import special

from analysis.fitting.checks import FitWarning
from analysis.fitting.fit import Fit
from analysis.table import RunTable

NAMES = re.compile(r"(run|exp|experiment|display)?[ _]?(name|id)|run|experiment", re.IGNORECASE)
FEWEST = 4  # trunks that share the letters of their names
MOST = 6  # such groups; of more, the letters are random
UNLIKELY = 1e-4  # probability of residuals that differ so much between groups that are alike
_WORD = re.compile(r"[A-Za-z]+")
_COUNTED = re.compile(r"[0-9.]+ *[A-Za-z]?(?![A-Za-z])|(?<![A-Za-z])[A-Za-z]{1,2}(?=[0-9=_-]+[0-9])")


def name_warnings(fit: Fit, table: RunTable) -> tuple[FitWarning, ...]:
    """A warning where runs lie above or below the law by the letters of their names.

    The residuals of trunks are compared between names of different letters, numbers and sizes left out, by an
    analysis of variance; only where these letters share sizes, for what goes with size is lack of fit.
    """
    if len(fit.residuals) != len(table):  # a law of compute is of the best runs alone
        return ()
    code = np.unique(table.trunks, return_inverse=True)[1]
    first = np.unique(code, return_index=True)[1]
    residual = np.bincount(code, fit.residuals) / np.bincount(code)
    for column in (name for name in table.rows if NAMES.fullmatch(str(name))):
        letters = [letters_of(str(name)) for name in table.rows[column].iloc[first]]
        kinds, group = np.unique(letters, return_inverse=True)
        if not 2 <= len(kinds) <= MOST or np.bincount(group).min() < FEWEST or not all(kinds):
            continue
        if "params" in table and _by_size(table.numbers("params")[first], group):
            continue
        if _differ(residual, group) < UNLIKELY:
            means = [float(residual[group == k].mean()) for k in range(len(kinds))]
            said = ", ".join(f"{kind} {100 * mean:+.2g} %" for kind, mean in zip(kinds, means, strict=True))
            return (
                FitWarning(
                    "names",
                    f"losses differ by the letters of {column!r} ({said} from the law): are these recipes? A "
                    "single law fits neither. Add a column that says which recipe each run has.",
                ),
            )
    return ()


def letters_of(name: str) -> str:
    """`muon-20M-seed1` → `muon-seed`: the words of a name, without numbers, sizes and what they count."""
    return "-".join(_WORD.findall(_COUNTED.sub(" ", name))).casefold()


def _by_size(params: npt.NDArray[np.float64], group: npt.NDArray[np.intp]) -> bool:
    """Whether no two groups have a size in common."""
    pairs = {(float(n), int(g)) for n, g in zip(params, group, strict=True)}
    return len(pairs) == len({n for n, _ in pairs})


def _differ(values: npt.NDArray[np.float64], group: npt.NDArray[np.intp]) -> float:
    """p of the F test that groups have one mean."""
    counts = np.bincount(group)
    means = np.bincount(group, values) / counts
    between, within = len(counts) - 1, len(values) - len(counts)
    rest = float(((values - means[group]) ** 2).sum())
    if within < 1 or rest <= 0:
        return 1.0
    F = float(counts @ (means - values.mean()) ** 2) / between / (rest / within)
    return float(special.fdtrc(between, within, F))
