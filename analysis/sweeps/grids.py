"""Recipes on full grids of N and D: one floor, laws of their own, and the speed-up along compute."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.fitting.bootstrap.draws import small_sample
from analysis.fitting.bootstrap.quantiles import KNOWN
from analysis.fitting.bootstrap.variance import Scatter
from analysis.fitting.runs import FitError
from analysis.laws.law import FLOPS_PER_PARAM_TOKEN, Array
from analysis.laws.surface import Surface
from analysis.sweeps.families import EqualityTest, equality_test
from analysis.sweeps.joint import ArmRuns, JointSurface
from analysis.sweeps.lead import Lead
from analysis.sweeps.throughput import trunk_throughput

ARM = "arm"
POINTS = 12  # distinct N and D over all arms, below which no joint surface is fitted
AXIS = 3  # distinct sizes, and budgets, that each arm needs
RAY = 0.99  # correlation of log N and log D from which they are one axis
UNEVEN = 0.05  # rms of log FLOPs per token about a power of N that is worth a word


@dataclass(frozen=True)
class GridLeads:
    """What a joint fit of all arms says."""

    leads: tuple[Lead, ...]
    laws: dict[str, Surface]
    shared_floor: EqualityTest
    equal_exponents: EqualityTest
    rms: float  # of log residuals
    notes: tuple[str, ...]


def is_grid(arms: Mapping[str, pd.DataFrame]) -> bool:
    """Whether N and D of every arm vary apart from each other, enough for a surface."""
    for rows in arms.values():
        if not {"params", "tokens"} <= set(rows):
            return False
        N, D = np.log(rows["params"].to_numpy(float)), np.log(rows["tokens"].to_numpy(float))
        points = len(set(zip(N, D, strict=True)))
        if min(len(set(N)), len(set(D))) < AXIS or points < POINTS / 2:
            return False
        if abs(np.corrcoef(N, D)[0, 1]) > RAY:
            return False
    return sum(len(rows[["params", "tokens"]].drop_duplicates()) for rows in arms.values()) >= POINTS


def compare_grids(
    arms: Mapping[str, pd.DataFrame],
    *,
    per: str = "compute",
    floor: float | None = None,
    resamples: int = 400,
    tests: int = 200,
    seed: int = 0,
    level: float = 0.95,
) -> GridLeads:
    """Compare the first arm with each other by one fit of all: E and k shared, all else their own.

    With cost C = c N^p D of an arm, the lowest loss of a compute is E + K C^-gamma, gamma = alpha beta /
    (alpha + p beta), so ln s = [ln K_baseline - ln K_arm + (gamma_arm - gamma_baseline) ln C] /
    gamma_baseline: a line along log C, exact where the laws are. Draws weigh whole trunks; those of different
    arms at one size and seed share their weight, and what they have in common cancels.

    Args:
        tests: data sets made for each test of what is shared; 0 for no test.

    Raises:
        FitError: for runs that do not determine the joint surface.

    Source: sharing E and testing the exponents: Gundlach et al. 2025 (arXiv:2511.21622); common weights: read
    in the PyPI package simple-scaling-laws.
    """
    table = pd.concat([rows.assign(**{ARM: name}) for name, rows in arms.items()], ignore_index=True)
    if "flops" not in table or table["flops"].isna().any():
        table["flops"] = FLOPS_PER_PARAM_TOKEN * table["params"] * table["tokens"]
    table["trunk_id"] = [f"{a}/{t}" for a, t in zip(table[ARM], _trunks(table), strict=True)]
    names = list(arms)
    runs = ArmRuns.of(table, ARM, names[0])
    held = None if floor is None else math.log(floor) if floor > 0 else -50.0
    full = JointSurface(runs, ("E",), coupled=True, log_floor=held)
    rng = np.random.default_rng(seed)
    theta, squares = full.fit(runs.loss)
    wide, equal = (JointSurface(runs, shared, True) for shared in ((), ("E", "alpha", "beta")))
    one = JointSurface(runs, ("E",), coupled=True)
    floors = equality_test("one floor", runs, one, wide, tests, rng)
    exponents = equality_test("equal exponents", runs, equal, one, tests, rng)
    weights = runs.draw(rng, resamples)
    drawn, _ = full.fit_many(np.log(runs.loss)[None], weights, theta)
    costs = [_cost(table[table[ARM] == name]) for name in names]
    notes = tuple(
        f"FLOPs per token of {name} depart from a power of N by {100 * off:.2g} % (rms): the speed-up is "
        "approximate by as much"
        for name, (_, _, off) in zip(names, costs, strict=True)
        if off > UNEVEN
    )
    laws, many = full.laws(theta), [full.laws(each) for each in drawn]
    spent = [(float(own.min()), float(own.max())) for own in (table["flops"][table[ARM] == n] for n in names)]
    leads = []
    for i in range(1, len(names)):
        pair = (names[0], names[i])
        top = min(spent[0][1], spent[i][1])
        line = _line(laws, pair, (costs[0], costs[i]), top)
        lines = np.array([_line_or_nan(each, pair, (costs[0], costs[i]), top) for each in many])
        known = np.isfinite(lines).all(axis=1)
        if known.mean() < KNOWN:
            raise FitError(
                f"{pair[1]} over {pair[0]}: {int((~known).sum())} of {len(known)} draws have no frontier, so "
                "these runs do not bound the speed-up. Add sizes or budgets."
            )
        lines = lines[known]
        trunks = min(len(np.unique(runs.trunk[runs.family == names.index(name)])) for name in pair)
        factor = small_sample(trunks, Scatter.of_runs(len(runs.loss), len(theta)), 1.0)
        lines = line + factor * (lines - line)
        if per == "time":
            extra, noise = _faster(table, pair, math.log(top), len(lines), rng)
            line, lines = line + extra, lines + extra + noise
        leads.append(
            Lead(
                names[i],
                names[0],
                math.log10(top),
                max(spent[0][0], spent[i][0]),
                line,
                lines,
                np.array([each[names[0]].E for each in many])[known],
                level,
                trunks,
            )
        )
    rms = math.sqrt(squares / len(runs.loss))
    return GridLeads(tuple(leads), laws, floors, exponents, rms, notes)


def frontier_of(law: Surface, c: float, p: float, at: float) -> tuple[float, float]:
    """(ln K, gamma) of the least reducible loss K C^-gamma, where a token costs c N^p FLOP.

    With u = N^p the cost is c u D and the law one of exponent alpha / p in u, whose optimum at c u D = C is
    that of 6 u D = 6 C / c.

    Args:
        at: a compute [FLOP] at which K is read, so that no number leaves the range of floats.
    """
    moved = type(law)(**{**law.parameters, "E": 0.0, "alpha": law.alpha / p})
    gamma = moved.alpha * moved.beta / (moved.alpha + moved.beta)
    reducible = moved.optimum(FLOPS_PER_PARAM_TOKEN * at / c).loss
    return math.log(reducible) + gamma * math.log(at), gamma


def _line(
    laws: Mapping[str, Surface],
    pair: tuple[str, str],
    costs: tuple[tuple[float, float, float], ...],
    top: float,
) -> Array:
    """(ln s at the compute `top`, its change per decade)."""
    (K0, gamma0), (K1, gamma1) = (
        frontier_of(laws[name], c, p, top) for name, (c, p, _) in zip(pair, costs, strict=True)
    )
    slope = (gamma1 - gamma0) / gamma0
    return np.array([(K0 - K1) / gamma0 + slope * math.log(top), slope * math.log(10)])


def _line_or_nan(
    laws: Mapping[str, Surface],
    pair: tuple[str, str],
    costs: tuple[tuple[float, float, float], ...],
    top: float,
) -> Array:
    """The same, NaN for a draw whose optimum lies at a limit."""
    try:
        return _line(laws, pair, costs, top)
    except ValueError:
        return np.full(2, np.nan)


def _cost(rows: pd.DataFrame) -> tuple[float, float, float]:
    """(c, p, rms) of FLOPs per token = c N^p, by least squares of logs."""
    x = np.log(rows["params"].to_numpy(float))
    y = np.log((rows["flops"] / rows["tokens"]).to_numpy(float))
    p, log_c = np.polyfit(x, y, 1)
    return math.exp(log_c), float(p), float(np.sqrt(np.mean((y - p * x - log_c) ** 2)))


def _faster(
    table: pd.DataFrame, pair: tuple[str, str], top: float, size: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """The log ratio of throughputs as a line like `_line`, (2,), and how draws of it scatter, (size, 2)."""
    line, noise = np.zeros(2), np.zeros((size, 2))
    for name, sign in zip(pair, (-1, 1), strict=True):
        log_c, rate = trunk_throughput(table[table[ARM] == name])
        X = np.stack([np.ones(len(log_c)), (log_c - top) / math.log(10)], axis=1)
        found = np.linalg.lstsq(X, rate, rcond=None)[0]
        free = max(len(rate) - 2, 1)
        variance = float(((rate - X @ found) ** 2).sum()) / free
        root = np.linalg.cholesky(variance * np.linalg.pinv(X.T @ X) + 1e-30 * np.eye(2))
        line = line + sign * found
        noise = noise + rng.standard_t(free, (size, 1)) * (rng.standard_normal((size, 2)) @ root.T)
    return line, noise


def _trunks(table: pd.DataFrame) -> list[str]:
    return list(map(str, table["trunk_id"])) if "trunk_id" in table else list(map(str, range(len(table))))
