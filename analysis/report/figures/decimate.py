"""What of very many runs a picture shows: no point that lies on another, and a few curves of each size."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

PLENTY = 1000  # points up to which all are drawn
GRAIN = (133, 90)  # places across and up: three printer's points apart, of dots four wide
CURVES = 60  # trunks per family that are drawn


def apart(
    x: npt.ArrayLike, y: npt.ArrayLike, *, plenty: int = PLENTY, grain: tuple[int, int] = GRAIN
) -> npt.NDArray[np.int64]:
    """Which points (n,) to draw: all of up to `plenty`, else the first of those that fall on one place.

    Args:
        x, y: as the axes scale them, so logarithms on a logarithmic axis.
        grain: places across and up over the range of the points.
    """
    columns = np.stack([np.asarray(values, dtype=float) for values in (x, y)])
    n = columns.shape[1]
    if n <= plenty:
        return np.arange(n)
    place = np.zeros(n, dtype=np.int64)
    for values, count in zip(columns, grain, strict=True):
        share = (values - values.min()) / (float(np.ptp(values)) or 1.0)
        place = place * (count + 1) + np.rint(share * count).astype(np.int64)
    return np.sort(np.unique(place, return_index=True)[1])


def outline(x: npt.ArrayLike, y: npt.ArrayLike, *, places: int = PLENTY) -> npt.NDArray[np.int64]:
    """Which points (n,) of a long line to draw, in order: the lowest and the highest at each place of x.

    Args:
        x, y: as the axes scale them, so logarithms on a logarithmic axis. Up to twice `places` points, all
            are drawn.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if len(x) <= 2 * places:
        return np.arange(len(x))
    place = np.rint((x - x.min()) / (float(np.ptp(x)) or 1.0) * places).astype(np.int32)
    order = np.lexsort([y, place])
    turns = np.flatnonzero(np.diff(place[order]))
    ends = np.concatenate([[0], turns, turns + 1, [len(x) - 1]])
    return np.unique(np.concatenate([order[ends], [0, len(x) - 1]]))


def some_trunks(curves: pd.DataFrame, most: int = CURVES) -> pd.DataFrame:
    """The curves of at most about `most` trunks per family: of each size the best, the worst, and some
    between.

    Args:
        curves: as `load_curves` returns, rows with a loss. They are ranked by their least loss.
    """
    keys = ["family", "params", "trunk_id"]
    best = curves.groupby(keys, sort=True, observed=True, dropna=False)["loss"].min()
    kept: list[str] = []
    for _, family in best.groupby("family", observed=True, dropna=False):
        each = max(2, most // family.index.get_level_values("params").nunique(dropna=False))
        for _, size in family.groupby("params", dropna=False):
            ranked = size.sort_values(kind="stable").index.get_level_values("trunk_id")
            rank = np.unique(np.linspace(0, len(ranked) - 1, min(each, len(ranked))).round().astype(int))
            kept += list(ranked[rank])
    return curves if len(kept) == curves["trunk_id"].nunique() else curves[curves["trunk_id"].isin(kept)]
