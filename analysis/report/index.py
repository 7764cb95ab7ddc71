"""One page about all studies in a folder: question, date, answer, forecasts and their outcomes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from analysis.forecast.calibration import Entry
from analysis.report.decisions import registered_beside
from analysis.report.html import Page, environment
from analysis.table import RunTable, load_runs
from scaling.records.reading import read_json

ANSWER = "answer.json"  # beside a report: what the page over all studies reads of it
_PLAN = "plan.json"


@dataclass(frozen=True)
class StudyLine:
    """A study as the page about all of them shows it."""

    name: str
    question: str
    date: str  # when its last run finished, as its records say; empty where they do not
    runs: int
    answer: str  # empty without a report
    link: str  # to its report, relative to the page; empty without one
    note: str  # what to do where the answer is missing or older than the runs
    forecasts: tuple[Entry, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        return {**asdict(self), "forecasts": [entry.to_dict() for entry in self.forecasts]}


def answer_file(page: Page, table: RunTable) -> str:
    """What a report answers, as JSON."""
    found = {
        "study": table.study,
        "question": page.question,
        "answer": page.answer.sentence,
        "equations": {law.arm: law.text for law in page.answer.equations},
        "data_hash": table.data_hash,
    }
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def study_lines(folder: Path) -> list[StudyLine]:
    """Every study of a folder, the latest first.

    Raises:
        ValueError: for a folder that holds no study.
    """
    studies = sorted(path.parent for path in folder.glob(f"*/{_PLAN}"))
    if not studies:
        raise ValueError(f"{folder}: holds no study; name the folder that holds your studies, e.g. runs.")
    lines = [_line(study, folder) for study in studies]
    return sorted(lines, key=lambda line: line.date, reverse=True)


def write_index(lines: Sequence[StudyLine], folder: Path) -> str:
    """The page as HTML."""
    return environment().get_template("index.html.jinja").render(folder=folder.name, lines=lines)


def _line(study: Path, folder: Path) -> StudyLine:
    report = study / "report"
    said, link = _said(report / ANSWER), ""
    if (report / "index.html").is_file():
        link = (report / "index.html").relative_to(folder).as_posix()
    command = f"scaling report {study}"
    try:
        table = load_runs(study)
    except ValueError as error:
        return StudyLine(
            study.name, said.get("question", ""), "", 0, said.get("answer", ""), link, str(error), ()
        )
    date = max((str(at) for at in table["finished"].dropna()), default="") if "finished" in table else ""
    note = ""
    if not said:
        note = f"no report yet: {command}"
    elif said.get("data_hash") != table.data_hash:
        note = f"the report is older than the runs: {command}"
    entries, wrong = registered_beside(study)
    note = "; ".join(filter(None, (note, *wrong)))
    return StudyLine(
        *(study.name, table.question, date[:10], len(table)),
        *(said.get("answer", ""), link, note, tuple(entries)),
    )


def _said(path: Path) -> dict[str, str]:
    try:
        found = read_json(path)
    except (OSError, ValueError):
        return {}
    return {k: v for k, v in found.items() if isinstance(v, str)} if isinstance(found, dict) else {}
