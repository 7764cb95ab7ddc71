"""`scaling compare TABLE --by KEY`: which recipe scales better, and whether its lead survives at scale."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from analysis.forecast.register import write_registered
from analysis.sweeps.compare import WAYS, Comparison, compare_arms
from analysis.table import RunTable
from analysis.table.arms import arms
from experiments.commands.source import add_table, add_wandb, describe_table, read_table
from experiments.terminal import wrapped


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scaling compare", description=__doc__)
    add_table(parser)
    parser.add_argument(
        "--baseline", metavar="VALUE", help="arm to compare with (default: that of the first run)"
    )
    parser.add_argument(
        "--at",
        type=float,
        nargs="+",
        default=[],
        metavar="COMPUTE",
        help="compute to project to [FLOP] (default: 10 × the largest)",
    )
    parser.add_argument("--per", choices=WAYS, default="compute", help="what the lead is measured in")
    parser.add_argument("--floor", type=float, metavar="E", help="pin E [nats/token]; by default it is free")
    parser.add_argument("--level", type=float, default=0.95, help="level of every interval (default 0.95)")
    parser.add_argument("--resamples", type=int, default=400, help="bootstrap replicates (default 400)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the bootstrap (default 0)")
    parser.add_argument(
        "--figure", type=Path, metavar="FILE", help="draw the speed-ups, as .png, .svg or .pdf"
    )
    parser.add_argument(
        "--register",
        type=Path,
        metavar="FILE",
        help="write the projections into a file that is never overwritten",
    )
    add_wandb(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    asked = parser.parse_args(arguments)
    table = read_table(asked)
    found = compare_arms(
        table,
        asked.by or _only_key(table),
        asked.baseline,
        at=asked.at,
        per=asked.per,
        floor=asked.floor,
        resamples=asked.resamples,
        seed=asked.seed,
        level=asked.level,
    )
    if asked.register:
        write_registered("comparison", {"comparison": found.to_dict()}, table, asked.register)
    if asked.figure:
        _draw(found, asked.figure)
    if asked.wandb:
        from experiments.wandb_fit import mirror_comparison

        mirror_comparison(asked.wandb, table, found)
    if asked.json:
        print(json.dumps({"source": table.source, **found.to_dict()}, indent=1, allow_nan=False))
    else:
        text = f"{describe_table(table)}\n\n{found.describe()}"
        print(wrapped(text) if sys.stdout.isatty() else text)
    return 0


def _only_key(table: RunTable) -> list[str]:
    """The one column that separates the runs.

    Raises:
        ValueError: where none does, or several do.
    """
    keys = arms(table.rows).keys
    if len(keys) != 1:
        what = (
            f"these distinguish the runs: {', '.join(keys)}" if keys else "no setting distinguishes the runs"
        )
        raise ValueError(f"--by: name the column that tells the recipes apart; {what}.")
    return list(keys)


def _draw(found: Comparison, path: Path) -> None:
    from matplotlib.figure import Figure

    from analysis.report.figures.speedup import plot_speedup
    from analysis.report.style import save, styled
    from scaling.records.storage import write_atomic

    kind = path.suffix.lstrip(".")
    if kind not in ("png", "svg", "pdf"):
        raise ValueError(f"--figure: a name that ends in .png, .svg or .pdf; got {path}.")
    with styled():
        figure = Figure(figsize=(5.6, 3.8), layout="constrained")
        plot_speedup(found, ax=figure.subplots())
        write_atomic(path, save(figure, [kind])[kind])


if __name__ == "__main__":
    from experiments.cli import run_verb

    sys.exit(run_verb("compare", sys.argv[1:]))
