"""Where a sweep over learning rates has its optimum, and whether the grid contains it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from analysis.fitting.vertex import parabola

Array = NDArray[np.float64]


@dataclass(frozen=True)
class BestRate:
    """The optimum of one cell of a sweep: one size, one budget."""

    family: str
    params: int
    tokens: int
    rate: float  # vertex of the parabola, or the best of the grid where that lies at its edge
    loss: float  # [nats/token] at the vertex, or the best measured
    low: float  # rates between low and high lose at most `tolerance` of the loss, as far as the grid goes
    high: float
    rates: int  # how many were tried
    edge: bool  # the best rate tried is the lowest or the highest: the optimum may lie outside


def best_rates(table: pd.DataFrame, tolerance: float = 0.01) -> list[BestRate]:
    """Fit each cell's optimum by the parabola in log rate through the best rate and its two neighbours.

    Seeds of one rate are averaged first. A parabola through three points has its vertex between the
    neighbours, so a noisy far arm of the sweep cannot move it.

    Raises:
        ValueError: when a cell has fewer than three rates, naming it.
    """
    cells = []
    for name, rows in table.groupby(["family", "params", "tokens"]):
        family, params, tokens = cast("tuple[str, int, int]", name)
        by_rate = rows.groupby("learning_rate")["loss"].mean().sort_index()
        if len(by_rate) < 3:
            raise ValueError(
                f"{family} N {params:,} D {tokens:,}: {len(by_rate)} learning rates; at least 3 are needed "
                "to see an optimum."
            )
        x, y = np.log(by_rate.index.to_numpy(float)), by_rate.to_numpy(float)
        best = int(np.argmin(y))
        edge = best in (0, len(x) - 1)
        vertex, least = x[best], y[best]
        if not edge:
            around = slice(best - 1, best + 2)
            (place,), (value,) = parabola(x[around], y[None, around])
            if np.isfinite(place):  # three equal losses have no vertex
                vertex, least = place, value
        low, high = _basin(x, y, best, least * (1 + tolerance))
        cells.append(
            BestRate(
                family,
                int(params),
                int(tokens),
                float(np.exp(vertex)),
                float(least),
                float(np.exp(low)),
                float(np.exp(high)),
                len(x),
                edge,
            )
        )
    return cells


@dataclass(frozen=True)
class Rule:
    """rate = r (N / 1e5)^-p, each with its 95 % interval, NaN where two optima fix the line."""

    rate: float
    exponent: float
    rate_interval: tuple[float, float]
    exponent_interval: tuple[float, float]
    optima: int  # that it is fitted to; those at the edge of their grid are left out
    edges: int

    def __str__(self) -> str:
        r, p = self.rate_interval, self.exponent_interval
        left_out = f"; {self.edges} at an edge left out" if self.edges else ""
        return (
            f"{self.rate:.3g} [{r[0]:.2g}, {r[1]:.2g}] (N / 1e5)^-{self.exponent:.3f} "
            f"[{p[0]:.2f}, {p[1]:.2f}] from {self.optima} optima{left_out}"
        )


def fit_rule(cells: Sequence[BestRate]) -> Rule:
    """The rule of one family, by least squares in logs; intervals by Student's t about the line.

    Cells whose optimum lies at the edge of their grid say only a bound, and are left out.

    Raises:
        ValueError: when fewer than two sizes are left.
    """
    inner = [cell for cell in cells if not cell.edge]
    if len({cell.params for cell in inner}) < 2:
        raise ValueError(
            f"{len(inner)} of {len(cells)} optima lie inside their grid, of fewer than two sizes: "
            "widen the grid of learning rates."
        )
    x = np.log([cell.params / 1e5 for cell in inner])
    y = np.log([cell.rate for cell in inner])
    slope, offset = np.polyfit(x, y, 1)
    free = len(x) - 2
    spread = float(np.sum((y - offset - slope * x) ** 2) / free) if free else math.nan
    off_centre = np.sum((x - x.mean()) ** 2)
    t = float(special.stdtrit(free, 0.975)) if free else math.nan
    of_slope = t * math.sqrt(spread / off_centre)
    of_offset = t * math.sqrt(spread * (1 / len(x) + x.mean() ** 2 / off_centre))
    return Rule(
        rate=math.exp(offset),
        exponent=float(-slope),
        rate_interval=(math.exp(offset - of_offset), math.exp(offset + of_offset)),
        exponent_interval=(float(-slope - of_slope), float(-slope + of_slope)),
        optima=len(inner),
        edges=len(cells) - len(inner),
    )


def _basin(x: Array, y: Array, best: int, limit: float) -> tuple[float, float]:
    """Where straight lines between the points cross `limit` on either side of the best."""

    def cross(step: int) -> float:
        i = best
        while 0 <= i + step < len(x):
            if y[i + step] > limit:
                part = (limit - y[i]) / (y[i + step] - y[i])
                return float(x[i] + max(part, 0.0) * (x[i + step] - x[i]))
            i += step
        return float(x[i])

    return cross(-1), cross(1)
