"""How forecasts hold: `python -m experiments.benchmarks.forecasts FOLDER`, a folder of public data.

Every row fits the smaller runs of a table by the automatic choice (`fit_basis`), and compares the forecasts
of the larger ones with what was measured. Rows whose data FOLDER does not hold are left out.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before NumPy is loaded

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

from experiments.benchmarks.forecast_curves import curve_rows
from experiments.benchmarks.forecast_ladder import ladder_rows
from experiments.benchmarks.forecast_simulated import simulated_rows
from experiments.benchmarks.forecast_tables import chinchilla_rows, farseer_rows, isoflop_rows, table_rows
from experiments.benchmarks.row import Row, show

ROWS: dict[str, Callable[[Path, int], Iterator[Row]]] = {
    "isoflops": isoflop_rows,
    "chinchilla": chinchilla_rows,
    "farseer": farseer_rows,
    "tables": table_rows,
    "curves": curve_rows,
    "ladder": ladder_rows,
    "simulated": simulated_rows,
}


def main(arguments: list[str] | None = None) -> int:
    """Print the table; 1 when a target was missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="public data, as `scaling verify` reads it")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), metavar="NAME")
    parser.add_argument("--simulations", type=int, default=100, help="of each simulated truth")
    asked = parser.parse_args(arguments)
    rows = (row for name in asked.rows for row in ROWS[name](asked.folder, asked.simulations))
    return int(show(rows, reference="to reach") > 0)


if __name__ == "__main__":
    raise SystemExit(main())
