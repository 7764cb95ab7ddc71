"""`scaling report TABLE`: one self-contained HTML file, and every figure and table on its own."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

from analysis.report.content import known
from analysis.report.write import write_report
from experiments.commands.fit import to_dict
from experiments.commands.source import add_fit, add_table, add_wandb, describe_table, read
from experiments.terminal import duration, plural
from experiments.wandb_fit import mirror_fit, waiting
from scaling.records.storage import refuse_link


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scaling report", description=__doc__)
    add_table(parser)
    add_fit(parser)
    parser.add_argument(
        "--question", metavar="TEXT", help="what the page opens with (default: the study's own question)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    add_wandb(parser)
    parser.add_argument("--out", type=Path, help="folder to write (default: SOURCE/report, or ./report)")
    asked = parser.parse_args(arguments)
    begin = time.monotonic()
    runs, findings = read(asked)
    runs = replace(runs, question=asked.question) if asked.question else runs
    fitted = time.monotonic()
    folder = Path(asked.source)
    out = asked.out or (folder if folder.is_dir() else Path()) / "report"
    if (
        asked.out is None
    ):  # a link that somebody names is meant; one that lies there may have come with the runs
        refuse_link(out)
    refuse_link(out / "figures")
    files = write_report(runs, findings, out)
    if asked.wandb:
        mirror_fit(asked.wandb, runs, findings, files)
    if asked.json:
        written = {name: str(path) for name, path in files.items()}
        print(
            json.dumps(
                {**to_dict(runs, findings, with_sensitivity=True), "files": written},
                indent=1,
                allow_nan=False,
            )
        )
        return 0
    print(describe_table(runs, (part.table for part in findings.values())))
    print("\n".join(known(findings)))
    print(f"fit {duration(fitted - begin)}, report {duration(time.monotonic() - fitted)}")
    print(f"{plural(len(files), 'file')}; open {files['index.html']}")
    print("".join(f"{line}\n" for line in waiting(runs) if asked.wandb), end="")
    return 0


if __name__ == "__main__":
    from experiments.cli import run_verb

    sys.exit(run_verb("report", sys.argv[1:]))
