"""Bias and coverage of rules for IsoFLOP minima: `python -m experiments.benchmarks.vertices`.

Each study has five budgets, and predicts N* at ten times the largest. Three laws (Chinchilla's exponents;
.465 and .155; two coupled terms with k = 2) and two places of the grids (on the optima; drifting off them by
up to 2×) share a line. Intervals of the other rules add noise to the losses and take the minima again: noise
of the size of the residuals for polynomials, of the true size for rules that leave no residual.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import Akima1DInterpolator

from analysis.fitting.runs import FitError
from analysis.forecast.isoflop import approach_2
from analysis.forecast.lines import power_lines
from analysis.forecast.slices import slice_runs
from analysis.laws.chinchilla import Chinchilla
from analysis.laws.coupled import Coupled
from analysis.laws.law import Array
from analysis.laws.surface import Surface

LAWS: tuple[Surface, ...] = (
    Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28),
    Chinchilla(E=1.69, A=406.4, B=410.7, alpha=0.465, beta=0.155),
    Coupled(E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28, k=2),
)
BUDGETS = np.geomspace(1e18, 1e21, 5)
ASKED = 10 * BUDGETS[-1]  # [FLOP]
DRIFTS = (1.0, 2.0)  # how far off the last grid is centred
NOISES = (0.002, 0.01)
STUDIES, RESAMPLES = 12, 200

Rule = Callable[[Array, Array], Array]  # log N (n,), log losses (R, n) → minima (R,)


@dataclass(frozen=True)
class Tally:
    """Errors of log N* and whether the intervals of studies held the truth."""

    errors: list[float]
    held: list[bool]


def polynomial(degree: int) -> Rule:
    """The minimum of a polynomial of degree 2 or 3 through all sizes."""

    def minima(x: Array, losses: Array) -> Array:
        centre, scale = float(x.mean()), float(np.ptp(x)) / 2
        terms = np.vander((x - centre) / scale, degree + 1, increasing=True)
        _, slope, bend, *third = np.linalg.pinv(terms) @ losses.T
        cubic = third[0] if third else np.zeros_like(bend)
        with np.errstate(invalid="ignore", divide="ignore"):
            root = -slope / (bend + np.sqrt(bend**2 - 3 * cubic * slope))
            return np.where((bend > 0) | (cubic != 0), centre + scale * root, np.nan)

    return minima


def nearest_five(x: Array, losses: Array) -> Array:
    """The minimum of a parabola through the five sizes about the best."""
    first = np.clip(losses.argmin(axis=1) - 2, 0, len(x) - 5)
    found = np.full(len(losses), np.nan)
    for start in np.unique(first):
        rows, near = first == start, slice(start, start + 5)
        found[rows] = polynomial(2)(x[near], losses[rows, near])
    return found


def akima(x: Array, losses: Array) -> Array:
    """The least value of an Akima spline, as Porian et al. 2024 (arXiv:2406.19146) take it."""
    fine = np.linspace(x[0], x[-1], 25 * (len(x) - 1))
    best = Akima1DInterpolator(x, losses.T)(fine).argmin(axis=0)
    return np.where((best > 0) & (best < len(fine) - 1), fine[best], np.nan)


RULES: dict[str, tuple[Rule, int | None]] = {  # and how many coefficients a budget its residual lacks
    "parabola": (polynomial(2), 3),
    "cubic": (polynomial(3), 4),
    "parabola, nearest five": (nearest_five, None),
    "Akima": (akima, None),
}


def grid(law: Surface, sizes: int, reach: float, drift: float) -> Array:
    """log N (5, sizes) of a study."""
    off = drift ** np.linspace(0, 1, len(BUDGETS))
    centres = np.array([law.optimum(C).N for C in BUDGETS]) * off
    return np.asarray(np.log(centres)[:, None] + np.linspace(-1, 1, sizes) * np.log(reach))


def advised(minima: Array) -> Array:
    """log N* at `ASKED` of minima (R, 5)."""
    line = power_lines(np.log(BUDGETS / ASKED), minima, minima, np.ones(len(BUDGETS)))
    return np.asarray(line[:, 1])


def judge(rule: str, x: Array, losses: Array, truth: float, noise: float, seed: int, tally: Tally) -> None:
    """Follow a rule on one study: log sizes x and log losses, (5, n) each."""
    rng = np.random.default_rng([seed, 1])
    if rule == "one shape":
        N, C = np.exp(x).ravel(), np.repeat(BUDGETS, x.shape[1])
        try:
            found = approach_2(slice_runs(N, C / 6 / N, np.exp(losses).ravel()), resamples=RESAMPLES)
            low, high = found.interval("N", ASKED)
        except FitError:
            return
        tally.errors.append(float(np.log(found.optimum(ASKED)[0]) - truth))
        tally.held.append(bool(np.log(low) <= truth <= np.log(high)))
        return
    minima, lacking = RULES[rule]
    n = x.shape[1]
    if lacking is not None:
        fitted = [
            np.polyval(np.polyfit(a - a.mean(), b, lacking - 1), a - a.mean())
            for a, b in zip(x, losses, strict=True)
        ]
        noise = float(np.sqrt(((losses - fitted) ** 2).sum() / (len(x) * max(n - lacking, 1))))
    drawn = losses + noise * rng.standard_normal((RESAMPLES, *losses.shape))
    both = np.concatenate([losses[None], drawn])
    sizes = advised(np.stack([minima(a, both[:, i]) for i, a in enumerate(x)], axis=1))
    if np.isfinite(sizes[0]):
        low, high = np.nanquantile(sizes[1:], [0.025, 0.975])
        tally.errors.append(float(sizes[0] - truth))
        tally.held.append(bool(low <= truth <= high))


def studies(sizes: int, reach: float) -> Iterator[tuple[Array, Array, float]]:
    """Grid, exact log losses and true log N* of every law and place."""
    for law in LAWS:
        for drift in DRIFTS:
            if drift < reach:
                x = grid(law, sizes, reach, drift)
                D = BUDGETS[:, None] / 6 / np.exp(x)
                yield x, np.log(law(N=np.exp(x), D=D)), float(np.log(law.optimum(ASKED).N))


def main() -> None:
    """Print a line for each rule, number of sizes and reach."""
    print(f"{'':<34}{'exact':>9}" + "".join(f"{f'noise {100 * n:g} %':>22}" for n in NOISES))
    print(f"{'rule':<24}{'sizes':>6}{'±':>4}{'worst':>9}" + f"{'error':>11}{'95 % holds':>11}" * len(NOISES))
    for sizes in (5, 9):
        for reach in (2.0, 4.0, 16.0):
            for rule in (*RULES, "one shape"):
                cells = []
                for noise in (0.0, *NOISES):
                    tally = Tally([], [])
                    for number, (x, exact, truth) in enumerate(studies(sizes, reach)):
                        for seed in range(STUDIES if noise else 1):
                            rng = np.random.default_rng([number, seed, sizes, int(reach)])
                            losses = exact + noise * rng.standard_normal(exact.shape)
                            judge(rule, x, losses, truth, noise, seed, tally)
                    if noise:
                        typical = np.expm1(1.4826 * np.median(np.abs(tally.errors)))
                        cells.append(f"{100 * typical:>9.1f} %{100 * np.mean(tally.held):>9.0f} %")
                    else:
                        cells.append(f"{100 * np.expm1(np.max(np.abs(tally.errors))):>7.1f} %")
                print(f"{rule:<24}{sizes:>6}{reach:>4g}" + "".join(cells), flush=True)


if __name__ == "__main__":
    main()
