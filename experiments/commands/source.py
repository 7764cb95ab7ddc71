"""The arguments that commands share: a table, its columns, and how to fit it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from analysis.fitting.bootstrap.replicates import Bootstrap
from analysis.forecast.findings import Findings, Question, fit_study
from analysis.laws import law_names
from analysis.table import RunTable, load_runs
from analysis.table.runtable import say_count
from experiments.terminal import printable, wrapped
from scaling.study.extensions import load_extensions

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
        "--by",
        nargs="+",
        action="extend",
        default=[],
        metavar="COLUMN",
        help="columns that distinguish recipes; others are pooled (default: every setting that differs)",
    )
    parser.add_argument(
        "--checkpoints",
        choices=("last", "all"),
        help="where a run has several rows with growing tokens: fit its last row, or all (default: decided "
        "by the rows)",
    )


def add_laws(parser: argparse.ArgumentParser) -> None:
    """The arguments that name laws and say how intervals are made."""
    parser.add_argument(
        "--law",
        action="append",
        metavar="NAME",
        help=f"may be given several times: {', '.join(law_names())} (default: by the table's columns)",
    )
    parser.add_argument(
        "--extension",
        action="append",
        type=Path,
        metavar="FILE.py",
        default=[],
        help="a Python file of yours that registers a law; it is run",
    )
    parser.add_argument("--level", type=float, default=0.95, help="level of every interval (default 0.95)")
    parser.add_argument(
        "--resamples", type=int, default=1000, help="bootstrap replicates (default %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the bootstrap (default 0)")


def add_fit(parser: argparse.ArgumentParser) -> None:
    """The arguments that say how `read` fits it."""
    add_laws(parser)
    parser.add_argument(
        "--fix",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        help="hold a parameter at a value, or two parameters equal: --fix E=1.6, --fix alpha=beta",
    )
    parser.add_argument(
        "--holdout",
        type=number_or_fraction,
        default=0.25,
        help="runs of largest compute to forecast unseen: a count, or a fraction (default 0.25)",
    )


def add_wandb(parser: argparse.ArgumentParser) -> None:
    """The argument that shows an answer in W&B."""
    parser.add_argument(
        "--wandb",
        nargs="?",
        const="auto",
        choices=("auto", "offline", "online"),
        help="also show the answer in W&B; auto: online if you are logged in, otherwise offline",
    )


def number_or_fraction(text: str) -> float | int:
    """3 is a count, 0.25 a fraction."""
    return int(text) if text.isdigit() else float(text)


def columns(words: list[str] | None) -> list[str] | Path | None:
    """What was given after --columns: mappings, or one file that holds them."""
    if words and len(words) == 1 and "=" not in words[0]:
        return Path(words[0])
    return words


def pins(words: list[str]) -> tuple[dict[str, float], tuple[tuple[str, str], ...]]:
    """Values and ties from `E=1.6` and `alpha=beta`.

    Raises:
        ValueError: for a word of another shape, or a parameter that is given twice.
    """
    fixed: dict[str, float] = {}
    ties: list[tuple[str, str]] = []
    for word in words:
        name, equals, value = (part.strip() for part in word.partition("="))
        if not (name and equals and value):
            raise ValueError(
                f"--fix: write NAME=VALUE or NAME=NAME, as in E=1.6 or alpha=beta; got {word!r}."
            )
        if name in fixed:
            raise ValueError(f"--fix: {name} is given twice, {fixed[name]:g} and {value}.")
        try:
            fixed[name] = float(value)
        except ValueError:
            ties.append((name, value))
    return fixed, tuple(ties)


def bootstrap_of(asked: argparse.Namespace) -> Bootstrap:
    """How intervals are made."""
    return Bootstrap(resamples=asked.resamples, seed=asked.seed, level=asked.level)


def question_of(asked: argparse.Namespace) -> Question:
    """What the fit arguments ask.

    Raises:
        ValueError: for an argument that cannot be followed.
    """
    fixed, ties = pins(asked.fix)
    return Question(tuple(asked.law or ()), fixed, ties, asked.holdout, bootstrap_of(asked))


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
    return replace(table, by=tuple(asked.by))


def describe_table(table: RunTable, parts: Iterable[RunTable] = ()) -> str:
    """What was read: counts, which column became which quantity, notes, warnings, and what was set aside.

    Notes of `parts` say what parted the runs, and which columns were found but not used.
    """
    whole = [table, *parts]
    counts = ", ".join(
        f"{number:,} {say_count(what)}" for what, number in table.counts.items() if number or what == "used"
    )
    lines = [f"{printable(table.source)}: {counts}"]
    lines += [f"columns: {table.mapping()}"] if table.mapping() else []
    lines += _some(f"note: {note}" for note in dict.fromkeys(note for each in whole for note in each.notes))
    lines += [f"! {warning}" for warning in dict.fromkeys(w for each in whole for w in each.warnings)]
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
    if asked.extension or asked.law:
        load_extensions(asked.extension)
    question = question_of(asked)
    table = read_table(asked)
    return table, fit_study(table, question)
