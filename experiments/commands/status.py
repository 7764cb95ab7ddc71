"""`scaling status runs/NAME`: what is done, diverged, failed and missing, and why. Imports no PyTorch."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

from experiments.terminal import Column, plural, table
from scaling.records.reading import printable
from scaling.records.record import ACCEPTED, PROGRAM, StudyRecords, read_study
from scaling.study.code import changed_parts

TOLD = ("optimizer", "learning_rate", "weight_decay", "seed")  # of what a plan says of a run


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scaling status", description=__doc__)
    parser.add_argument("folder", help="a study's runs folder, e.g. runs/demo")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    asked = parser.parse_args(arguments)
    study = read_study(asked.folder)
    print(json.dumps(to_dict(study), indent=1) if asked.json else describe(study))
    return 0


def counts(study: StudyRecords) -> dict[str, int]:
    """How many runs are in which state. A failed run is missing too: it counts as failed only."""
    failed = [r for r in study.missing if study.expected[r].get("trunk_id") in study.failures]
    unplanned = [r for r in study.records if study.expected and r.run_id not in study.expected]
    return {
        "planned": len(study.expected),
        "done": len(study.done),
        "diverged": len(study.diverged),
        "failed": len(failed),
        "missing": len(study.missing) - len(failed),
        "damaged": len(study.damaged),
        "not in the plan": len(unplanned),
    }


def describe(study: StudyRecords) -> str:
    """The counts, one line per trunk, and every reason."""
    number = counts(study)
    shown = ("done", "diverged", "failed", "missing")
    lines = [f"{study.name}: " + ", ".join(f"{number[key]} {key}" for key in shown)]
    if study.expected:
        lines[0] += f" of {number['planned']} planned"
    trunks: dict[str, dict[str, int]] = {}
    state: dict[str, tuple[str, str]] = {r.run_id: (r.trunk_id, r.status) for r in study.records}
    for run_id, row in study.expected.items():
        trunk = str(row["trunk_id"])
        state.setdefault(run_id, (trunk, "failed" if trunk in study.failures else "missing"))
    for trunk, status in state.values():
        trunks.setdefault(trunk, dict.fromkeys(shown, 0))[status] += 1
    if trunks:
        cells = [
            Column(key, [str(row[key] or "·") for row in trunks.values()], rank=rank)
            for rank, key in enumerate(shown)
        ]
        lines += ["", table([Column("trunk", list(trunks), left=True), *_told_apart(study, trunks), *cells])]
    reasons = [f"diverged  {r.run_id}: {r.reason}" for r in study.diverged]
    for f in study.failures.values():
        *before, last = f.message.strip().splitlines() or [""]
        reasons.append(f"failed    {f.trunk_id} (attempt {f.attempt}, {f.kind}): {last}".rstrip(": "))
        # What a command has printed says why; of our own code the last line of a traceback does.
        reasons += [f"          | {line}" for line in before if f.kind == "command"]
    reasons += [f"damaged   {path}: {why}" for path, why in study.damaged.items()]
    if number["not in the plan"]:
        reasons.append(
            f"{_runs(number['not in the plan'], 'has', 'have')} a record, but the plan does not ask for "
            f"{'it' if number['not in the plan'] == 1 else 'them'}."
        )
    reasons += made_by(study)
    if reasons:
        lines += ["", *reasons]
    return printable("\n".join(lines))


def _told_apart(study: StudyRecords, trunks: Iterable[str]) -> list[Column]:
    """One column for each setting in which trunks of one family and size differ: names do not say it."""
    rows = {str(row["trunk_id"]): row for row in study.expected.values()}
    alike: dict[tuple[object, object], list[dict[str, Any]]] = {}
    for row in rows.values():
        alike.setdefault((row.get("family"), row.get("params")), []).append(row)
    found = []
    for rank, key in enumerate(TOLD, start=4):
        if any(len({row.get(key) for row in group}) > 1 for group in alike.values()):
            cells = [str(rows.get(trunk, {}).get(key, "·")) for trunk in trunks]
            found.append(Column(key.replace("_", " "), cells, rank=rank))
    return found


def made_by(study: StudyRecords) -> list[str]:
    """Lines about runs that other code than today's has made, whole or in part, or code that is not known."""
    lines = []
    changed = changed_runs(study)
    for why, runs in Counter(changed.values()).items():
        lines.append(f"changed   {_runs(runs, 'was', 'were')} made by other code: {why}")
    if changed:
        lines.append("          scaling run … --retrain-changed trains them again")
    accepted = Counter(r.versions[ACCEPTED] for r in study.records if ACCEPTED in r.versions)
    for why, number in accepted.items():
        lines.append(f"accepted  {_runs(number, 'was', 'were')} resumed after a change: {why}")
    unknown = sum(not record.code and PROGRAM not in record.versions for record in study.records)
    if unknown:
        lines.append(f"unknown   {_runs(unknown, 'does', 'do')} not say which code made them")
    return lines


def _runs(number: int, one: str, several: str) -> str:
    return f"{plural(number, 'run')} {one if number == 1 else several}"


def changed_runs(study: StudyRecords) -> dict[str, str]:
    """Run id → the parts of the code that made it which are other ones now."""
    found = {record.run_id: "; ".join(changed_parts(record.versions)) for record in study.records}
    return {run_id: why for run_id, why in found.items() if why}


def to_dict(study: StudyRecords) -> dict[str, object]:
    """The same as plain data."""
    return {
        "study": study.name,
        "counts": counts(study),
        "diverged": {r.run_id: r.reason for r in study.diverged},
        "failures": {f.trunk_id: vars(f) for f in study.failures.values()},
        "missing": list(study.missing),
        "damaged": study.damaged,
        "changed": changed_runs(study),
        "accepted": {r.run_id: r.versions[ACCEPTED] for r in study.records if ACCEPTED in r.versions},
    }
