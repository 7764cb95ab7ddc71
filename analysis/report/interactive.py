"""What lets a page answer to its reader: figures as inline SVG with named marks, and the numbers behind them.

The figures are Matplotlib's own, as on paper, so one drawing serves print, a page without script and the
live page; `page.js` (12 kB) reads their marks. Vega-Lite would add 0.8 MB and Plotly 4.5 MB to every page,
and draw every figure a second time in another look, out of reach of a page without script.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from analysis.forecast.findings import Findings
from analysis.report.arm_style import Look
from analysis.report.best import QUANTITIES, basis_of, best_use, largest_compute
from analysis.report.gallery import is_surface

STEPS = 10  # computes at which the best use is known; a cubic in their logarithms goes between
BEYOND = 1000.0  # times the largest run: so far the slider goes
MOST = 3000  # runs a page can name; of more, the first of them
_LETTERS = {"run_id": "run", "params": "N", "tokens": "D", "flops_6nd": "C", "loss": "loss"}
_SETTINGS = 8  # columns of settings that are shown of a run
_UNTOLD = ("trunk_id", "study", "status", "flops", "bits_per_byte", "started", "finished", "spec", "versions")


def page_data(
    findings: Mapping[str, Findings], worn: Mapping[str, Look], drawn: Sequence[bytes]
) -> list[dict[str, Any]]:
    """Of each arm the runs that are drawn, and the best use of budgets."""
    shown = _drawn(drawn)
    return [
        _arm(part, worn[part.label], shown.get(worn[part.label].key, set())) for part in findings.values()
    ]


def as_json(arms: Sequence[Mapping[str, Any]]) -> Markup:
    """The data of a page as JSON that no text in it can leave."""
    text = json.dumps({"arms": arms}, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def budgets_in(arms: Sequence[Mapping[str, Any]]) -> tuple[float, float] | None:
    """log10 of the least and largest compute at which the page knows the best use."""
    ends = [(arm["best"]["C"][0], arm["best"]["C"][-1]) for arm in arms if arm["best"]]
    return (min(low for low, _ in ends), max(high for _, high in ends)) if ends else None


@cache
def script() -> Markup:
    """The script of the page."""
    return Markup(Path(__file__).with_name("page.js").read_text(encoding="utf-8"))


@cache
def script_hash() -> str:
    """What lets the page's security policy run this script and no other."""
    return base64.b64encode(hashlib.sha256(script().encode()).digest()).decode()


def _drawn(svgs: Sequence[bytes]) -> dict[str, set[int]]:
    """Arm key → positions of its runs that a figure shows."""
    found: dict[str, set[int]] = {}
    for svg in svgs:
        for key, runs in re.findall(rb'<g id="runs (\w+) ([\d ]*)"', svg):
            found.setdefault(key.decode(), set()).update(map(int, runs.split()))
    return found


def _arm(part: Findings, look: Look, shown: set[int]) -> dict[str, Any]:
    rows = part.runs
    columns = {ours: letter for ours, letter in _LETTERS.items() if ours in rows}
    settings = [name for name in rows if name not in columns and name not in _UNTOLD and _tells(rows[name])]
    table = rows[[*columns, *settings[:_SETTINGS]]].rename(columns=columns)
    if part.fits and len(part.fits[0].residuals) == len(rows):
        table.insert(len(columns), "residual", 100 * np.expm1(part.fits[0].residuals))
    places = sorted(shown)[:MOST]
    kept = table.iloc[places].to_numpy(object).tolist()
    named = {str(place): [_cell(cell) for cell in row] for place, row in zip(places, kept, strict=True)}
    return {
        "key": look.key,
        "label": part.label,
        "ink": look.ink,
        "columns": list(table.columns),
        "runs": named,
        **_best_along(part),
    }


def _best_along(part: Findings) -> dict[str, Any]:
    """The best use at computes from the smallest run to far beyond the largest."""
    if not part.fits or not is_surface(part) or "flops_6nd" not in part.runs:
        return {"best": None, "largest": None}
    largest = largest_compute(part)
    basis = basis_of(part)
    grid = np.geomspace(float(part.runs["flops_6nd"].min()), largest * BEYOND, STEPS)
    found = [use for C in grid if (use := best_use(basis, float(C))) is not None]
    if len(found) < 2:
        return {"best": None, "largest": largest}
    best: dict[str, Any] = {"C": [round(math.log10(use.C), 5) for use in found]}
    for name in QUANTITIES:
        ends = [(getattr(use.value, name), *(getattr(use, name) or (None, None))) for use in found]
        best[name] = [[_cell(end) for end in each] for each in ends]
    return {"best": best, "largest": largest}


def _tells(column: pd.Series[Any]) -> bool:
    """Whether a column says something of a run that others do not have."""
    values = column.dropna()
    return (
        len(values) > 0
        and all(np.isscalar(v) for v in values.head(3))
        and bool((values != values.iloc[0]).any())
    )


def _cell(value: Any) -> Any:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float | np.number):
        return float(f"{float(value):.6g}") if math.isfinite(float(value)) else None
    return str(value)
