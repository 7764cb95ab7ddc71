"""`scaling verify`: published numbers recomputed on this machine: reference, ours, difference."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.fitting.fit import fit_runs
from analysis.fitting.fit_columns import fit_loss_surface
from analysis.fitting.recipe import Recipe
from analysis.fitting.runs import Runs
from analysis.forecast.grids import noise_free_bias
from analysis.forecast.isoflop import approach_1
from analysis.forecast.links import Exponential, fit_link
from analysis.forecast.rolling import ALONE
from analysis.forecast.slices import Slices
from analysis.laws.chinchilla import Chinchilla
from analysis.laws.repeated import Repeated
from experiments.public_data import CHINCHILLA as CHINCHILLA_POINTS
from experiments.public_data import FRONTIER, GADRE, chinchilla_points, gadre_models, public_data
from experiments.terminal import Column, table

CHINCHILLA = Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)  # Hoffmann et al. 2022, appendix D
ASYMMETRIC = Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.465, beta=0.155)  # Czech et al. 2026
EXACT = Chinchilla(  # Hoffmann's coefficients to the precision of their TeX source, found by Besiroglu et al.
    E=float(np.exp(0.5267228)),
    A=float(np.exp(6.0073404)),
    B=float(np.exp(6.0179186)),
    alpha=0.33917084,
    beta=0.2849083,
)
DRAWS = 0.05  # standard errors of two sets of 4,000 draws differ by 1.6 %, and theirs had replicates stuck


@dataclass(frozen=True)
class Check:
    """One published number and ours. `within` is half a unit of the last digit printed, or said beside it."""

    what: str
    source: str
    reference: float
    ours: float | None
    within: float
    skipped: str = ""

    @property
    def difference(self) -> float | None:
        return None if self.ours is None else self.ours - self.reference

    @property
    def passed(self) -> bool | None:
        """None where it could not be run."""
        return None if self.difference is None else abs(self.difference) <= self.within


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scaling verify", description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of public data (default: $SCALING_PUBLIC_DATA)")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    asked = parser.parse_args(arguments)
    begin = time.process_time()
    checks = list(verify(asked.data or public_data()))
    seconds = time.process_time() - begin
    failed = [check for check in checks if check.passed is False]
    if asked.json:
        rows = [asdict(c) | {"difference": c.difference, "passed": c.passed} for c in checks]
        print(
            json.dumps({"seconds": seconds, "failed": len(failed), "checks": rows}, indent=1, allow_nan=False)
        )
    else:
        print(describe(checks, seconds))
    return 1 if failed else 0


def verify(data: Path | None) -> Iterator[Check]:
    """Every check; those whose public data is absent are skipped with the reason."""
    yield from closed_forms()
    yield from parabola_bias()
    yield from total_or_not()
    files = [
        (
            least_objective,
            CHINCHILLA_POINTS,
            0,
            "objective and coefficients, 240 points",
        ),
        (over_training, GADRE, 0, "errors of forecasts, 104 models"),
        (frontier, FRONTIER, 0, "losses at 1e21 and 1e23 FLOP from six points"),
    ]
    for checks, name, reference, what in files:
        file = None if data is None else data / name
        if data is not None and file is not None and file.is_file():
            yield from checks(data)
        else:
            where = "SCALING_PUBLIC_DATA is not set" if file is None else f"{file} is absent"
            yield Check(what, SOURCES[checks], reference, None, 0, f"{where}; needs {name}")


def closed_forms() -> Iterator[Check]:
    """Laws evaluated at published points."""
    repeated = Repeated(
        E=float(np.exp(0.6254804)),
        A=float(np.exp(6.255414)),
        B=float(np.exp(7.3049974)),
        alpha=0.3526596,
        beta=0.3526596,
        rd=15.387756,
        rn=5.309743,
    )
    source = "Muennighoff 2023, 2305.16264"
    for N, D, loss in ((6.34e9, 242e9, 2.2256440889984477), (8.67e9, 178e9, 2.2269634075087867)):
        ours = float(repeated(N=N, D=D, U=25e9))
        yield Check(
            f"loss, {N / 1e9:g}B params, {D / 1e9:g}B of 25B tokens", source, loss, ours, 4e-16 * loss
        )
    best = CHINCHILLA.optimum(5.88e23)
    numeric = _searched_optimum(CHINCHILLA, 5.88e23)
    yield Check("N* in closed form / by search", "Hoffmann 2022, eq. 4", 1.0, best.N / numeric, 1e-6)
    yield Check("a = beta/(alpha+beta)", "Hoffmann 2022, 2203.15556", 0.46, EXACT.growth, 0.005)


def parabola_bias() -> Iterator[Check]:
    """Approach 2 on exact losses."""
    source = "Czech 2026, 2603.22339"
    for law, name, percents in (
        (CHINCHILLA, "Chinchilla", (-0.33, -1.30, -2.90, -5.10)),
        (ASYMMETRIC, "asymmetric", (-1.67, -6.50, -13.91, -23.12)),
    ):
        for reach, percent in zip((2, 4, 8, 16), percents, strict=True):
            ours = 100 * noise_free_bias(law, reach=reach)
            yield Check(f"bias of D*(1e24), %, ±{reach}×, {name}", source, percent, ours, 0.005)
    for law, name, off, drifting in (
        (CHINCHILLA, "Chinchilla", 3.38, 6.94),
        (ASYMMETRIC, "asymmetric", 6.96, 22.97),
    ):
        ours = 100 * noise_free_bias(law, reach=8, offset=3)
        yield Check(f"  ±8×, centres 3× off, {name}", source, off, ours, 0.005)
        ours = 100 * noise_free_bias(law, reach=8, drift=3)
        yield Check(f"  ±8×, centres drifting 3×, {name}", source, drifting, ours, 0.005)


def total_or_not() -> Iterator[Check]:
    """Exponent that non-embedding parameters and compute show on a surface in total parameters."""
    source = "Pearce & Song 2024, 2406.12907"
    besiroglu = Chinchilla(E=1.8172, A=482.01, B=2085.43, alpha=0.3478, beta=0.3658)
    hoffmann = Chinchilla(E=1.6934, A=406.4, B=410.7, alpha=0.3392, beta=0.2849)
    N = np.geomspace(10**2.9, 10**9.2, 20)
    tokens = np.geomspace(1e6, 1e25, 1000)
    budgets = np.geomspace(10**12.95, 10**20.7, 100)
    place = np.abs(6 * N[None, :, None] * tokens - budgets[:, None, None]).argmin(axis=2)
    D = tokens[place]
    for law, name, published in ((besiroglu, "Besiroglu", 0.78), (hoffmann, "Hoffmann", 0.74)):
        loss = np.asarray(law(N=N + 47491 * N ** (1 / 3), D=D))
        slices = Slices(
            compute=budgets,
            budget=np.repeat(np.arange(len(budgets)), len(N)),
            N=np.tile(N, len(budgets)),
            D=D.ravel(),
            loss=loss.ravel(),
            group=np.tile(np.arange(len(N)), len(budgets)),
            flops=(6 * N * D).ravel(),
            interpolated=False,
        )
        ours = approach_1(slices, edges=True, resamples=0).a
        yield Check(f"a, non-embedding N, {name}", source, published, ours, 0.005)


def least_objective(data: Path) -> Iterator[Check]:
    """The exact Huber minimum on 240 points, and the objective at Hoffmann's coefficients."""
    N, D, loss = chinchilla_points(data)
    source = SOURCES[least_objective]
    fit = fit_loss_surface(N, D, loss, resamples=0)
    best = 0.0010182740178006
    yield Check("least Huber objective, 240 points", source, best, fit.objective, 1e-12 * best)
    exact = {"E": 1.817218, "A": 477.8259, "B": 2143.4174, "alpha": 0.347310, "beta": 0.367172}
    for name, value in exact.items():
        yield Check(f"{name} there", source, value, fit.law.parameters[name], 2e-6 * value)
    drawn = fit_loss_surface(N, D, loss, bootstrap="pairs", resamples=4000)
    for name, value in (("E", 0.02566), ("alpha", 0.0154), ("beta", 0.0206)):
        spread = float(np.std([law.parameters[name] for law in drawn.draws]))
        yield Check(f"standard error of {name}, 4,000 draws", source, value, spread, DRAWS * value)
    for law, name, value in ((CHINCHILLA, "rounded", 4.121e-3), (EXACT, "unrounded", 1.231e-3)):
        cost = float(fit.recipe.robust.cost(np.log(law(N=N, D=D)) - np.log(loss)).sum())
        yield Check(f"objective at Hoffmann's, {name}", source, value, cost, 5e-7)


def over_training(data: Path) -> Iterator[Check]:
    """Forecast of the two largest models from five small ones, and of their errors from six."""
    source = SOURCES[over_training]
    models = gadre_models(data)
    size = models["model_name"]
    small = models[~size.str.startswith("open_lm") & (models["cc_mult"] == 1)]
    five = pd.concat([small, models[(size == "d=96_l=8_h=4") & (models["cc_mult"] == 16)]])
    six = pd.concat([five, models[(size == "open_lm_1b") & (models["cc_mult"] == 1)]])
    surface = fit_loss_surface(
        five["N"], five["D"], five["loss_c4_val"], tied=True, robust="squared", space="raw", resamples=0
    ).law
    link = fit_link(six["loss_c4_val"], 1 - six["err_avg_subset"], kind="exponential", resamples=0).link
    assert isinstance(link, Exponential)
    for name, value in (("k", 2.206), ("gamma", 0.715), ("eps", 0.857)):
        yield Check(f"{name} of error = eps - k exp(-gamma L)", source, value, getattr(link, name), 5e-4)
    for model, name, multiple, loss_error, task_error in (
        ("open_lm_1b", "1.4B", 32, 0.7103, 3.6365),
        ("open_lm_7b", "6.9B", 1, 0.7320, 0.0464),
    ):
        run = models[(size == model) & (models["cc_mult"] == multiple)].iloc[0]
        loss = float(surface(N=run["N"], D=run["D"]))
        off = 100 * abs(loss / float(run["loss_c4_val"]) - 1)
        yield Check(f"error of loss, %, {name}", source, loss_error, off, 5e-5)
        off = 100 * abs((1 - float(link(loss))) / float(run["err_avg_subset"]) - 1)
        yield Check(f"error of 17-task error, %, {name}", source, task_error, off, 5e-5)


def frontier(data: Path) -> Iterator[Check]:
    """Outcomes of two runs at 3 and 333 times the compute of a frontier of six points, floor free."""
    table = pd.read_csv(data / FRONTIER)
    law = fit_runs(Runs.of({"C": table["flops"]}, table["loss"]), Recipe("frontier"), ALONE).law
    for C, loss, within in ((1e21, 2.599, 0.002), (1e23, 2.234, 0.01)):
        ours = float(law(C=C))
        yield Check(f"loss at {C:.0e} FLOP from six points to 3e20", SOURCES[frontier], loss, ours, within)


SOURCES: dict[Callable[[Path], Iterator[Check]], str] = {
    least_objective: "Besiroglu 2024, 2404.10102",
    over_training: "Gadre 2024, 2403.08540",
    frontier: "marin issue 4447",
}


def describe(checks: list[Check], seconds: float) -> str:
    """One line a check, and the count."""
    shown = [c for c in checks if not c.skipped]
    columns = [
        Column("what", [c.what for c in shown], left=True),
        Column("reference", [f"{c.reference:.7g}" for c in shown]),
        Column("ours", [f"{c.ours:.7g}" for c in shown]),
        Column("difference", [f"{c.difference:+.1e}" for c in shown]),
        Column("", ["ok" if c.passed else "NO" for c in shown]),
        Column("source", [c.source for c in shown], rank=1, left=True),
    ]
    lines = [table(columns)]
    lines += [f"skipped: {c.what} ({c.source}): {c.skipped}" for c in checks if c.skipped]
    agree = sum(c.passed is True for c in checks)
    lines.append(f"{agree} of {len(shown)} agree, {len(checks) - len(shown)} skipped; {seconds:.1f} s of CPU")
    return "\n".join(lines)


def _searched_optimum(law: Chinchilla, C: float) -> float:
    """N of lowest loss on ever finer grids: no calculus, so it can disagree with the closed form."""
    low, high = 1e6, 1e15
    for _ in range(30):
        N = np.geomspace(low, high, 41)
        best = int(np.argmin(law(N=N, D=C / (6 * N))))
        low, high = N[max(best - 1, 0)], N[min(best + 1, 40)]
        if high / low < 1 + 1e-7:
            break
    return float(np.sqrt(low * high))


if __name__ == "__main__":
    from experiments.cli import run_verb

    sys.exit(run_verb("verify", sys.argv[1:]))
