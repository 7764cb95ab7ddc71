"""Which way to forecast a score, and how far each is believed: by scores of held-out larger compute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
import pandas as pd

from analysis.fitting.bootstrap.replicates import Bootstrap
from analysis.fitting.runs import FitError
from analysis.forecast.capability import WAYS, Direct, Drawn, How, TwoStage, first_stage, fit_capability
from analysis.forecast.select import Ensemble
from analysis.laws.law import Array

FEW = 100  # replicates of a way that is only compared
CUTS = (0.25, 0.4)  # shares of the runs, by compute, that are held out
LEAST = 0.05  # weight below which a way is left out of the forecast
COLUMNS = ["how", "through", "error", "bias", "covered", "heldout", "weight", "reason"]


def compare_ways(
    params: npt.ArrayLike,
    tokens: npt.ArrayLike,
    losses: npt.ArrayLike | Mapping[str, npt.ArrayLike],
    score: npt.ArrayLike,
    *,
    ways: Sequence[How] = WAYS,
    holdout: float | Sequence[float] = CUTS,
    chance: float = 0.0,
    items: int | None = None,
    groups: npt.ArrayLike | None = None,
    resamples: int = FEW,
    seed: int = 0,
    level: float = 0.95,
) -> pd.DataFrame:
    """Fit every way without the runs of largest compute 6 N D, and forecast their scores.

    One row per way, the best first: how, through (the loss of its first stage; empty for direct ways), error
    (rms of forecast minus score), bias (its mean), covered (how many held-out scores lie inside the interval
    of a new run), heldout (how many), weight (by error^-m for m cuts), reason (why a way could not be
    followed).

    Args:
        losses: the loss of each run, or several by name: a task's own bits per byte beside the corpus's.
        holdout: share of the runs to hold out, or several: each is a forecast of its own.

    Raises:
        ValueError: for a holdout that leaves nothing to fit or to forecast.
    """
    N, D, y = (np.asarray(v, dtype=float) for v in (params, tokens, score))
    by_name = dict(losses) if isinstance(losses, Mapping) else {"loss": losses}
    cuts = (holdout,) if isinstance(holdout, float | int) else tuple(holdout)
    held = [_held(N * D, cut) for cut in cuts]
    shared = {"chance": chance, "items": items, "resamples": resamples, "seed": seed, "level": level}

    @cache
    def stage(name: str, cut: int) -> Ensemble | None:
        if not name:
            return None
        own = None if groups is None else np.asarray(groups)[~held[cut]]
        loss = np.asarray(by_name[name], dtype=float)[~held[cut]]
        return first_stage(
            N[~held[cut]], D[~held[cut]], loss, own, Bootstrap("bayes", resamples, seed, level)
        )

    asked = [(how, name) for how in ways for name in (by_name if how in ("sigmoid", "exponential") else [""])]
    rows = []
    for how, name in asked:
        loss = np.asarray(by_name[name or next(iter(by_name))], dtype=float)
        row: dict[str, object] = {"how": how, "through": name, "reason": ""}
        row |= {"heldout": int(sum(h.sum() for h in held))}
        try:
            found = [
                _judge(how, N, D, loss, y, h, groups, {**shared, "basis": stage(name, cut)})
                for cut, h in enumerate(held)
            ]
        except FitError as error:
            rows.append(row | {"error": np.nan, "bias": np.nan, "covered": 0, "reason": str(error)})
            continue
        off = np.concatenate([each for each, _ in found])
        covered = sum(inside for _, inside in found)
        rows.append(
            row | {"error": float(np.sqrt(np.mean(off**2))), "bias": float(off.mean()), "covered": covered}
        )
    table = pd.DataFrame(rows)
    table["weight"] = np.maximum(table["error"], 1e-9) ** -float(len(cuts))
    table["weight"] = (table["weight"] / table["weight"].sum()).fillna(0.0)
    return table[COLUMNS].sort_values("error", kind="stable", ignore_index=True)


def _held(compute: Array, holdout: float) -> npt.NDArray[np.bool_]:
    count = round(holdout * len(compute))
    if not 1 <= count < len(compute):
        raise ValueError(f"holdout: a fraction that holds out 1 to {len(compute) - 1} runs; got {holdout!r}.")
    held: npt.NDArray[np.bool_] = compute >= np.sort(compute)[-count] * (1 - 1e-9)
    return held


def _judge(
    how: How,
    N: Array,
    D: Array,
    loss: Array,
    y: Array,
    held: npt.NDArray[np.bool_],
    groups: npt.ArrayLike | None,
    shared: dict[str, object],
) -> tuple[Array, int]:
    """Forecast minus score of the held-out runs, and how many lie inside."""
    own = None if groups is None else np.asarray(groups)[~held]
    fit = fit_capability(N[~held], D[~held], loss[~held], y[~held], how=how, groups=own, **shared)  # type: ignore[arg-type]
    found = [fit.forecast(n, d) for n, d in zip(N[held], D[held], strict=True)]
    off = np.array([f.score.value for f in found]) - y[held]
    inside = [f.run[0] <= truth <= f.run[1] for f, truth in zip(found, y[held], strict=True)]
    return off, sum(inside)


def mix(fits: Sequence[TwoStage | Direct], weights: Array, at: tuple[float, float], seed: int = 0) -> Drawn:
    """The score at (N, D) by several ways: the weighted mean, and draws of each by its weight."""
    share = weights / weights.sum()
    drawn = [fit.draw(*at, seed=seed) for fit in fits]
    rng = np.random.default_rng(seed)
    size = len(drawn[0].law)
    which, place = rng.choice(len(drawn), size=size, p=share), rng.integers(0, size, size)
    law, run = (np.stack([getattr(each, name) for each in drawn])[which, place] for name in ("law", "run"))
    return Drawn(float(share @ [each.value for each in drawn]), law, run)
