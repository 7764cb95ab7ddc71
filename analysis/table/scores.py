"""What runs can do, as columns of their table; and every score under every setting, one row each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.table.runtable import NotedRows, RunTable
from scaling.records.evaluation import Evaluation
from scaling.records.record import StudyRecords, read_study

_COLUMNS = (
    *("run_id", "trunk_id", "family", "objective", "params", "params_total", "tokens", "flops", "loss"),
    *("task", "metric", "value", "se", "chance", "items"),
)


def load_evaluations(source: str | Path | StudyRecords) -> NotedRows:
    """Every score of a study's finished runs, those of compressed copies included: one row per score.

    Returns:
        run_id, trunk_id, family, objective, params, params_total, tokens, flops and loss of the run as
        trained; task, metric, value, se, chance, items; one column per key of the settings (`quantise`,
        `prune`; NaN where the setting has no such key, so in all of them as trained); one column per detail
        (`logprob`, `margin`, `bits`, …). Ordered by run and task. The notes name what was damaged or
        outdated.

    Raises:
        FileNotFoundError: no such study folder.
    """
    study = source if isinstance(source, StudyRecords) else read_study(source)
    records = {record.run_id: record for record in study.done}
    scores, notes = _current(study, study.evaluations)
    rows: list[dict[str, Any]] = []
    for score in scores:
        record = records[score.run_id]
        about = {name: getattr(record, name) for name in _COLUMNS[:9]}
        said = {name: getattr(score, name) for name in _COLUMNS[10:]}
        rows.append({**about, "task": score.name, **said, **score.setting, **score.details})
    keys = dict.fromkeys(key for score in scores for key in (*score.setting, *score.details))
    table = pd.DataFrame(rows, columns=list(dict.fromkeys([*_COLUMNS, "quantise", "prune", *keys])))
    table = table.astype({"quantise": float, "prune": float})
    return NotedRows(table, study.name, tuple(notes))


def add_scores(table: RunTable, study: StudyRecords) -> RunTable:
    """The table with the scores of its runs as they were trained.

    A task gives its value under its own name, and `<task>_se`, `<task>_logprob`, …; NaN for a run that has no
    score. `tasks` says metric, chance and items of each. Settings never mix with these.
    """
    plain = [score for score in study.evaluations if not score.setting and score.name != "loss"]
    scores, notes = _current(study, plain)
    found: dict[str, dict[str, float]] = {}
    tasks: dict[str, dict[str, Any]] = {}
    for score in scores:
        name = f"{score.name} (task)" if score.name in table else score.name
        said = {name: score.value, f"{name}_se": score.se}
        said |= {f"{name}_{key}": value for key, value in score.details.items()}
        for key, value in said.items():
            found.setdefault(key, {})[score.run_id] = value
        tasks[name] = {"metric": score.metric, "chance": score.chance, "items": score.items}
    columns = {
        key: np.array([found[key].get(run_id, np.nan) for run_id in table["run_id"]], dtype=float)
        for key in sorted(found)
    }
    return replace(table, rows=table.rows.assign(**columns), tasks=tasks, notes=(*table.notes, *notes))


def _current(study: StudyRecords, scores: Sequence[Evaluation]) -> tuple[list[Evaluation], list[str]]:
    """Scores of done runs by the newest definition of each task: two definitions are two scales."""
    done = {record.run_id for record in study.done}
    scores = [score for score in scores if score.run_id in done]
    newest: dict[str, Evaluation] = {}
    for score in sorted(scores, key=lambda score: (score.finished, score.definition)):
        newest[score.name] = score
    kept = [score for score in scores if score.definition == newest[score.name].definition]
    old = Counter(score.name for score in scores if score.definition != newest[score.name].definition)
    notes = [
        f"{name}: {count} scores by an older definition of the task are left out"
        for name, count in old.items()
    ]
    return kept, notes + _damaged(study.damaged_evaluations.items())


def _damaged(items: Iterable[tuple[str, str]]) -> list[str]:
    return [f"damaged score left out: {path}: {why}" for path, why in items]


FULL = 32.0  # bits of a weight that nothing has rounded


def score_rows(source: str | Path | StudyRecords) -> pd.DataFrame:
    """Every score as a row that `load_runs` reads: what a law of tuned or compressed models is fitted to.

    Returns:
        run_id (one a row), trunk_id, family, objective, params, tokens, flops; task; score, score_se, chance.
        loss: of the task's own labels, or held out; NaN where a task has none. run_loss: the run's own.
        examples: labelled rows. start: trained or scratch, with the rank of an update as trained-lora8.
        bits of a weight; density: the share of weights that is left.
        transferred: by how many examples more a model from scratch reaches the same loss; NaN where none did.
        A column without a value is left out.
    """
    scores = load_evaluations(source).rows
    examples, lora, scratch, loss = (
        scores[name] if name in scores else pd.Series(np.nan, scores.index)
        for name in ("examples", "lora", "scratch", "loss")
    )
    task_loss = scores["task_loss"] if "task_loss" in scores else pd.Series(np.nan, scores.index)
    held_out = scores["task"].str.startswith("loss")
    start = np.where(scratch.isna(), "trained", "scratch").astype(object)
    low = [f"-lora{int(rank)}" if rank == rank else "" for rank in lora]
    rows = pd.DataFrame(
        {
            "run_id": [f"{run}-{i}" for i, run in enumerate(scores["run_id"])],
            **{
                name: scores[name]
                for name in ("trunk_id", "family", "objective", "params", "tokens", "flops")
            },
            "task": scores["task"],
            "loss": np.where(held_out, scores["value"], task_loss),
            "score": scores["value"],
            "score_se": scores["se"],
            "chance": scores["chance"],
            "examples": examples,
            "start": [f"{one}{other}" for one, other in zip(start, low, strict=True)],
            "bits": scores["quantise"].fillna(FULL),
            "density": 1.0 - scores["prune"].fillna(0.0),
            "run_loss": loss,
        }
    )
    rows["transferred"] = np.nan
    plain = (rows["bits"] == FULL) & (rows["density"] == 1.0)
    for _, part in rows[plain].groupby([scores["run_id"][plain], "task"]):
        alone = part[part["start"] == "scratch"].sort_values("examples")
        told = part[part["start"] != "scratch"]
        if len(alone) > 1:
            needed = _examples_for(told["loss"].to_numpy(), alone["examples"], alone["loss"])
            rows.loc[told.index, "transferred"] = needed - told["examples"].to_numpy(float)
    return rows.dropna(axis=1, how="all")


def _examples_for(wanted: Any, examples: pd.Series[Any], losses: pd.Series[Any]) -> Any:
    """Examples at which a curve of falling losses reaches each wanted one, between its points; else NaN."""
    falling = np.minimum.accumulate(losses.to_numpy(float))
    logs = np.log(examples.to_numpy(float))
    return np.exp(np.interp(-wanted, -falling, logs, left=np.nan, right=np.nan))
