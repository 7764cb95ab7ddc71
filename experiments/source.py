"""The arguments that commands share: a table, its columns, and how to fit it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from analysis.report.findings import LAWS, Findings, fit_study
from analysis.table import RunTable, load_runs
from experiments.terminal import wrapped

_SHOWN = 12  # notes, and reasons of rows set aside, that are printed


def add_table(parser: argparse.ArgumentParser) -> None:
    """The arguments that name a table, its columns, and the rows to read."""
    parser.add_argument(
        "source",
        metavar="TABLE",
        help="runs/NAME, a .csv, .jsonl or .parquet file, or wandb://entity/project",
    )
    parser.add_argument(
        "--columns",
        nargs="+",
        action="extend",
        metavar="OURS=THEIRS",
        help='e.g. --columns "params=Model Size" "tokens=T*1e9" "loss=log(ppl)", or one YAML or JSON file',
    )
    parser.add_argument(
        "--where",
        action="append",
        metavar="CONDITION",
        help="""rows to keep, e.g. --where 'size == "410M" and lr < 1e-3'""",
    )
    parser.add_argument(
        "--drop", action="append", metavar="CONDITION", help="rows to leave out, e.g. --drop outlier"
    )
    parser.add_argument(
        "--checkpoints",
        choices=("last", "all"),
        help="rows of one run with growing tokens: fit the last of each, or all (default: as the rows look)",
    )


def add_fit(parser: argparse.ArgumentParser) -> None:
    """The arguments that say how `read` fits it."""
    parser.add_argument("--law", action="append", metavar="NAME", help=f"default: {' and '.join(LAWS)}")
    parser.add_argument(
        "--holdout",
        type=number_or_fraction,
        default=0.25,
        help="runs of largest compute to forecast unseen: a count, or a fraction (default 0.25)",
    )
    parser.add_argument("--resamples", type=int, default=1000, help="bootstrap replicates (default 1000)")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap (default 0)")


def number_or_fraction(text: str) -> float | int:
    """3 is a count, 0.25 a fraction."""
    return int(text) if text.isdigit() else float(text)


def columns(words: list[str] | None) -> list[str] | Path | None:
    """What was given after --columns: mappings, or one file that holds them."""
    if words and len(words) == 1 and "=" not in words[0]:
        return Path(words[0])
    return words


def read_table(asked: argparse.Namespace) -> RunTable:
    """The table that was named.

    Raises:
        ValueError, FileNotFoundError: for a source that holds no usable run.
    """
    table = load_runs(
        asked.source,
        columns=columns(asked.columns),
        where=asked.where,
        drop=asked.drop,
        checkpoints=asked.checkpoints,
    )
    if not {"params", "tokens"} <= table.quantities:
        has = ", ".join(sorted(table.quantities))
        raise ValueError(f"{table.source}: has {has} and loss; the laws fitted here need params and tokens.")
    return table


def describe_table(table: RunTable) -> str:
    """What was read: counts, which column became which quantity, notes, warnings, and what was set aside."""
    counts = ", ".join(f"{number} {what}" for what, number in table.counts.items())
    lines = [f"{table.source}: {counts}"]
    lines += [f"columns: {table.mapping()}"] if table.mapping() else []
    lines += _some(f"note: {note}" for note in dict.fromkeys(table.notes))
    lines += [f"! {warning}" for warning in dict.fromkeys(table.warnings)]
    lines += _some(f"set aside: {reason}" for reason in table.reasons())
    text = "\n".join(lines)
    return wrapped(text) if sys.stdout.isatty() else text


def _some(lines: Iterable[str]) -> list[str]:
    """The first lines of a kind, and how many more there are."""
    every = list(lines)
    more = [f"… and {len(every) - _SHOWN} more; --json has all"] if len(every) > _SHOWN else []
    return [*every[:_SHOWN], *more]


def read(asked: argparse.Namespace) -> tuple[RunTable, dict[str, Findings]]:
    """The table that was named, and everything fitted to it.

    Raises:
        ValueError, FileNotFoundError: for a source that holds no usable run.
    """
    table = read_table(asked)
    findings = fit_study(
        table,
        laws=tuple(asked.law or LAWS),
        holdout=asked.holdout,
        resamples=asked.resamples,
        seed=asked.seed,
    )
    return table, findings
