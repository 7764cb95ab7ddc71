"""`scaling import TABLE --to runs/NAME`: records from a table of runs that other programs trained.

The runs then have what every run of a study has: a checksum, an id, and a line in `scaling status`. Importing
the same table again adds nothing; a value that has changed is refused.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

from analysis.table import RunTable
from analysis.table.roles import BOOKKEEPING, MEASURED, QUANTITY, role_of
from experiments.commands.source import add_table, describe_table, read_table
from experiments.terminal import plural
from scaling.records.record import UNSTATED
from scaling.trainers.rows import Row, import_runs, number_copies
from scaling.trainers.values import NUMBERS, TEXTS, read_settings

NEEDED = ("params", "tokens", "loss")
OF_A_ROW = (*NEEDED, "seed", "family", "flops", "flops_6nd", "loss_se", "bits_per_byte", "run_id", "trunk_id")
CLOSE = 1e-3  # part by which a count may miss a whole number, as digitised ones do


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="scaling import", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_table(parser)
    parser.add_argument("--to", required=True, metavar="runs/NAME", type=Path, help="the study's folder")
    parser.add_argument("--arm", metavar="NAME", help="arm of every run, if the table has no family column")
    asked = parser.parse_args(arguments)
    if Path(asked.source).is_dir():
        raise ValueError(f"{asked.source}: a runs folder holds records already; give a table.")
    if asked.by:
        raise ValueError("--by: every setting is kept here; give --by to scaling fit.")
    table = read_table(asked)
    print(describe_table(table))
    rows = rows_of(table, asked.arm)
    written = import_runs(asked.to, rows, f"table {Path(asked.source).name}")
    there = f"; {plural(len(rows) - written, 'run')} already there" if written < len(rows) else ""
    print(f"\n{asked.to}: {plural(written, 'record')} written{there}\nnext: scaling fit {asked.to}")
    return 0


def rows_of(table: RunTable, arm: str | None = None) -> list[Row]:
    """The runs of a table.

    Args:
        arm: of runs whose family the table does not state.

    Raises:
        ValueError: for a table without sizes, tokens or losses, or a count that is none.
    """
    missing = [name for name in NEEDED if name not in table]
    if missing:
        raise ValueError(
            f"{table.source}: a record needs params, tokens and loss; there is no {', '.join(missing)}. Map "
            f"it: --columns {missing[0]}=THEIRS. A table without it can be fitted as it is: scaling fit."
        )
    named = _names_runs(table)
    return number_copies([_row(table, i, arm, named) for i in range(len(table))])


def _row(table: RunTable, i: int, arm: str | None, named: bool) -> Row:
    cells = {str(name): _plain(table.rows[name].iloc[i]) for name in table.rows.columns}
    label = str(cells["run_id"])
    family = cells.get("family") or UNSTATED
    if arm is not None and family not in (UNSTATED, arm):
        raise ValueError(f"--arm {arm}: the table states the family of {label}, {family!r}; leave --arm out.")
    others = {name: value for name, value in cells.items() if name not in OF_A_ROW and value is not None}
    kept = {name: value for name, value in others.items() if _is_setting(name)}
    settings = read_settings({name: _counted(label, name, value) for name, value in kept.items()})
    shared = cells["trunk_id"] != cells["run_id"]
    try:
        return Row(
            label=label,
            arm=arm or str(family),
            params=_count(label, "params", cells["params"]),
            tokens=_count(label, "tokens", cells["tokens"]),
            loss=float(cells["loss"]),
            name=label if named else None,
            trunk=str(cells["trunk_id"]) if shared else None,
            seed=None if cells.get("seed") is None else int(cells["seed"]),
            flops=cells.get("flops"),
            loss_se=cells.get("loss_se"),
            bits_per_byte=cells.get("bits_per_byte"),
            settings=settings,
            measured={name: value for name, value in others.items() if name not in kept},
        )
    except TypeError as error:
        raise ValueError(f"{label}: {error}") from error


def _is_setting(name: str) -> bool:
    """Whether a column tells runs apart, by its name: not a measurement, and not bookkeeping."""
    return name in (*NUMBERS, *TEXTS) or role_of(name) not in (QUANTITY, MEASURED, BOOKKEEPING)


def _names_runs(table: RunTable) -> bool:
    """Whether the source gives its runs names: else they are called by their place in it."""
    places = ("line-", "row-", "run-from-")
    names = [str(name) for name in table.rows["run_id"]]
    return len(set(names)) == len(names) and not all(name.startswith(places) for name in names)


def _plain(value: Any) -> Any:
    """A cell as plain data, None where it is empty."""
    value = value.item() if hasattr(value, "item") else value
    return None if value is None or (isinstance(value, float) and math.isnan(value)) else value


def _counted(label: str, name: str, value: Any) -> Any:
    whole = name in NUMBERS and name not in ("epochs", "learning_rate") and isinstance(value, int | float)
    least = 0 if name == "cooldown_steps" else 1
    return _count(label, name, value, least) if whole else value


def _count(label: str, name: str, value: float, least: int = 1) -> int:
    """
    Raises:
        ValueError: for what is no count, as 1.5 is, which may be millions.
    """
    found = round(value)
    if found < least or abs(found - value) > CLOSE * abs(value):
        raise ValueError(
            f"{label}: {name} is {value:g}, not a count. In millions? Map it: --columns {name}=COLUMN*1e6."
        )
    return found
