"""The chart that W&B exports: one column per run and metric, to one row per run and step."""

from __future__ import annotations

import re

from analysis.table.cells import is_empty
from analysis.table.raw import Raw, refuse_too_many_cells

_COLUMN = re.compile(r"(?P<run>.*) - (?P<metric>.+?)(?P<bound>__MIN|__MAX)?", re.DOTALL)
_STEPS = frozenset({"step", "_step", "global_step", "trainer/global_step", "epoch"})


def unpivot_chart(raw: Raw) -> Raw:
    """One row per run and step of a W&B chart export; any other table as it is.

    The columns are `run_name` (a label: nothing is parsed from it), the chart's x axis, and one a metric. A
    step at which a run has no value gives no row, as the run did not log then. The bounds `__MIN` and `__MAX`
    are left out, and a note says whether they differ from the values, which are averages then.
    """
    names = list(raw.columns)
    parts = [_COLUMN.fullmatch(name) for name in names[1:]]
    found = [part for part in parts if part is not None]
    bounded = {part["run"] + " - " + part["metric"] for part in found if part["bound"]}
    plain = {part["run"] + " - " + part["metric"] for part in found if not part["bound"]}
    if not found or len(found) < len(parts) or not bounded <= plain:
        return raw
    if not bounded and names[0].casefold() not in _STEPS:
        return raw
    x = names[0]
    metrics = list(dict.fromkeys(part["metric"] for part in found if part["metric"] != "_step"))
    runs = list(dict.fromkeys(part["run"] for part in found))
    refuse_too_many_cells(raw.source, len(metrics) + 2, len(runs) * len(raw.labels))
    long = Raw(raw.source, {}, [], raw.quarantine, notes=raw.notes, chart=True)
    rows: list[list[str]] = []
    for run in runs:
        series = [raw.columns.get(f"{run} - {metric}") or [""] * len(raw.labels) for metric in metrics]
        for i, label in enumerate(raw.labels):
            cells = [cells[i] for cells in series]
            if not all(map(is_empty, cells)):
                rows.append([run, raw.columns[x][i], *cells])
                long.labels.append(f"{label}, run {run!r}")
    header = ["run_name", x, *metrics]
    long.columns = {name: [row[j] for row in rows] for j, name in enumerate(header)}
    long.notes.append(
        f"a W&B chart of {len(runs)} runs: read as one row per run and {x}, {len(rows)} in all; "
        "the runs' names are labels"
    )
    if bounded:
        differ = any(
            raw.columns.get(name + bound, raw.columns[name]) != raw.columns[name]
            for name in bounded
            for bound in ("__MIN", "__MAX")
        )
        said = (
            "they differ from the values, so these are averages over steps" if differ else "equal the values"
        )
        long.notes.append(f"the columns __MIN and __MAX are left out: {said}")
    return long
