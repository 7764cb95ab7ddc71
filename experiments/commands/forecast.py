"""`scaling forecast TABLE`: the loss of a run, or how to split a budget; register it now, score it later."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from analysis.fitting.runs import COLUMNS, FitError, called
from analysis.forecast.findings import columns_of
from analysis.forecast.isoflop import compare_approaches
from analysis.forecast.predict import forecast_table
from analysis.forecast.register import register, score
from analysis.forecast.serving import serving_optimum
from analysis.forecast.task import forecast_task
from analysis.table import RunTable, split_comparable
from analysis.table.cells import read_numbers
from experiments.commands.forecast_text import Answer, describe, score_text, to_dict
from experiments.commands.price import add_price, price_asked
from experiments.commands.source import (
    add_laws,
    add_table,
    bootstrap_of,
    describe_table,
    read_table,
)
from experiments.terminal import wrapped
from scaling.study.extensions import load_extensions


def main(arguments: list[str]) -> int:
    asked = parser_of().parse_args(arguments)
    check(asked)
    if asked.extension or asked.law:
        load_extensions(asked.extension)
    runs = read_table(asked)
    if asked.score:
        if not asked.json:
            print(describe_table(runs) + "\n")
        scored = score(asked.score, runs)
        print(json.dumps(scored.to_dict(orient="records"), indent=1) if asked.json else score_text(scored))
        return 0
    answers: dict[str, Answer] = {}
    refusals: dict[str, str] = {}
    parts = parts_of(runs, asked.part, asked.law or ())
    if not asked.json:
        print(describe_table(runs, parts.values()) + "\n")
    for label, part in parts.items():
        try:
            answers[label] = answer(part, asked)
        except FitError as error:
            if len(parts) == 1:
                raise
            refusals[label] = str(error)
    if asked.register:
        if len(parts) > 1:
            raise ValueError(
                f"--register: one forecast per file, and the table has {len(parts)} arms; choose one with "
                f"--arm: {', '.join(map(repr, parts))}."
            )
        only = next(iter(answers.values()))
        digest = register(only.outlook, only.runs, asked.register, task=only.task)
    if asked.json:
        print(json.dumps(to_dict(runs, answers, refusals), indent=1, allow_nan=False))
        return 0
    said = [wrapped(describe(label, found)) for label, found in answers.items()]
    said += [wrapped(f"{label}: no forecast: {reason}") for label, reason in refusals.items()]
    print("\n\n".join(said))
    for found in answers.values():
        if found.outlook.compute is not None and {"N", "D"} <= set(found.outlook.inputs):
            price = price_asked(asked, found.outlook.compute, found.outlook.inputs["N"].value)
            if price is not None:
                print("\n" + wrapped(str(price)))
    if asked.register:
        print(f"\nregistered in {asked.register}, sha256 {digest}")
    return 0 if answers else 1


def parser_of() -> argparse.ArgumentParser:
    """The arguments of the command."""
    parser = argparse.ArgumentParser(prog="scaling forecast", description=__doc__)
    add_table(parser)
    parser.add_argument("--params", type=number, help="parameters N of the run (with --tokens)")
    parser.add_argument("--tokens", type=number, help="tokens D of the run")
    parser.add_argument("--compute", type=number, help="budget 6 N D [FLOP]: find the best N and D")
    parser.add_argument(
        "--at",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        help="any other input of the law: tokens_unique=1e9, x=500",
    )
    parser.add_argument(
        "--served",
        type=number,
        help="tokens to serve: of the models with the forecast loss, find the cheapest to train and serve",
    )
    parser.add_argument("--task", metavar="COLUMN", help="column with a score from 0 to 1: forecast it too")
    parser.add_argument("--chance", type=float, help="chance-level score (default: the task's own, else 0)")
    parser.add_argument(
        "--items", type=int, help="number of questions, for binomial noise (default: the task's own)"
    )
    parser.add_argument(
        "--arm", "--part", dest="part", metavar="LABEL", help="which arm of the table (default: all)"
    )
    add_laws(parser)
    add_price(parser)
    parser.add_argument(
        "--register",
        type=Path,
        metavar="FILE",
        help="write the forecast into a file that is never overwritten",
    )
    parser.add_argument("--score", type=Path, metavar="FILE", help="score a registered forecast on new runs")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    return parser


def number(text: str) -> float:
    """1e9 or 1B, as tables have them: suffixes k, M, B and T.

    Raises:
        ValueError: for what is neither.
    """
    values, reasons, _ = read_numbers([text], role="size")
    if reasons:
        raise ValueError(reasons[0])
    return float(values[0])


def check(asked: argparse.Namespace) -> None:
    """Refuse what is no question.

    Raises:
        ValueError: unless one of params with tokens, compute, other inputs, or score is given.
    """
    asked.at = inputs_at(asked)
    if asked.score and (asked.at or asked.compute is not None):
        raise ValueError("--score scores an existing forecast; leave new questions out.")
    if not (asked.score or asked.at or asked.compute is not None):
        raise ValueError(
            "give one question: --params N with --tokens D, --compute FLOP, --at NAME=VALUE, or --score FILE."
        )
    if asked.compute is not None and {"N", "D"} & set(asked.at):
        raise ValueError("--compute finds the best params and tokens; leave --params and --tokens out.")
    if asked.score and asked.register:
        raise ValueError("--register puts a new forecast in writing, --score judges an old one; give one.")


def inputs_at(asked: argparse.Namespace) -> dict[str, float]:
    """The inputs that are given, by the law's letter.

    Raises:
        ValueError: for a word that is not NAME=NUMBER, or an input that is given twice.
    """
    letters = {column: letter for letter, column in COLUMNS.items()}
    given = {"N": asked.params, "D": asked.tokens}
    at = {name: value for name, value in given.items() if value is not None}
    for word in asked.at:
        name, _, text = word.partition("=")
        letter = letters.get(name.strip(), name.strip())
        try:
            value = number(text)
        except ValueError:
            raise ValueError(f"--at: write NAME=NUMBER, as in tokens_unique=1e9; got {word!r}.") from None
        if letter in at:
            raise ValueError(f"--at: {called(letter)} is given twice, {at[letter]:g} and {value:g}.")
        at[letter] = value
    return at


def parts_of(runs: RunTable, label: str | None, laws: Sequence[str] = ()) -> dict[str, RunTable]:
    """The comparable parts of a table under these laws, or the one named.

    Raises:
        ValueError: for a label that no part has.
    """
    parts = split_comparable(runs, columns_of(laws))
    if label is None:
        return parts
    if label not in parts:
        raise ValueError(f"--arm: {label!r} is none of {', '.join(map(repr, parts))}.")
    return {label: parts[label]}


def answer(runs: RunTable, asked: argparse.Namespace) -> Answer:
    """Forecast one part.

    Raises:
        FitError: when its runs determine no law.
    """
    laws, bootstrap = tuple(asked.law or ()), bootstrap_of(asked)
    found, basis = forecast_table(runs, laws, at=asked.at, compute=asked.compute, bootstrap=bootstrap)
    surface = set(found.inputs) == {"N", "D"}
    if asked.served is not None and not surface:
        raise ValueError("--served: needs a law of params and tokens alone; name one: --law coupled.")
    approaches = None
    if asked.compute is not None and surface:
        judge = next(fit for fit in found.fits if fit.law == found.law)
        approaches = compare_approaches(judge, asked.compute)
    served, task = None, None
    if asked.served is not None:
        served = serving_optimum(found.law, loss=found.loss.value, served=asked.served)
    if asked.task is not None:
        if not surface:
            raise ValueError(
                "--task: a score is forecast from params and tokens by laws of these alone; the laws here "
                f"take {', '.join(map(called, found.inputs))}."
            )
        known = runs.tasks.get(asked.task, {})
        task = forecast_task(
            runs.rows,
            asked.task,
            (found.inputs["N"].value, found.inputs["D"].value),
            basis,
            chance=known.get("chance", 0.0) if asked.chance is None else asked.chance,
            items=asked.items or known.get("items"),
            resamples=asked.resamples,
            seed=asked.seed,
        )
    return Answer(runs, found, approaches, served, task)


if __name__ == "__main__":
    from experiments.cli import run_verb

    sys.exit(run_verb("forecast", sys.argv[1:]))
