"""`make demo`: from nothing to a report on real text, and where the time went."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from analysis.forecast.findings import fit_study
from analysis.report.content import known
from analysis.report.write import write_report
from analysis.table import load_runs
from experiments.cli import expected_errors
from experiments.run import run_study
from experiments.terminal import Column, duration, table
from scaling.study.compose import compose_jobs
from scaling.study.plan import open_corpus

SETUP = Path(".venv/.installed")  # make writes there how long it took


def main(arguments: list[str]) -> int:
    overrides = arguments or ["study=demo"]
    spent: dict[str, float] = {}
    if SETUP.is_file():
        spent["set-up"] = float(SETUP.read_text() or 0)
    begin = time.monotonic()
    config = compose_jobs(overrides)[0].config
    dataset = open_corpus(config.data, config.cache)
    spent["data"] = time.monotonic() - begin
    print(
        f"{config.question}\n{dataset.name}: {dataset.facts['tokens']['train']:,} tokens to train on, "
        f"{dataset.facts['tokens']['heldout']:,} held out, fingerprint {dataset.fingerprint}\n",
        flush=True,
    )
    outcome = run_study(overrides)
    spent |= {
        "planning": outcome.planning,
        "training": outcome.training,
        "evaluation": outcome.evaluation,
    }
    if outcome.code:
        return outcome.code
    begin = time.monotonic()
    findings = fit_study(load_runs(outcome.folder))
    spent["fit"] = time.monotonic() - begin
    begin = time.monotonic()
    files = write_report(outcome.folder, findings, outcome.folder / "report")
    spent["report"] = time.monotonic() - begin
    print("\n" + "\n\n".join(known(findings)) + "\n")
    spent["total"] = sum(spent.values())
    print(table([Column("", list(spent), left=True), Column("time", [duration(s) for s in spent.values()])]))
    print(f"\nreport: {files['index.html'].resolve()}")
    return 0


if __name__ == "__main__":
    sys.exit(expected_errors("demo", lambda: main(sys.argv[1:])))
