"""Critical batch size from branches: how large a batch may be before it costs tokens.

Branches off one state read the same tokens in batches of several sizes. A batch is harmless while its loss
after these tokens is within a tolerance of that of every smaller batch; the last such batch is critical.
The tolerance is in nats, or the price of an overhead: what the best branch still gains over its last tokens.

Source: Merrill et al. 2025 (arXiv:2505.23971), section 3.1, tolerance 0.01; they take the largest such batch
tried, here the crossing is interpolated in log batch. Zhang et al. 2024 (arXiv:2410.21676): 20 % more tokens
to a loss than small batches take. Under the hyperbola of McCandlish et al. 2018 (arXiv:1812.06162), tokens to
a loss E = E_min (1 + B / B_crit), an overhead h is reached at h B_crit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.fitting.bootstrap.variance import student

Array = NDArray[np.float64]

TOLERANCE = 0.01  # [nats/token]
WIDE = 10.0  # an interval of this factor identifies nothing
CELL = ["family", "params", "origin"]


@dataclass(frozen=True)
class CriticalBatch:
    """The critical batch at one point of one trunk, in tokens.

    `batch` is infinite where no batch tried did harm. In an interval, 0 and infinity stand for "smaller, or
    larger, than any that can be told from what was tried".
    """

    family: str
    params: int
    origin: int  # tokens at which the branches leave
    batch: float
    interval: tuple[float, float]  # 95 %, over seeds
    tried: tuple[int, ...]
    seeds: int
    tolerance: float  # [nats/token]
    draws: Array = field(repr=False)  # (R,) log batch in each replicate, infinite as in `batch`

    @property
    def verdict(self) -> str:
        """inside, at least, at most; or unidentified, where the interval spans more than `WIDE`."""
        low, high = np.clip(self.interval, self.tried[0], self.tried[-1])
        if high > WIDE * low:
            return "unidentified"
        if math.isinf(self.batch):
            return "at least"
        return "at most" if self.batch < self.tried[1] else "inside"


def critical_batches(
    table: pd.DataFrame,
    *,
    tolerance: float = TOLERANCE,
    overhead: float | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> list[CriticalBatch]:
    """The critical batch of every family, size and point of branching.

    Intervals draw whole seeds, one fewer than there are, so that means spread as much as the data say; their
    deviations are widened to Student's t, as seeds are few. They cover less than they say: a test with 4
    seeds and noise of 0.4 times the tolerance asks for 89 of 120.

    Args:
        table: columns family, params, seed, origin, batch_tokens, tokens (since the origin), loss, final:
            the last losses of branches, and those along the way.
        tolerance: [nats/token].
        overhead: for instance 0.2: the tolerance of each cell is then what the best branch would have lost
            with 1 / (1 + overhead) of its tokens.

    Raises:
        ValueError: naming a cell with fewer than three batches or two seeds, or with a branch missing.
    """
    cells = []
    for name, rows in table.groupby(CELL):
        family, params, origin = cast("tuple[str, int, int]", name)
        where = f"{family} N {params:,} from D {origin:,}"
        final = rows[rows["final"]].set_index(["seed", "batch_tokens"])["loss"].unstack()  # noqa: PD010
        loss, tried = final.to_numpy(float), tuple(int(b) for b in final.columns)
        if len(tried) < 3 or len(loss) < 2:
            raise ValueError(
                f"{where}: {len(tried)} batches and {len(loss)} seeds; 3 batches and 2 seeds are needed."
            )
        if np.isnan(loss).any():
            raise ValueError(
                f"{where}: {int(np.isnan(loss).sum())} of {loss.size} branches have no loss. Train "
                "them, or leave out batches that diverged."
            )
        log_b = np.log(tried)
        allowed = tolerance if overhead is None else price(rows, overhead)
        excess = excesses(loss)
        draws = last_harmless(log_b, _means(excess, resamples, seed), allowed)
        low, high = np.quantile(draws, [0.025, 0.975], method="nearest")
        cells.append(
            CriticalBatch(
                family=family,
                params=int(params),
                origin=int(origin),
                batch=float(np.exp(last_harmless(log_b, excess.mean(axis=0), allowed))),
                interval=(0.0 if low < log_b[1] else float(np.exp(low)), float(np.exp(high))),
                tried=tried,
                seeds=len(loss),
                tolerance=allowed,
                draws=draws,
            )
        )
    return cells


def excesses(loss: Array) -> Array:
    """Each seed's loss (n, B) less that of the best batch that is no larger, as the other seeds choose it.

    The least of several noisy losses is too low. What other seeds choose is not, so that the mean over seeds
    says what a batch costs, and may be below 0.
    """
    others = (loss.sum(axis=0) - loss) / (len(loss) - 1)
    best = [others[:, : i + 1].argmin(axis=1) for i in range(loss.shape[1])]
    return np.asarray(loss - np.take_along_axis(loss, np.stack(best, axis=1), axis=1))


def last_harmless(log_batch: Array, excess: Array, tolerance: float) -> Array:
    """log batch (...) at which excess (..., B) exceeds the tolerance for good; infinite where it does not."""
    last = len(log_batch) - 1
    before = last - np.argmax(excess[..., ::-1] <= tolerance, axis=-1)  # the smallest batch exceeds nothing
    after = np.minimum(before + 1, last)
    low, high = (np.take_along_axis(excess, i[..., None], -1)[..., 0] for i in (before, after))
    with np.errstate(divide="ignore", invalid="ignore"):
        part = (tolerance - low) / (high - low)
        crossing = log_batch[before] + part * (log_batch[after] - log_batch[before])
    return np.where(before == last, math.inf, crossing)


def price(rows: pd.DataFrame, overhead: float) -> float:
    """Loss [nats/token] that the best batch gains over the last overhead / (1 + overhead) of its tokens.

    Along the second half of its curve loss is taken as linear in log tokens since the origin.

    Raises:
        ValueError: when the table has no loss along the way, or none that falls.
    """
    curves = rows[~rows["final"]]
    best = rows[rows["final"]].groupby("batch_tokens")["loss"].mean().idxmin()
    mean = curves[curves["batch_tokens"] == best].groupby("tokens")["loss"].mean()
    late = mean[mean.index >= mean.index.max() / 2]
    if len(late) < 2:
        raise ValueError("overhead: needs two losses along the second half of each branch; give a tolerance.")
    slope = float(np.polyfit(np.log(late.index.to_numpy(float)), late.to_numpy(float), 1)[0])
    if slope >= 0:
        raise ValueError(
            f"overhead: batches of {best:,} tokens gain nothing over the second half of their branch, so "
            "that tokens have no price there. Give longer branches, more seeds, or a tolerance."
        )
    return -slope * math.log1p(overhead)


@dataclass(frozen=True)
class Growth:
    """batch ∝ tokens^a params^b over the cells inside their grids, with 95 % intervals."""

    tokens_exponent: float
    tokens_interval: tuple[float, float]
    params_exponent: float  # NaN with one size
    params_interval: tuple[float, float]
    cells: int
    edges: int  # cells at an edge of what was tried, or unidentified: left out

    def __str__(self) -> str:
        (a, b), (c, d) = self.tokens_interval, self.params_interval
        size = (
            ""
            if math.isnan(self.params_exponent)
            else f", N^{self.params_exponent:+.2f} [{c:+.2f}, {d:+.2f}]"
        )
        left_out = f"; {self.edges} left out" if self.edges else ""
        return f"D^{self.tokens_exponent:+.2f} [{a:+.2f}, {b:+.2f}]{size} from {self.cells} cells{left_out}"


def fit_growth(cells: Sequence[CriticalBatch]) -> Growth:
    """Exponents by least squares in logs, in every replicate; a replicate off the grid counts at its edge.

    Raises:
        ValueError: when fewer than two points of branching are left.
    """
    inner = [cell for cell in cells if cell.verdict == "inside"]
    if len({cell.origin for cell in inner}) < 2:
        raise ValueError(
            f"{len(inner)} of {len(cells)} critical batches lie inside what was tried, at fewer than two "
            "points of branching: try other batches, or more seeds."
        )
    columns = [np.log([cell.origin for cell in inner]), np.ones(len(inner))]
    sized = len({cell.params for cell in inner}) > 1
    if sized:
        columns.insert(1, np.log([cell.params for cell in inner]))
    design = np.stack(columns, axis=1)
    found = np.linalg.lstsq(design, np.log([cell.batch for cell in inner]), rcond=None)[0]
    held = [np.clip(c.draws, math.log(c.tried[0]), math.log(c.tried[-1])) for c in inner]
    draws = np.linalg.lstsq(design, np.array(held), rcond=None)[0]
    lows, highs = np.quantile(draws, [0.025, 0.975], axis=1).tolist()
    nothing = (math.nan, math.nan)
    return Growth(
        tokens_exponent=float(found[0]),
        tokens_interval=(lows[0], highs[0]),
        params_exponent=float(found[1]) if sized else math.nan,
        params_interval=(lows[1], highs[1]) if sized else nothing,
        cells=len(inner),
        edges=len(cells) - len(inner),
    )


def _means(excess: Array, resamples: int, seed: int) -> Array:
    """Replicates (R, B) of the mean over seeds of excess (n, B)."""
    n = len(excess)
    mean = excess.mean(axis=0)
    drawn = np.random.default_rng(seed).integers(n, size=(resamples, n - 1))
    wider = student(n - 1)
    return np.asarray(mean + wider * (excess[drawn].mean(axis=1) - mean))
