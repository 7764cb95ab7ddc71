"""Two ways of training the same cells, compared pair by pair."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special

CELL = ("family", "params", "tokens", "seed")


@dataclass(frozen=True)
class Paired:
    """Differences of loss, way minus reference, over cells that both have."""

    cells: int
    mean: float  # [nats/token]
    interval: tuple[
        float, float
    ]  # 95 %, by Student's t over (family, params, seed): budgets of one go together
    spread: float  # standard deviation of the difference over cells
    seed_spread: float  # standard deviation of the reference's loss over seeds of one cell; NaN with one seed
    flops: float  # of the way, over those of the reference

    @property
    def within_noise(self) -> bool:
        """Whether the mean difference is below what two seeds of one cell differ by."""
        return abs(self.mean) < math.sqrt(2) * self.seed_spread

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"{self.mean:+.4f} nats/token [{low:+.4f}, {high:+.4f}] over {self.cells} cells "
            f"(spread {self.spread:.4f}; seeds of one cell {self.seed_spread:.4f})"
        )


def compare_paired(table: pd.DataFrame, column: str, way: str, reference: str) -> Paired:
    """Compare the rows whose `column` is `way` with those where it is `reference`, cell by cell.

    A cell is a family, size, budget and seed. Budgets that two ways round to different steps are matched in
    order, which must agree to 2 %.

    Raises:
        ValueError: when no cell has both.
    """
    one, other = (
        table[table[column] == value].sort_values(list(CELL)).reset_index(drop=True)
        for value in (way, reference)
    )
    keys = ["family", "params", "seed"]
    rank = [frame.groupby(keys)["tokens"].rank(method="dense") for frame in (one, other)]
    merged = one.assign(rank=rank[0]).merge(other.assign(rank=rank[1]), on=[*keys, "rank"])
    merged = merged[np.abs(merged["tokens_x"] / merged["tokens_y"] - 1) < 0.02]
    if merged.empty:
        raise ValueError(
            f"no cell was run both with {column} = {way!r} and {column} = {reference!r}; "
            f"the table has {sorted(map(str, table[column].unique()))}."
        )
    difference = merged["loss_x"] - merged["loss_y"]
    by_trunk = difference.groupby([merged[key] for key in keys]).mean().to_numpy(float)
    mean = float(by_trunk.mean())
    n = len(by_trunk)
    error = float(by_trunk.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan
    half = float(special.stdtrit(n - 1, 0.975)) * error if n > 1 else math.nan
    seeds = merged.groupby(["family", "params", "rank"])["loss_y"].var(ddof=1).dropna()
    return Paired(
        cells=len(merged),
        mean=mean,
        interval=(mean - half, mean + half),
        spread=float(difference.std(ddof=1)) if len(difference) > 1 else math.nan,
        seed_spread=math.sqrt(float(seeds.mean())) if len(seeds) else math.nan,
        flops=float(merged["flops_x"].sum() / merged["flops_y"].sum()),
    )
