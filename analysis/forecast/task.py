"""The score of one task, a column of a table, by the ways that forecast held-out compute well."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.fitting.checks import FitWarning
from analysis.fitting.fit import Fit
from analysis.fitting.runs import FitError
from analysis.forecast.capability import ScoreForecast, fit_capability
from analysis.forecast.select import Ensemble
from analysis.forecast.ways import FEW, LEAST, compare_ways, mix

FEWEST = 3  # runs with a score, of which some are held out


@dataclass(frozen=True)
class TaskForecast:
    """The score of one task at one N and D, by the way that forecast held-out compute best."""

    column: str
    score: ScoreForecast
    ways: pd.DataFrame  # of `compare_ways`
    warnings: tuple[FitWarning, ...]

    def to_dict(self) -> dict[str, object]:
        """Plain data, ready for JSON."""
        ways = self.ways.astype(object).where(self.ways.notna(), None)
        return {
            "column": self.column,
            "how": self.score.how,
            "score": asdict(self.score.score),
            "run": list(self.score.run),
            "ways": ways.to_dict(orient="records"),
            "warnings": [asdict(doubt) for doubt in self.warnings],
        }


def forecast_task(
    table: pd.DataFrame,
    column: str,
    at: tuple[float, float],
    basis: Ensemble | Fit,
    *,
    chance: float = 0.0,
    items: int | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> TaskForecast:
    """Forecast the score in a column of a table of runs at (N, D); runs without a score are left out.

    Ways are weighted by their forecasts of held-out larger compute. A first stage may be the loss, or the
    task's own where the table has a column called as the task with _bpb, _loss or _nll.

    Raises:
        ValueError: for a column that is absent or holds no numbers.
        FitError: when no way can be followed.
    """
    if column not in table:
        raise ValueError(
            f"task: the table has no column {column!r}; it has {', '.join(map(str, table.columns))}."
        )
    score = pd.to_numeric(table[column], errors="coerce").to_numpy(dtype=float)
    known = np.isfinite(score)
    if not known.any():
        raise ValueError(f"task: column {column!r} holds no number.")
    if known.sum() < FEWEST:
        raise FitError(
            f"task: {known.sum()} of {len(table)} runs have a score {column!r}; {FEWEST} are needed."
        )
    rows = table[known]
    N, D, loss = (rows[name].to_numpy(dtype=float) for name in ("params", "tokens", "loss"))
    shared: dict[str, Any] = {
        "chance": chance,
        "items": items,
        "groups": rows["trunk_id"].to_numpy(dtype=str),
        "resamples": resamples,
        "seed": seed,
        "level": basis.level,
    }
    losses = {"loss": loss}
    for own in (f"{column}_bpb", f"{column}_loss", f"{column}_nll"):
        if own in rows and np.isfinite(pd.to_numeric(rows[own], errors="coerce")).all():
            losses[own] = rows[own].to_numpy(dtype=float)
    ways = compare_ways(N, D, losses, score[known], **{**shared, "resamples": min(resamples, FEW)})
    if ways["error"].isna().all():
        raise FitError(f"task: no way to forecast {column!r}: {' '.join(ways['reason'])}")
    followed = ways[ways["weight"] >= min(LEAST, ways["weight"].max())]
    fits = [
        fit_capability(
            N,
            D,
            losses[name or "loss"],
            score[known],
            how=how,
            basis=basis if name == "loss" else None,
            **shared,
        )
        for how, name in zip(followed["how"], followed["through"], strict=True)
    ]
    doubts = tuple(dict.fromkeys(doubt for fit in fits for doubt in fit.warnings))
    if not known.all():
        doubts += (
            FitWarning("no-score", f"{(~known).sum()} of {len(table)} runs have no score and are left out."),
        )
    drawn = mix(fits, followed["weight"].to_numpy(dtype=float), at, seed)
    return TaskForecast(column, drawn.forecast(fits[0].how, basis.level), ways, doubts)
