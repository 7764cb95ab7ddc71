"""`python -m experiments.truth.facts [TABLE]`: the floor that a sweep finds, and what it depends on.

TABLE is runs/truth after `scaling run study=truth`; by default the table that is kept beside this file.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from analysis.fitting.bootstrap.replicates import Bootstrap
from analysis.fitting.fit import Fit, fit_runs
from analysis.fitting.lack_of_fit import LackOfFit, lack_of_fit
from analysis.fitting.recipe import Recipe
from analysis.fitting.runs import FitError, Runs
from analysis.forecast.heldout import forecast_heldout
from analysis.report.style import INK, PALETTE, PLAIN, axes_or_new, legend_above, log_ticks, say, scale_axis
from analysis.sweeps.rates import best_rates
from analysis.table import load_runs
from experiments.cli import expected_errors
from experiments.terminal import Column, table
from scaling.data.truth.bayes import bayes_curve
from scaling.data.truth.zipf_facts import ZipfFacts

KEPT = Path(__file__).with_name("runs.csv")
SOURCE = ZipfFacts()  # the defaults, which conf/data/zipf_facts.yaml spells out
CUT = 16384  # facts: the burn-in, set by an earlier study and not by these runs
LAWS = ("chinchilla", "coupled")


@dataclass(frozen=True)
class Cut:
    """Fits without the budgets below a cut."""

    tokens: int
    runs: int
    fits: dict[str, Fit]
    errors: dict[str, float]  # rms error of the forecast of the quarter of largest compute, by law
    lack: LackOfFit

    @property
    def chosen(self) -> str:
        """The law that forecasts best."""
        return min(self.errors, key=lambda law: self.errors[law])

    def floor(self, law: str) -> tuple[float, float, float]:
        """E and its 95 % interval."""
        low, high = self.fits[law].interval(lambda law: law.parameters["E"])
        return self.fits[law].law.parameters["E"], low, high


def read(source: str | Path) -> pd.DataFrame:
    """Every run of a runs folder, or of the table that was made of one.

    The table is of our own records: runs at a bad rate stay in, which elsewhere look like other units.
    """
    return load_runs(source).rows if Path(source).is_dir() else pd.read_csv(source)


def best_of_rates(runs: pd.DataFrame) -> pd.DataFrame:
    """The run of lowest loss at each size and budget, with `edge`: its rate is at an end of the grid."""
    best = runs.loc[runs.groupby(["params", "tokens"])["loss"].idxmin()].reset_index(drop=True)
    edges = {(cell.params, cell.tokens): cell.edge for cell in best_rates(runs)}
    best["edge"] = [edges[n, d] for n, d in zip(best["params"], best["tokens"], strict=True)]
    return best


def fit_cuts(best: pd.DataFrame, resamples: int = 1000) -> list[Cut]:
    """Every cut that leaves three budgets. Runs of one size are one learning curve, and drawn together."""
    cuts = []
    for cut in sorted(best["tokens"].unique())[:-3]:
        kept = best[best["tokens"] >= cut]
        inputs = {"N": kept["params"], "D": kept["tokens"]}
        runs = Runs.of(inputs, kept["loss"], kept["params"], compute=kept["flops"])
        fits, errors = {}, {}
        for law in LAWS:
            fits[law] = fit_runs(runs, Recipe(law), Bootstrap(resamples=resamples))
            try:
                errors[law] = forecast_heldout(runs, Recipe(law), Bootstrap(resamples=1)).error
            except FitError:  # too few runs below the quarter that is held out
                errors[law] = float("nan")
        cuts.append(Cut(int(cut), len(kept), fits, errors, lack_of_fit(fits["chinchilla"], "coupled")))
    return cuts


def plot_stability(cuts: Sequence[Cut], *, ax: Axes | None = None) -> Axes:
    """E and its interval against the least budget that enters the fit, with the true floor."""
    ax = axes_or_new(ax)
    for law, ink, shift in (("chinchilla", PALETTE[1], 0.96), ("coupled", PLAIN, 1.04)):
        x = [cut.tokens * shift for cut in cuts]
        floors = [cut.floor(law) for cut in cuts]
        below = [e - low for e, low, _ in floors]
        above = [high - e for e, _, high in floors]
        ax.errorbar(x, [e for e, _, _ in floors], [below, above], fmt="o", color=ink, label=law, capsize=2)
    ax.axhline(SOURCE.floor, color=INK, linestyle="--", linewidth=1, label=f"truth {SOURCE.floor:.4f}")
    scale_axis(ax, cuts[0].tokens * 0.8, cuts[-1].tokens * 1.25, say)
    ax.set_xlabel("smallest D in the fit [facts]")
    ax.set_ylabel("E [nats/token], 95 %")
    legend_above(ax, columns=3)
    return ax


def plot_learning(best: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Excess over the true floor against facts seen, with that of the best learner there is."""
    ax = axes_or_new(ax)
    sizes = sorted(best["params"].unique())
    for i, size in enumerate(sizes):
        rows = best[best["params"] == size].sort_values("tokens")
        strength = 0.3 + 0.7 * i / max(len(sizes) - 1, 1)
        ax.plot(
            rows["tokens"],
            rows["loss"] - SOURCE.floor,
            "o-",
            color=PLAIN,
            alpha=strength,
            label=f"N {say(float(size))}",
        )
    budgets = sorted(int(d) for d in best["tokens"].unique())
    limit = [loss - SOURCE.floor for loss, _ in bayes_curve(SOURCE, budgets, draws=2)]
    ax.plot(budgets, limit, color=INK, linestyle="--", label="best learner")
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(FixedLocator(log_ticks(limit[-1], best["loss"].max() - SOURCE.floor, 8)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_locator(NullLocator())
    scale_axis(ax, budgets[0] * 0.8, budgets[-1] * 1.25, say)
    ax.set_xlabel("D [facts seen]")
    ax.set_ylabel("loss above the true floor [nats]")
    legend_above(ax, columns=3)
    return ax


def describe(best: pd.DataFrame, cuts: Sequence[Cut]) -> str:
    """What each cut says of E, and the answer at the cut that was set beforehand."""
    edges = int(best["edge"].sum())

    def cells(law: str) -> list[str]:
        return ["{:.4f} [{:.4f}, {:.4f}]".format(*cut.floor(law)) for cut in cuts]

    rows = table(
        [
            Column("D at least", [f"{cut.tokens:,}" for cut in cuts]),
            Column("runs", [str(cut.runs) for cut in cuts]),
            *(Column(f"E {law}", cells(law)) for law in LAWS),
            *(Column(f"forecast {law}", [f"{100 * cut.errors[law]:.2f} %" for cut in cuts]) for law in LAWS),
            Column("p of chinchilla", [f"{cut.lack.p:.3f}" for cut in cuts]),
        ]
    )
    said = [f"{len(best)} cells, best of rates; {edges} have it at an end of the grid", rows]
    at = next((cut for cut in cuts if cut.tokens >= CUT), None)
    if at is not None:
        estimate, low, high = at.floor(at.chosen)
        holds = "contains" if low <= SOURCE.floor <= high else "does not contain"
        said.append(
            f"D ≥ {at.tokens:,}, {at.chosen} (forecasts best): "
            f"E {estimate:.4f}, 95 % [{low:.4f}, {high:.4f}], "
            f"half-width {(high - low) / 2:.4f}: {holds} the true {SOURCE.floor:.6f}"
        )
    return "\n".join(said)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m experiments.truth.facts", description=__doc__)
    parser.add_argument("table", nargs="?", default=KEPT, help="default: the kept runs.csv")
    best = best_of_rates(read(parser.parse_args(arguments).table))
    print(describe(best, fit_cuts(best)))
    return 0


if __name__ == "__main__":
    sys.exit(expected_errors("truth", lambda: main(sys.argv[1:])))
