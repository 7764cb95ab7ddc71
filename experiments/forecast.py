"""`scaling forecast TABLE`: the loss of a run, or how to split a budget; registered before, scored after."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.forecast.isoflop import Comparison, compare_approaches
from analysis.forecast.predict import Outlook, compute_doubts, fit_basis, forecast_budget, forecast_run
from analysis.forecast.register import LAWS, register, score
from analysis.laws.inference import ServingOptimum, serving_optimum
from analysis.laws.select import FORMS
from analysis.table import load_runs, split_comparable
from experiments.terminal import Column, table


@dataclass(frozen=True)
class Answer:
    """Everything said about one comparable part of the table."""

    runs: pd.DataFrame
    outlook: Outlook
    approaches: Comparison | None
    served: ServingOptimum | None


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scaling forecast", description=__doc__)
    parser.add_argument(
        "source", metavar="TABLE", help="runs/NAME, a file of runs, or wandb://entity/project"
    )
    parser.add_argument(
        "--column", action="append", default=[], metavar="OURS=THEIRS", help="as in scaling fit"
    )
    parser.add_argument("--columns", type=Path, metavar="FILE", help="the same as a small YAML or JSON file")
    parser.add_argument("--params", type=float, help="parameters N of the run (with --tokens)")
    parser.add_argument("--tokens", type=float, help="tokens D of the run")
    parser.add_argument("--compute", type=float, help="budget 6 N D [FLOP]: find the best N and D")
    parser.add_argument("--served", type=float, help="tokens to be served: the cheapest model of that loss")
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
    runs = load_runs(asked.source, columns=asked.columns or asked.column or None)
    if asked.score:
        scored = score(asked.score, runs)
        print(json.dumps(scored.to_dict(orient="records"), indent=1) if asked.json else score_text(scored))
        return 0
    answers = {label: answer(part, asked) for label, part in parts_of(runs, asked.part).items()}
    if asked.register:
        if len(answers) > 1:
            raise ValueError(
                f"--register: one forecast a file, and the table has {len(answers)} parts; choose one with "
                f"--part: {', '.join(map(repr, answers))}."
            )
        only = next(iter(answers.values()))
        digest = register(only.outlook, only.runs, asked.register)
    if asked.json:
        print(json.dumps(to_dict(runs, answers), indent=1, allow_nan=False))
        return 0
    print("\n\n".join(wrapped(describe(label, a)) for label, a in answers.items()))
    if asked.register:
        print(f"\nregistered in {asked.register}, sha256 {digest}")
    return 0


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
    if asked.column and asked.columns:
        raise ValueError("give either --column or --columns FILE, not both.")


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
            groups=trunks,
            resamples=asked.resamples,
            seed=asked.seed,
        )
    served = None
    if asked.served is not None:
        served = serving_optimum(outlook.law, loss=outlook.loss.value, served=asked.served)
    return Answer(runs, outlook, approaches, served)


def wrapped(text: str) -> str:
    """The same with sentences broken at 80 columns; lines of a table are short enough as they are."""
    lines = []
    for line in text.split("\n"):
        indent = line[: len(line) - len(line.lstrip())] + "  "
        lines += textwrap.wrap(line, 80, subsequent_indent=indent) if len(line) > 80 else [line]
    return "\n".join(lines)


def describe(label: str, found: Answer) -> str:
    """One part in words."""
    lines = [f"{label}, {len(found.runs)} runs", str(found.outlook)]
    if found.approaches is not None:
        lines += ["", approaches_text(found.approaches)]
    if found.served is not None:
        served = found.served
        lines += [
            "",
            f"Cheapest model of loss {found.outlook.loss.value:.4g}, serving included: N {served.N:.4g}, "
            f"D {served.D:.4g}, {served.flops:.4g} FLOP ({served.training_flops:.4g} to train).",
        ]
    return "\n".join(lines)


def approaches_text(found: Comparison) -> str:
    """Chinchilla's three approaches as a table."""
    rows = found.table
    columns = [
        Column(
            "approach",
            [f"{n} {name}" for n, name in zip(rows["approach"], rows["name"], strict=True)],
            left=True,
        ),
        Column("a", [f"{v:.3f}" for v in rows["a"]]),
        Column("interval", [f"[{a:.3f}, {b:.3f}]" for a, b in zip(rows["a_lo"], rows["a_hi"], strict=True)]),
        Column("N", [f"{v:.3g}" for v in rows["N"]]),
        Column("D", [f"{v:.3g}" for v in rows["D"]]),
        Column("wastes", [f"{100 * v:.2g} %" for v in rows["regret"]]),
    ]
    lines = [f"Chinchilla's three approaches at {found.compute:.4g} FLOP, N* growing as C^a", table(columns)]
    for approach in found.approaches:
        lines += [f"! {approach.number}, {doubt.code}: {doubt.message}" for doubt in approach.warnings]
    return "\n".join([*lines, *(f"not followed: {reason}" for reason in found.refusals)])


def score_text(scored: pd.DataFrame) -> str:
    """One line a run, and what is doubtful."""
    intervals = [f"[{a:.4f}, {b:.4f}]" for a, b in zip(scored["run_lo"], scored["run_hi"], strict=True)]
    rows = table(
        [
            Column("run", [str(run)[:24] for run in scored["run_id"]], left=True),
            Column("loss", [f"{v:.4f}" for v in scored["loss"]]),
            Column("forecast", [f"{v:.4f}" for v in scored["forecast"]]),
            Column("of a run", intervals),
            Column("error", [f"{100 * v:+.2f} %" for v in scored["error"]]),
            Column("inside", ["yes" if v else "no" for v in scored["inside_run"]]),
        ]
    )
    early = scored["run_id"][scored["early"]]
    return "\n".join([rows, *(f"! {run} began before the forecast was registered" for run in early)])


def to_dict(runs: pd.DataFrame, answers: dict[str, Answer]) -> dict[str, Any]:
    """Everything that `describe` says, as plain data."""
    return {
        "source": str(runs.attrs.get("source", "")),
        "data_hash": runs.attrs.get("data_hash"),
        "counts": runs.attrs["counts"],
        "parts": {
            label: {
                "runs": len(found.runs),
                "forecast": found.outlook.to_dict(),
                "approaches": None if found.approaches is None else _approaches_dict(found.approaches),
                "served": None if found.served is None else vars(found.served),
            }
            for label, found in answers.items()
        },
    }


def _approaches_dict(found: Comparison) -> dict[str, Any]:
    rows = found.table.astype(object).where(found.table.notna(), None).to_dict(orient="records")
    return {
        "compute": found.compute,
        "rows": rows,
        "warnings": [{"approach": a.number, **vars(d)} for a in found.approaches for d in a.warnings],
        "refusals": list(found.refusals),
    }


if __name__ == "__main__":
    from experiments.cli import run_verb

    sys.exit(run_verb("forecast", sys.argv[1:]))
