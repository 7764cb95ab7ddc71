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
from experiments.commands.run import exit_code, run_plan
from experiments.terminal import Column, duration, table
from scaling.data.corpora import open_dataset
from scaling.study.plan import plan_study

SETUP = Path(".venv/.installed")  # make writes there how long it took


def main(arguments: list[str]) -> int:
    overrides = arguments or ["study=demo"]
    spent: dict[str, float] = {}
    if SETUP.is_file():
        spent["set-up"] = float(SETUP.read_text() or 0)
    begin = time.monotonic()
    plan = plan_study(overrides)
    dataset = open_dataset(plan.config.data.options(), plan.config.cache)
    spent["data"] = time.monotonic() - begin
    print(
        f"{plan.question}\n{dataset.name}: {dataset.facts['tokens']['train']:,} tokens to train on, "
        f"{dataset.facts['tokens']['heldout']:,} held out, fingerprint {dataset.fingerprint}\n",
        flush=True,
    )
    result = run_plan(plan)
    spent |= {"planning": result.planning, "training": result.training, "evaluation": result.evaluation}
    if exit_code(result):
        return exit_code(result)
    begin = time.monotonic()
    findings = fit_study(load_runs(result.folder))
    spent["fit"] = time.monotonic() - begin
    begin = time.monotonic()
    files = write_report(result.folder, findings, result.folder / "report")
    spent["report"] = time.monotonic() - begin
    print("\n" + "\n\n".join(known(findings)) + "\n")
    spent["total"] = sum(spent.values())
    print(table([Column("", list(spent), left=True), Column("time", [duration(s) for s in spent.values()])]))
    print(f"\nreport: {files['index.html'].resolve()}")
    return 0


if __name__ == "__main__":
    sys.exit(expected_errors("demo", lambda: main(sys.argv[1:])))
