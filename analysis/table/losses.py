"""A study by another of its losses: that on one held-out set instead of the record's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from analysis.table.mapping import Columns, plain_pairs
from analysis.table.runtable import RunTable, SetAside


def take_loss(table: RunTable, columns: Columns) -> RunTable:
    """Put a measured column such as `loss_code`, with its standard error, in the place of `loss`.

    Runs without it are set aside. `bits_per_byte` becomes that of the set, or goes.

    Raises:
        ValueError: for any other mapping of a runs folder, a column that is absent, or one that no run has.
    """
    asked = dict(plain_pairs(columns))
    name = asked.get("loss")
    columns_there = [str(column) for column in table.rows]
    measured = [name for name in columns_there if name.startswith("loss_") and f"{name}_se" in table]
    if set(asked) != {"loss"} or not isinstance(name, str):
        raise ValueError(
            f"{table.source}: a runs folder names its own columns; only another measured loss can be taken, "
            "loss=loss_SET. Leave the rest of the column mapping out."
        )
    if name not in measured:
        known = f"It has {', '.join(measured)}." if measured else "It has no further held-out set."
        raise ValueError(f"{table.source}: loss={name}: no such measured loss. {known}")
    values = pd.to_numeric(table[name]).to_numpy(dtype=float)
    there = np.isfinite(values)
    if not there.any():
        raise ValueError(f"{table.source}: loss={name}: no run has it.")
    bits = f"bits_per_byte_{name.removeprefix('loss_')}"
    rows = table.rows.assign(
        loss=values,
        loss_se=pd.to_numeric(table[f"{name}_se"]).to_numpy(dtype=float),
        bits_per_byte=pd.to_numeric(table[bits]).to_numpy(dtype=float) if bits in table else np.nan,
    )
    absent = [SetAside(str(run), f"no {name}") for run in table["run_id"][~there]]
    counts = dict(table.counts)
    if absent:
        counts["used"] = int(there.sum())
        counts["quarantined"] = counts.get("quarantined", 0) + len(absent)
    return replace(
        replace(table, rows=rows).take(there),
        counts=counts,
        set_aside=(*table.set_aside, *absent),
        notes=(*table.notes, f"loss is {name}"),
    )
