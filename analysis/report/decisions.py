"""What follows from the fits: which recipe leads, what to train next, and how past forecasts came out."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.fitting.runs import FitError, Runs
from analysis.forecast.advise import Advice, advise_runs
from analysis.forecast.calibration import Entry, calibrate
from analysis.forecast.findings import Findings
from analysis.forecast.register import check_chain, registered_files
from analysis.report.best import largest_compute
from analysis.report.content import count
from analysis.report.figures.speedup import plot_speedup
from analysis.report.formats import Cell, Table
from analysis.report.gallery import Picture, is_surface, picture
from analysis.report.registered import entries_of
from analysis.report.style import say, say_flops
from analysis.sweeps.compare import Comparison, compare_arms
from analysis.table import RunTable
from analysis.table.arms import arms

RESAMPLES = 100
MOST_RUNS = 2000  # beyond them `scaling compare` and `scaling next` are asked by hand
REACH = 10.0  # times the largest compute that advice is for
RECIPES, NEXT, ROUNDS, SO_FAR = "Which recipe", "What next", "Rounds so far", "Forecasts so far"


@dataclass(frozen=True)
class Section:
    """A heading, what is said under it in sentences, its tables, and the command that says more."""

    title: str
    sentences: tuple[str, ...]
    tables: tuple[Table, ...]
    command: str


def compare_recipes(table: RunTable) -> Comparison | None:
    """Compare the arms of a table; None where no one setting parts them or they do not compare."""
    if len(table) > MOST_RUNS:
        return None
    try:
        keys = arms(table.rows).keys
        return compare_arms(table, list(keys), resamples=RESAMPLES) if len(keys) == 1 else None
    except ValueError:  # arms that differ elsewhere, or share neither budgets nor a grid
        return None


def recipe_section(found: Comparison, source: str) -> Section:
    """The verdict on each recipe, and its speed-up within and beyond the runs."""
    rows: list[tuple[Cell, ...]] = []
    for lead in found.leads:
        for compute in (lead.largest, *found.at(lead)):
            ahead = lead.at(compute)
            rows.append((lead.arm, compute, ahead.value, ahead.low, ahead.high, lead.p_better(compute)))
    header = ("arm", "C", "speed-up", "from", "to", "p(better)")
    how = {
        "grid": "One joint fit of all arms, sharing E and k",
        "frontier": "Speed-up at each matched budget",
    }
    note = (
        f"Speed-up: compute that {found.baseline} needs to reach the loss of the arm, divided by the arm's; "
        f"above 1 the arm is ahead. {how[found.design]}. From, to: {100 * found.level:g} % interval. The "
        "first row of an arm is at the largest compute of both; the second was not measured."
    )
    verdicts = [f"{lead.verdict(found.at(lead)[-1])}.".replace("e+", "e") for lead in found.leads]
    others = [text for text in (found.multiplicity, *found.notes) if text]
    return Section(
        RECIPES,
        (*verdicts, *others),
        (Table("recipes", f"Recipes against {found.baseline}", header, tuple(rows), note),),
        f"scaling compare {shlex.quote(source)} --by {','.join(found.by)}",
    )


def recipe_picture(found: Comparison) -> Picture:
    """Draw the speed-up of each recipe along compute."""
    caption = (
        f"Speed-up over {found.baseline} along compute, with {100 * found.level:g} % bands. Dashed lines lie "
        "beyond the runs; marks, if any, are matched budgets."
    )
    return picture("speed-up", RECIPES, caption, plot_speedup(found))


def next_section(findings: Mapping[str, Findings], source: str) -> Section | None:
    """The runs that would say most about the best size at ten times the largest compute, of each arm."""
    rows: list[tuple[Cell, ...]] = []
    sentences, compute = [], 0.0
    for part in findings.values():
        advice = _advice(part)
        if advice is None:
            continue
        compute = compute or advice.compute
        of = f"{part.label}: " if len(findings) > 1 else ""
        sentences.append(f"{of}{_expected(advice)}")
        rows += [
            (part.label, place, run.N, run.D, run.kind, run.cost, 100 * run.regret)
            for place, run in enumerate(advice.runs, 1)
        ]
    if not sentences:
        return None
    header = ("arm", "run", "N", "D", "kind", "C", "waste then %")
    note = (
        "Runs in the order of training; each is the one expected to lower the waste most for its cost C "
        "[FLOP]. Waste: the share of the compute of a run at the target budget that is lost because its size "
        "is wrong."
    )
    tables = (Table("next", "Runs to train next", header, tuple(rows), note),) if rows else ()
    command = f"scaling next {shlex.quote(source)} --compute {say_flops(compute)}"
    return Section(NEXT, tuple(sentences), tables, command)


def _advice(part: Findings) -> Advice | None:
    """Advice from the fits that are there; none for laws of one input, and of very many runs."""
    if part.ensemble is None or not is_surface(part) or len(part.runs) > MOST_RUNS:
        return None
    try:
        runs = Runs.of_table(part.table, ("N", "D"))
        target = float(f"{largest_compute(part) * REACH:.2g}")
        return advise_runs(runs, target, basis=part.ensemble)
    except (FitError, ValueError):
        return None


def _expected(advice: Advice) -> str:
    size = f"{say(advice.now.N.value)} parameters"
    goal = f"For {say_flops(advice.compute)} FLOP the size of least expected waste is {size}"
    between = f" ({100 * advice.level:g} % interval {say(advice.now.N.low)} to {say(advice.now.N.high)})"
    waste = f"; its uncertainty is expected to waste {100 * advice.now.regret:.2g} % of that compute."
    if not advice.runs:
        return goal + between + waste + f" No further runs are advised: {advice.stop.removeprefix('stop: ')}."
    more = f" {count(len(advice.runs), 'run')} for {say_flops(advice.cost)} FLOP"
    after = f"{more} should bring that down to {100 * advice.after.regret:.2g} %."
    if advice.after.regret >= advice.now.regret:
        after = f"{more} would tell more about the size, but are not expected to lower that."
    return goal + between + waste + after


def rounds_section(table: RunTable) -> Section | None:
    """The rounds of `scaling autopilot` on this study; None where there were none."""
    folder = Path(table.source) / "forecasts"
    files = registered_files(folder) if folder.is_dir() else {}
    rounds = [body["round"] for body in files.values() if body["kind"] == "round"]
    if not rounds:
        return None
    header, rows = round_rows(sorted(rounds, key=lambda each: int(each["number"])), table)
    first, last = rounds[0]["advice"], rounds[-1]["advice"]
    chosen = count(len(rows), "run")
    sentence = (
        f"{count(len(rounds), 'round')} chose {chosen} for a budget of {say_flops(first['compute'])} FLOP: "
        f"the expected waste was {100 * first['now']['regret']:.2g} % before the first and "
        f"{100 * last['now']['regret']:.2g} % before the last."
    )
    note = (
        "Best N and waste: as they stood when the round was chosen, from all runs before it. C: what the run "
        "adds [FLOP], 6 N D. Forecast: the loss forecast before the run was trained. Low, high: interval. "
        "Outcome: the measured loss. Inside: whether it lies in that interval."
    )
    tables = (Table("rounds", "Rounds of the autopilot", header, rows, note),)
    return Section(ROUNDS, (sentence,), tables, "scaling autopilot study=NAME compute=C spend=F")


def round_rows(
    rounds: Sequence[dict[str, Any]], table: RunTable
) -> tuple[tuple[str, ...], tuple[tuple[Cell, ...], ...]]:
    """Column names, and a row for each run that a round chose; what came is None while it is missing."""
    came = dict(zip(map(str, table["run_id"]), table["loss"], strict=True))
    rows: list[tuple[Cell, ...]] = []
    for each in rounds:
        now = each["advice"]["now"]
        for run in each["runs"]:
            loss = float(came[run["run_id"]]) if run["run_id"] in came else None
            inside = "pending" if loss is None else "yes" if run["low"] <= loss <= run["high"] else "no"
            chosen = (each["number"], run["N"], run["D"], run["kind"], float(run["cost"]))
            said = (float(run["loss"]), float(run["low"]), float(run["high"]), loss, inside)
            best = (now["N"]["value"], now["N"]["low"], now["N"]["high"], 100 * now["regret"])
            rows.append((*chosen, *said, *best))
    header = (
        *("round", "N", "D", "kind", "C", "forecast", "low", "high", "outcome", "inside"),
        *("best N", "from", "to", "waste %"),
    )
    return header, tuple(rows)


def forecast_section(table: RunTable) -> Section | None:
    """What was registered beside the table, and what came; None where nothing was."""
    entries, wrong = registered_beside(Path(table.source))
    if not entries:
        return None
    rows = tuple(
        (
            *(entry.file, entry.registered, entry.question),
            *(entry.said, entry.low, entry.high, entry.came),
            "pending" if entry.inside is None else "yes" if entry.inside else "no",
        )
        for entry in entries
    )
    header = ("file", "registered", "question", "forecast", "low", "high", "outcome", "inside")
    early = sum(entry.early for entry in entries)
    sentences = [f"{calibrate(entries)}."]
    if early:
        sentences.append(f"{count(early, 'run')} began before the forecast was registered: not counted.")
    sentences += [f"{each}." for each in wrong] or [
        "Every file is as it was registered, and none is missing."
    ]
    return Section(
        SO_FAR,
        tuple(sentences),
        (Table("registered", "Forecasts and outcomes", header, rows),),
        "scaling forecasts FOLDER",
    )


def registered_beside(source: Path) -> tuple[list[Entry], list[str]]:
    """Registered answers in the folder of a table or study and in its `forecasts/`; and what was tampered."""
    folder = source if source.is_dir() else source.parent
    entries: list[Entry] = []
    wrong: list[str] = []
    for place in (folder, folder / "forecasts"):
        files = registered_files(place) if place.is_dir() else {}
        own = {path: body for path, body in files.items() if _same(body["source"], source)}
        entries += [entry for path, body in own.items() for entry in entries_of(path, body, None)]
        wrong += check_chain(files) if own else []
    return entries, wrong


def _same(named: str, source: Path) -> bool:
    """Whether a registered answer was made from this source."""
    return Path(named).resolve() == source.resolve()
