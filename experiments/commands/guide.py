"""`scaling guide`: what to ask, and in what order, and the command for each; for people and programs."""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Step:
    """One question on the way from an idea to a decision."""

    question: str
    command: str
    read: tuple[str, ...]  # keys of its JSON object to look at; none where it prints no JSON
    then: str


INTRODUCTION = (
    "This text is for people and for programs: `scaling guide` prints it, and `scaling guide --json` "
    "prints it as data. With `--json`, a command prints one JSON object; the keys to look at are named below "
    "the command."
)
STEPS = (
    Step(
        "What does this machine offer?",
        "scaling doctor --json",
        ("findings",),
        "A finding whose `state` is `wrong` says in `todo` what to do; do that first.",
    ),
    Step(
        "What is the question, and which runs would answer it?",
        "scaling new mine",
        (),
        "This writes conf/study/mine.yaml. Edit the file: give one question, six or more sizes, and budgets "
        "that span a factor of ten.",
    ),
    Step(
        "What would the study cost, and could it answer the question?",
        "scaling plan study=mine --simulate --json",
        ("flops", "seconds", "runs", "warnings", "design"),
        "Nothing is trained. `design` gives the intervals to expect, and what is wrong with the grid. If "
        "the study costs too much, add `max_flops=1e13`; if the intervals are too wide, add sizes or widen "
        "the range of budgets.",
    ),
    Step(
        "Train the runs.",
        "scaling run study=mine",
        (),
        "Exit status 0: every run has a record. 1: some failed or are missing. 2: nothing could start. "
        "After an interruption, the same command continues.",
    ),
    Step(
        "Which runs are done, and what went wrong with the others?",
        "scaling status runs/mine --json",
        ("counts", "diverged", "failures", "missing", "damaged", "changed"),
        "Each id comes with a reason. A diverged run counts as a result but enters no fit.",
    ),
    Step(
        "How does the loss fall, and did the smaller runs predict the larger ones?",
        "scaling fit runs/mine --json",
        ("counts", "columns", "notes", "warnings", "quarantine", "parts"),
        "`parts` has one entry per arm. Its `forecasts` were made without the largest runs: trust a law "
        "only as far as it predicted them. Read the `warnings` of a law before its numbers.",
    ),
    Step(
        "Show the results to somebody.",
        "scaling report runs/mine",
        (),
        "The report, runs/mine/report/index.html, is one file and opens with the answer.",
    ),
    Step(
        "Which recipe scales better?",
        "scaling compare runs/muon --by optimizer --json",
        ("baseline", "arms", "notes"),
        "The runs may differ in the setting that `--by` names, in size, tokens and seed, and in nothing "
        "else.",
    ),
    Step(
        "Which runs should be trained next?",
        "scaling next runs/mine --compute 1e15 --to next.yaml --json",
        ("runs", "stop", "now", "files"),
        "`runs` lists them by value per unit of cost. `files` lists studies that train them: "
        "`scaling run study=./next.yaml`. `stop` says why there are no more runs. `scaling autopilot "
        "study=mine compute=1e15 spend=2e13` does all of this in rounds.",
    ),
    Step(
        "What will the big run reach? Register the forecast before the run starts.",
        "scaling forecast runs/mine --compute 1e15 --register said/big.json --json",
        ("parts", "source"),
        "`parts` gives the best N and D for the budget and the loss there, each with an interval. A "
        "registered file is never overwritten.",
    ),
    Step(
        "Is the big run on course?",
        "scaling watch runs/big --against runs/mine --json",
        ("final", "alarms"),
        "Exit status 1 means an alarm. `--follow` looks again until the run ends.",
    ),
    Step(
        "Were the forecasts right?",
        "scaling forecasts said --json",
        ("forecasts", "together", "tampered"),
        "Exit status 1: a registered file was changed or removed.",
    ),
)
RULES = (
    "A table that another program wrote is fitted by the same command: `scaling fit table.csv --json`. Check "
    "`columns`, `notes` and `quarantine` before you trust the fit, and map columns that were not recognised: "
    '`--columns "params=Model Size"`.',
    "A missing number is null or absent; it is never 0, and never guessed. Rows that are set aside are "
    "counted, with the reason.",
    "An error is one message on standard error that says what to do, with exit status 2.",
    "Every command has `--help`. Every key, column, law, option and environment variable is listed in "
    "docs/reference/.",
)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scaling guide", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    asked = parser.parse_args(arguments)
    if asked.json:
        print(json.dumps({"steps": [asdict(step) for step in STEPS], "rules": RULES}, indent=1))
    else:
        print(plain(text()))
    return 0


def text() -> str:
    """The guide as Markdown, without a title."""
    parts = []
    for number, step in enumerate(STEPS, 1):
        keys = f"Read {', '.join(f'`{key}`' for key in step.read)}. " if step.read else ""
        command = f"   ```bash\n   {step.command}\n   ```"
        parts.append(f"{number}. **{step.question}**\n\n{command}\n\n   {keys}{step.then}")
    return "\n\n".join(parts) + "\n\n" + "\n".join(f"- {rule}" for rule in RULES) + "\n"


def plain(markdown: str) -> str:
    """Markdown as a terminal shows it."""
    lines = [line for line in markdown.splitlines() if "```" not in line]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).replace("**", "").replace("`", "").rstrip()


def page() -> str:
    """The guide as a page of the documentation."""
    return f"# Guide: what to ask, and in what order\n\n{INTRODUCTION}\n\n{text()}"


def llms(root: Path) -> str:
    """The text of llms.txt: what this is, the guide, and every page with its title."""
    from tomllib import loads

    project = loads((root / "pyproject.toml").read_text())["project"]
    lines = []
    for path in sorted([root / "README.md", *root.glob("docs/*.md"), *root.glob("docs/reference/*.md")]):
        title = next(line[2:] for line in path.read_text().splitlines() if line.startswith("# "))
        lines.append(f"- [{title}]({path.relative_to(root).as_posix()})")
    return (
        f"# {project['name']}\n\n> {project['description']}\n\n"
        f"## What to ask, and in what order\n\n{text()}\n"
        "## Pages\n\n" + "\n".join(lines) + "\n"
    )
