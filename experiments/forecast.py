"""`scaling forecast TABLE`: the loss of a run, or how to split a budget; registered before, scored after."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import pandas as pd

from analysis.fitting.runs import FitError
from analysis.forecast.isoflop import compare_approaches
from analysis.forecast.predict import compute_doubts, fit_basis, forecast_budget, forecast_run
from analysis.forecast.register import LAWS, register, score
from analysis.forecast.select import FORMS
from analysis.forecast.serving import serving_optimum
from analysis.forecast.task import forecast_task
from analysis.table import split_comparable
from experiments.outlook import Answer, describe, score_text, to_dict, wrapped
from experiments.source import add_table, read_table


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scaling forecast", description=__doc__)
    add_table(parser)
    parser.add_argument("--params", type=float, help="parameters N of the run (with --tokens)")
    parser.add_argument("--tokens", type=float, help="tokens D of the run")
    parser.add_argument("--compute", type=float, help="budget 6 N D [FLOP]: find the best N and D")
    parser.add_argument("--served", type=float, help="tokens to be served: the cheapest model of that loss")
    parser.add_argument("--task", metavar="COLUMN", help="a score from 0 to 1 of each run: forecast it too")
    parser.add_argument("--chance", type=float, help="score of guessing (default: the task's own, else 0)")
    parser.add_argument("--items", type=int, help="questions, for binomial noise (default: the task's own)")
    parser.add_argument("--law", action="append", choices=sorted(LAWS), help=f"default: {', '.join(FORMS)}")
    parser.add_argument("--part", help="which comparable part of the table, by its label (default: all)")
    parser.add_argument("--level", type=float, default=0.95, help="of every interval (default 0.95)")
    parser.add_argument("--resamples", type=int, default=1000, help="bootstrap replicates (default 1000)")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap (default 0)")
    parser.add_argument("--register", type=Path, metavar="FILE", help="put the forecast in writing")
    parser.add_argument("--score", type=Path, metavar="FILE", help="score a registered forecast on new runs")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    asked = parser.parse_args(arguments)
    check(asked)
    runs = read_table(asked)
    if asked.score:
        scored = score(asked.score, runs)
        print(json.dumps(scored.to_dict(orient="records"), indent=1) if asked.json else score_text(scored))
        return 0
    answers: dict[str, Answer] = {}
    refusals: dict[str, str] = {}
    parts = parts_of(runs, asked.part)
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
                f"--register: one forecast a file, and the table has {len(parts)} parts; choose one with "
                f"--part: {', '.join(map(repr, parts))}."
            )
        only = next(iter(answers.values()))
        digest = register(only.outlook, only.runs, asked.register, task=only.task)
    if asked.json:
        print(json.dumps(to_dict(runs, answers, refusals), indent=1, allow_nan=False))
        return 0
    said = [wrapped(describe(label, found)) for label, found in answers.items()]
    said += [wrapped(f"{label}: no forecast: {reason}") for label, reason in refusals.items()]
    print("\n\n".join(said))
    if asked.register:
        print(f"\nregistered in {asked.register}, sha256 {digest}")
    return 0 if answers else 1


def check(asked: argparse.Namespace) -> None:
    """Refuse a question that is none.

    Raises:
        ValueError: unless exactly one of params with tokens, compute, or score is given.
    """
    run = (asked.params, asked.tokens)
    given = [asked.compute is not None, any(v is not None for v in run), asked.score is not None]
    if sum(given) != 1 or (given[1] and None in run):
        raise ValueError(
            "give one question: --params N with --tokens D, or --compute FLOP, or --score FILE; got "
            f"params={asked.params}, tokens={asked.tokens}, compute={asked.compute}, score={asked.score}."
        )
    if asked.score and asked.register:
        raise ValueError("--register puts a new forecast in writing, --score judges an old one; give one.")


def parts_of(runs: pd.DataFrame, label: str | None) -> dict[str, pd.DataFrame]:
    """The comparable parts of a table, or the one named.

    Raises:
        ValueError: for a label that no part has.
    """
    parts = split_comparable(runs)
    if label is None:
        return parts
    if label not in parts:
        raise ValueError(f"--part: {label!r} is none of {', '.join(map(repr, parts))}.")
    return {label: parts[label]}


def answer(runs: pd.DataFrame, asked: argparse.Namespace) -> Answer:
    """Forecast one part.

    Raises:
        FitError: when its runs determine no law.
    """
    columns = [runs[name].to_numpy(dtype=float) for name in ("params", "tokens", "loss")]
    flops = runs["flops"].to_numpy(dtype=float)
    trunks = runs["trunk_id"].to_numpy(dtype=str)
    basis, doubts = fit_basis(
        *columns,
        laws=tuple(asked.law or FORMS),
        flops=flops,
        groups=trunks,
        resamples=asked.resamples,
        seed=asked.seed,
        level=asked.level,
    )
    if asked.compute is None:
        outlook = forecast_run(basis, asked.params, asked.tokens, doubts=doubts, seed=asked.seed)
        approaches = None
    else:
        doubts += compute_doubts(flops, columns[0], columns[1])
        outlook = forecast_budget(basis, asked.compute, doubts=doubts, seed=asked.seed)
        judge = next(fit for fit in outlook.fits if fit.law == outlook.law)
        approaches = compare_approaches(
            *columns,
            fit=judge,
            compute=asked.compute,
            flops=flops,
            groups=trunks,
            resamples=asked.resamples,
            seed=asked.seed,
        )
    served = None
    if asked.served is not None:
        served = serving_optimum(outlook.law, loss=outlook.loss.value, served=asked.served)
    task = None
    if asked.task is not None:
        at = (outlook.params.value, outlook.tokens.value)
        known = runs.attrs.get("tasks", {}).get(asked.task, {})
        task = forecast_task(
            runs,
            asked.task,
            at,
            basis,
            chance=known.get("chance", 0.0) if asked.chance is None else asked.chance,
            items=asked.items or known.get("items"),
            resamples=asked.resamples,
            seed=asked.seed,
        )
    return Answer(runs, outlook, approaches, served, task)


if __name__ == "__main__":
    from experiments.cli import run_verb

    sys.exit(run_verb("forecast", sys.argv[1:]))
