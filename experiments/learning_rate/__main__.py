"""`python -m experiments.learning_rate [TABLE] [--save NAME]`: each cell's optimum, and the rule."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from analysis.sweeps.rates import best_rates, fit_rule
from analysis.table import load_runs
from experiments.cli import expected_errors
from experiments.terminal import Column, table
from scaling.records.storage import slug, write_atomic
from scaling.study.sources import config_folder

KEPT = Path(__file__).with_name("runs.csv")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m experiments.learning_rate", description=__doc__)
    parser.add_argument("table", nargs="?", default=KEPT, help="runs of a sweep (default: the kept ones)")
    parser.add_argument("--save", metavar="NAME", help="write the rules to conf/rates/NAME.yaml: rates=NAME")
    asked = parser.parse_args(arguments)
    cells = best_rates(load_runs(asked.table).rows)
    print(
        table(
            [
                Column("family", [c.family for c in cells], left=True),
                Column("N", [f"{c.params:,}" for c in cells]),
                Column("D", [f"{c.tokens:,}" for c in cells]),
                Column("best rate", [f"{c.rate:.2e}" for c in cells]),
                Column("within 1 %", [f"{c.low:.1e} … {c.high:.1e}" for c in cells]),
                Column("loss", [f"{c.loss:.4f}" for c in cells]),
                Column("edge of the grid", ["YES" if c.edge else "no" for c in cells]),
            ]
        )
    )
    print()
    lines = ["# Fitted to a sweep by `python -m experiments.learning_rate`."]
    for family in dict.fromkeys(c.family for c in cells):
        try:
            rule = fit_rule([c for c in cells if c.family == family])
        except ValueError as error:
            print(f"{family}: no rule: {error}")
            continue
        print(f"{family}: {rule}")
        lines.append(f"{family}: {{rate: {rule.rate:.3g}, params_exponent: {rule.exponent:.3f}}}")
    if asked.save:
        target = config_folder() / "rates" / f"{slug(asked.save)}.yaml"
        write_atomic(target, ("\n".join(lines) + "\n").encode())
        print(f"\nsaved: a study uses them with rates={target.stem}")
    return 0


if __name__ == "__main__":
    sys.exit(expected_errors("learning_rate", lambda: main(sys.argv[1:])))
