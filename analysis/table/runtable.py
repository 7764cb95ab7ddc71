"""A table of runs and what is known about it: where it came from, what was left out, and what to look at."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.table.columns import NUMBERS, QUANTITIES

# What differs between rows that are set aside for the same reason: cells, other rows, and numbers.
_SPECIFIC = re.compile(r"'[^']*'|\"[^\"]*\"|\b(line|row)s? [\d–]+|[-+]?\d[\d.,]*(e[-+]?\d+)?")
_IDENTITY = ("run_id", "trunk_id", "family", "objective", "data", "data_fingerprint")


@dataclass(frozen=True)
class SetAside:
    """A row of the source that enters no fit, and why."""

    row: str
    reason: str


@dataclass(frozen=True)
class Reasons:
    """Rows set aside for one reason, up to the numbers in it."""

    count: int
    reason: str  # that of the first row
    rows: tuple[str, ...]  # the first few

    def __str__(self) -> str:
        if self.count == 1:
            return f"{self.rows[0]}: {self.reason}"
        more = ", …" if self.count > len(self.rows) else ""
        return f"{self.count} rows: {self.reason} ({', '.join(self.rows)}{more})"


def group_reasons(rows: Iterable[SetAside], shown: int = 3) -> list[Reasons]:
    """Rows by their reason, commonest first; cells, numbers and other rows in it do not part them."""
    groups: dict[str, list[SetAside]] = {}
    for row in rows:
        groups.setdefault(_SPECIFIC.sub("…", row.reason), []).append(row)
    ordered = sorted(groups.values(), key=len, reverse=True)
    return [Reasons(len(g), g[0].reason, tuple(row.row for row in g[:shown])) for g in ordered]


def say_count(kind: str) -> str:
    """What is printed of a kind of rows in `RunTable.counts`."""
    return "set aside" if kind == "quarantined" else kind


@dataclass(frozen=True, eq=False)
class NotedRows:
    """What a study holds besides its table of runs: learning curves, or every score of its evaluations."""

    rows: pd.DataFrame
    study: str
    notes: tuple[str, ...] = ()  # what could not be read, or was left out


@dataclass(frozen=True, eq=False)
class RunTable:
    """Runs that may be fitted, one row each, in the order of the source.

    `rows` has the columns of `RunRecord` that the source knows, and the source's other columns as they are.
    A table is never changed: what narrows or extends it returns another.
    """

    rows: pd.DataFrame
    source: str = "a table in memory"
    study: str = "table"
    question: str = ""  # what the plan of a runs folder asks
    part: str = ""  # label of the comparable part that this is
    by: tuple[str, ...] = ()  # columns that alone distinguish arms, where a user named them
    # used, quarantined, diverged, failed, missing; where there are any, checkpoints and rows left out
    counts: Mapping[str, int] = field(default_factory=dict)
    set_aside: tuple[SetAside, ...] = ()
    notes: tuple[str, ...] = ()  # what was derived or assumed
    warnings: tuple[str, ...] = ()  # what to look at
    columns: Mapping[str, str] = field(default_factory=dict)  # our column → where it was read from
    tasks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # by score column
    curves: pd.DataFrame | None = None  # of runs with several rows: every row, as `load_curves` returns them

    @classmethod
    def of(cls, rows: pd.DataFrame | RunTable) -> RunTable:
        """A table of rows in memory, every one of them used."""
        return rows if isinstance(rows, RunTable) else cls(rows, counts={"used": len(rows)})

    def __len__(self) -> int:
        return len(self.rows)

    def __contains__(self, name: object) -> bool:
        return name in self.rows.columns

    def __getitem__(self, name: str) -> pd.Series[Any]:
        return self.rows[name]

    def has_numbers(self, name: str) -> bool:
        """Whether a column is there and could be read as numbers; an optional one may be kept as text."""
        return name in self and bool(pd.api.types.is_numeric_dtype(self.rows[name]))

    def numbers(self, name: str) -> NDArray[np.float64]:
        """A column as floats (n,), NaN where a run does not have it.

        Raises:
            KeyError: for a column that the table does not have.
        """
        return self.rows[name].to_numpy(dtype=float)

    @cached_property
    def quantities(self) -> frozenset[str]:
        """Those of params, tokens, tokens_unique, flops and x that every run has."""
        return frozenset(n for n in QUANTITIES if self.has_numbers(n) and np.isfinite(self.numbers(n)).all())

    def reasons(self) -> list[Reasons]:
        """Why rows were set aside, commonest first."""
        return group_reasons(self.set_aside)

    def mapping(self) -> str:
        """Which column became which quantity, in one line; "" for our own records, which are named so."""
        first = [name for name in (*QUANTITIES, "loss") if name in self.columns]
        names = [*first, *(name for name in self.columns if name not in first)]
        read = [
            name if self.columns[name] == repr(name) else f"{name} ← {self.columns[name]}" for name in names
        ]
        derived = [note.partition(": ")[2] for note in self.notes if " are derived: " in note]
        return ", ".join([*read, *derived]) if read else ""

    @property
    def trunks(self) -> NDArray[np.str_]:
        """The trunk of each run (n,); runs of one trunk are drawn together."""
        return self.rows["trunk_id"].to_numpy(dtype=str)

    def take(self, keep: NDArray[Any], part: str | None = None) -> RunTable:
        """The rows at these places, or where this mask holds, under a label of their own."""
        positions = np.flatnonzero(keep) if keep.dtype == bool else keep
        rows = self.rows.iloc[positions].reset_index(drop=True)
        return replace(self, rows=rows, part=self.part if part is None else part)

    @cached_property
    def data_hash(self) -> str:
        """sha256 of what a fit can see of the rows, the same for every order of rows and columns."""
        ordered = self.rows.sort_values("run_id", kind="stable")
        digest = hashlib.sha256()
        for name in sorted({*_IDENTITY, *NUMBERS} & set(ordered.columns)):
            digest.update(name.encode() + b"\0")
            if name in NUMBERS and self.has_numbers(name):
                digest.update(ordered[name].to_numpy(dtype="<f8").tobytes())
            else:
                digest.update("\0".join(map(str, ordered[name].tolist())).encode())
        return digest.hexdigest()
