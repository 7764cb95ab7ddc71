"""Whether one learning rate serves every width: how the best rate drifts, and what not tuning again costs.

Source: Yang et al. 2022 (arXiv:2203.03466), figure 1: loss against rate, one curve per width; under muP the
minima lie above one another.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.fitting.vertex import parabola

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Optimum:
    """The best rate at one width, with its 95 % interval."""

    width: int
    rate: float  # vertex of the parabola in log rate, or the best tried where that lies at the edge
    interval: tuple[float, float]
    loss: float  # the least mean over seeds [nats/token]
    edge: bool  # the best rate tried is the lowest or the highest


@dataclass(frozen=True)
class Transfer:
    """Best rates over widths: rate ∝ width^drift."""

    optima: tuple[Optimum, ...]  # by width
    drift: float
    interval: tuple[float, float]  # 95 %
    untuned: float  # loss of the widest at the best rate tried of the narrowest, less its least [nats/token]
    seed_spread: float  # standard deviation between seeds of one cell, near the optima

    def __str__(self) -> str:
        edges = sum(optimum.edge for optimum in self.optima)
        said = f"best rate as width^{self.drift:+.2f} [{self.interval[0]:+.2f}, {self.interval[1]:+.2f}]"
        said += f"; {edges} of {len(self.optima)} at the edge of the grid" if edges else ""
        wide, narrow = self.optima[-1].width, self.optima[0].width
        return (
            f"{said}; width {wide} at the best rate of width {narrow} loses {self.untuned:.4f} nats "
            f"(seeds {self.seed_spread:.4f})"
        )


def measure_transfer(table: pd.DataFrame, *, resamples: int = 1000, seed: int = 0) -> Transfer:
    """The best rate at each width, by the parabola in log rate through the best rate and its two neighbours.

    Intervals add noise to the mean losses, of the spread that seeds have near the optima of all widths
    together: two seeds of one cell alone say little. A replicate whose parabola has no minimum between its
    outer rates counts at the better of them.

    Args:
        table: columns width, learning_rate, seed, loss; one parametrisation, one budget, every rate at every
            seed of its width.

    Raises:
        ValueError: for fewer than two widths, three rates at one, or no cell with two seeds.
    """
    cells = table.groupby(["width", "learning_rate"])["loss"].agg(["mean", "var", "size"]).reset_index()
    by_width = {int(str(width)): rows for width, rows in cells.groupby("width")}
    if len(by_width) < 2 or min(map(len, by_width.values())) < 3:
        tried = ", ".join(f"{width}: {len(rows)}" for width, rows in by_width.items())
        raise ValueError(f"at least two widths of three rates each are needed; rates by width: {tried}.")
    best = {width: int(rows["mean"].to_numpy().argmin()) for width, rows in by_width.items()}
    near = {w: rows.iloc[slice(*_around(best[w], len(rows)))] for w, rows in by_width.items()}
    together = pd.concat(near.values())
    if together["var"].isna().all():
        raise ValueError("no cell has two seeds, so the noise is unknown. Run seed=0,1.")
    spread = math.sqrt(float(together["var"].mean()))
    rng = np.random.default_rng(seed)
    optima, draws = [], []
    for width, rows in by_width.items():
        x, mean = np.log(near[width]["learning_rate"].to_numpy(float)), near[width]["mean"].to_numpy(float)
        noise = rng.normal(scale=spread / np.sqrt(near[width]["size"].to_numpy(float)), size=(resamples, 3))
        draws.append(_minima(x, mean + noise))
        low, high = np.exp(np.quantile(draws[-1], [0.025, 0.975])).tolist()
        rate = float(np.exp(_minima(x, mean[None])[0]))
        edge = best[width] in (0, len(rows) - 1)
        optima.append(Optimum(width, rate, (low, high), float(mean.min()), edge))
    log_width = np.log(list(by_width))
    slopes = np.polyfit(log_width, np.array(draws), 1)[0]
    low, high = np.quantile(slopes, [0.025, 0.975]).tolist()
    first, last = (by_width[optima[i].width].set_index("learning_rate")["mean"] for i in (0, -1))
    return Transfer(
        optima=tuple(optima),
        drift=float(np.polyfit(log_width, np.log([optimum.rate for optimum in optima]), 1)[0]),
        interval=(low, high),
        untuned=float(last.get(first.idxmin(), math.nan)) - optima[-1].loss,
        seed_spread=spread,
    )


def _around(best: int, count: int) -> tuple[int, int]:
    """The best and one on either side, or the three at the edge that it lies at."""
    first = min(max(best - 1, 0), count - 3)
    return first, first + 3


def _minima(x: Array, losses: Array) -> Array:
    """Where the parabola through each of losses (R, 3) at x (3,) is least between the outer points: (R,)."""
    vertex, _ = parabola(x, losses)
    better = x[np.where(losses[:, 0] < losses[:, 2], 0, 2)]
    return np.asarray(np.clip(np.where(np.isfinite(vertex), vertex, better), x[0], x[-1]))
