"""`python -m experiments.learning_rate [TABLE]`: the optimum of each cell of the sweep, and the rule."""

from __future__ import annotations

import sys
from pathlib import Path

from analysis.forecast.rates import best_rates, fit_rule
from analysis.table import load_runs
from experiments.cli import expected_errors
from experiments.terminal import Column, table

KEPT = Path(__file__).with_name("runs.csv")


def main(arguments: list[str]) -> int:
    cells = best_rates(load_runs(arguments[0] if arguments else KEPT))
    print(
        table(
            [
                Column("N", [f"{c.params:,}" for c in cells]),
                Column("D", [f"{c.tokens:,}" for c in cells]),
                Column("best rate", [f"{c.rate:.2e}" for c in cells]),
                Column("within 1 %", [f"{c.low:.1e} … {c.high:.1e}" for c in cells]),
                Column("loss", [f"{c.loss:.4f}" for c in cells]),
                Column("edge of the grid", ["YES" if c.edge else "no" for c in cells]),
            ]
        )
    )
    rate, exponent = fit_rule(cells)
    print(f"\nrule: {rate:.3g} (N / 1e5)^-{exponent:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(expected_errors("learning_rate", lambda: main(sys.argv[1:])))
