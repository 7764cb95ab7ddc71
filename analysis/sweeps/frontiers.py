"""Two recipes at matched budgets: the speed-up at each, its trend, and how far the floor moves it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.fitting.bootstrap.quantiles import quantiles
from analysis.fitting.interval import Interval
from analysis.fitting.runs import FitError
from analysis.laws.law import FLOPS_PER_PARAM_TOKEN, Array
from analysis.sweeps.lead import Lead, Point
from analysis.sweeps.throughput import log_throughput

SAME = 0.05  # log ratio of compute up to which two budgets are one
FLOORS = 80  # values of E that are averaged over
HIGHEST = 0.98  # of the lowest loss, the largest of them
FEWEST = 3  # matched budgets that a line with a t interval needs; with a free floor one more


@dataclass(frozen=True)
class Matched:
    """n budgets at which both arms were trained, ascending."""

    compute: Array  # (n,) [FLOP], geometric mean of both
    baseline: Array  # (n,) loss [nats/token]
    other: Array  # (n,)
    faster: Array  # (n,) ln of the other's throughput [FLOP/s] over the baseline's; 0 by compute


def match_budgets(baseline: pd.DataFrame, other: pd.DataFrame, per: str = "compute") -> tuple[Matched, str]:
    """Pair the best runs of two arms, budget by budget; and say which runs found no partner.

    Where a budget has several sizes, the size of lowest loss counts; where a size has several seeds, the mean
    of their log losses, over the seeds that both arms have if they share any.
    """
    both = [(_compute(rows), rows) for rows in (baseline, other)]
    every = np.sort(np.concatenate([compute for compute, _ in both]))
    budget = np.cumsum(np.append(0, np.diff(np.log(every)) > SAME))
    labels = [budget[np.searchsorted(every, compute)] for compute, _ in both]
    shared = sorted(set(labels[0]) & set(labels[1]))
    found = []
    for label in shared:
        here = [rows[own == label] for (_, rows), own in zip(both, labels, strict=True)]
        spent = [c[own == label] for (c, _), own in zip(both, labels, strict=True)]
        here = _shared_seeds(here)
        speed = [log_throughput(rows) if per == "time" else 0.0 for rows in here]
        middle = float(np.exp(np.mean([np.log(c).mean() for c in spent])))
        found.append((middle, _best(here[0]), _best(here[1]), speed[1] - speed[0]))
    alone = [len(set(own) - set(shared)) for own in labels]
    columns = np.array(found).reshape(-1, 4).T
    words = f"{alone[0]} budgets of the baseline and {alone[1]} of the other arm have no partner"
    return Matched(*columns), words if any(alone) else ""


def compare_frontiers(
    found: Matched,
    arm: str,
    baseline: str,
    *,
    floor: float | None = None,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Lead:
    """Measure the speed-up s_i = ln[(L_baseline - E) / (L_arm - E)] / alpha at each budget, and its trend.

    The baseline's frontier L = E + A C^-alpha gives alpha for each E, by least squares of log loss. A line of
    s against log10 C gives the trend. A free E, shared by both arms, is averaged over: E uniform between 0
    and the lowest loss, each value weighted by the likelihood of both frontiers, RSS(E)^(-(n - 2) / 2), the
    power that one frontier's residuals have, for those of two recipes at one budget may be the same. Draws
    take E by its weight, alpha and the line by Student's t with n - 2 degrees of freedom. Runs weigh
    (1 - E / L)^2, for their relative noise is alike.

    Args:
        floor: E [nats/token], where it is known or assumed.

    Raises:
        FitError: for fewer than three matched budgets, or four with a free floor; for losses at the floor, or
            a baseline whose loss does not fall with compute.

    Source: the speed-up is that of marin-community/marin issue 8096; we differ in averaging over the floor,
    and in an interval for each point.
    """
    n = len(found.compute)
    if n < FEWEST + (floor is None):
        cure = "" if floor is not None or n < FEWEST else " With --floor E three are enough."
        raise FitError(
            f"{arm} and {baseline} share {n} budgets; a line with an interval needs "
            f"{FEWEST + (floor is None)}.{cure}"
        )
    least = float(min(found.baseline.min(), found.other.min()))
    if floor is not None and not 0 <= floor < least:
        raise FitError(f"floor: between 0 and the least loss, {least:.6g}; got {floor!r}.")
    E = np.linspace(0, HIGHEST * least, FLOORS) if floor is None else np.array([floor])
    log_c = np.log10(found.compute)
    X = np.stack([np.ones(n), log_c - log_c.max()], axis=1)
    frontiers = [
        _lines(X, np.log(L - E[:, None]), (1 - E[:, None] / L) ** 2) for L in (found.baseline, found.other)
    ]
    falls = -frontiers[0].line[:, 1] / math.log(10)  # alpha of each E
    if not (falls > 0).all():
        raise FitError(f"{baseline}: its loss does not fall with compute, so compute buys it nothing.")
    log_weight = -(n - 2) / 2 * np.log(np.maximum(sum(f.squares for f in frontiers), 1e-300))
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    s = np.log((found.baseline - E[:, None]) / (found.other - E[:, None])) / falls[:, None]
    s = s + found.faster
    trend = _lines(X, s, (1 - E[:, None] / found.baseline) ** 2)
    rng = np.random.default_rng(seed)
    pick = rng.choice(len(E), resamples, p=weight)
    # alpha scatters, and with it every s; far from 0 relative to its error, or the frontier is not known
    spread = np.sqrt(frontiers[0].covariance[:, 1, 1]) / math.log(10) / falls
    scale = np.clip(1 + spread[pick] * rng.standard_t(n - 2, resamples), 0.2, 5.0)
    about = trend.line[pick] / scale[:, None]
    noise = rng.standard_normal((resamples, 2)) / np.sqrt(rng.chisquare(n - 2, resamples) / (n - 2))[:, None]
    root = np.linalg.cholesky(trend.covariance + 1e-30 * np.eye(2))
    best = int(np.argmax(weight))
    draws = about + np.einsum("rpq,rq->rp", root[pick], noise)
    bound = quantiles(noise[:, 0], level)[1] * np.sqrt(trend.variance[best] / trend.weight[best])
    points = tuple(
        Point(float(C), Interval(*(float(np.exp(v)) for v in (m, m - b, m + b))))
        for C, m, b in zip(found.compute, s[best], bound, strict=True)
    )
    return Lead(
        arm,
        baseline,
        float(log_c.max()),
        float(found.compute.min()),
        trend.line[best],
        draws,
        E[pick],
        level,
        n,
        points,
    )


@dataclass(frozen=True)
class _Lines:
    """Weighted least squares of F lines on one design (n, 2)."""

    line: Array  # (F, 2)
    covariance: Array  # (F, 2, 2)
    squares: Array  # (F,) weighted
    variance: Array  # (F,) of an observation of weight 1
    weight: Array  # (F, n)


def _lines(X: Array, y: Array, weight: Array) -> _Lines:
    XtW = X.T * weight[:, None, :]  # (F, 2, n)
    inverse = np.linalg.inv(XtW @ X)
    line = np.einsum("fpq,fqn,fn->fp", inverse, XtW, y)
    squares = (weight * (y - line @ X.T) ** 2).sum(axis=1)
    variance = squares / (len(X) - 2)
    return _Lines(line, inverse * variance[:, None, None], squares, variance, weight)


def _compute(rows: pd.DataFrame) -> Array:
    if "flops" in rows and rows["flops"].notna().all():
        return rows["flops"].to_numpy(float)
    if {"params", "tokens"} <= set(rows):
        pairs = rows["params"].to_numpy(float) * rows["tokens"].to_numpy(float)
        return np.asarray(FLOPS_PER_PARAM_TOKEN * pairs)
    raise FitError(
        "the table has neither flops nor params and tokens: budgets cannot be matched. Map "
        "one: --columns flops=NAME."
    )


def _shared_seeds(arms: list[pd.DataFrame]) -> list[pd.DataFrame]:
    if not all("seed" in rows for rows in arms):
        return arms
    seeds = set(arms[0]["seed"].dropna()) & set(arms[1]["seed"].dropna())
    return [rows[rows["seed"].isin(seeds)] for rows in arms] if seeds else arms


def _best(rows: pd.DataFrame) -> float:
    """The least over sizes of the mean log loss over seeds, as a loss [nats/token]."""
    keys = [name for name in ("params", "tokens") if name in rows]
    logs = pd.Series(np.log(rows["loss"].to_numpy(float)), index=rows.index)
    means = logs.groupby([rows[key] for key in keys]).mean() if keys else pd.Series([logs.mean()])
    return float(np.exp(means.min()))
