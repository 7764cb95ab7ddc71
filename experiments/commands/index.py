"""`scaling index runs`: one page about all studies in a folder, from records, reports and forecasts."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from analysis.report.index import study_lines, write_index
from experiments.terminal import wrapped
from scaling.records.storage import refuse_link, write_atomic


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scaling index", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of studies, e.g. runs")
    parser.add_argument("--json", action="store_true", help="one JSON object; writes nothing")
    asked = parser.parse_args(arguments)
    if not asked.folder.is_dir():
        raise ValueError(
            f"{asked.folder}: no such folder; name the folder that holds your studies, e.g. runs."
        )
    lines = study_lines(asked.folder)
    if asked.json:
        print(json.dumps({"studies": [line.to_dict() for line in lines]}, indent=1, allow_nan=False))
        return 0
    page = asked.folder / "index.html"
    refuse_link(page)
    write_atomic(page, write_index(lines, asked.folder.resolve()).encode())
    for line in lines:
        print(wrapped(f"{line.name}: {line.answer or line.note or line.question}"))
    count = "1 study" if len(lines) == 1 else f"{len(lines)} studies"
    print(f"{count}; open {page}")
    return 0


if __name__ == "__main__":
    from experiments.cli import run_verb

    sys.exit(run_verb("index", sys.argv[1:]))
