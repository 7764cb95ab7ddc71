"""From records, files or W&B to one row per run, and to learning curves. Nothing is dropped in silence."""

from analysis.table.arms import split_comparable
from analysis.table.curves import load_curves
from analysis.table.load import load_runs
from analysis.table.runtable import NotedRows, RunTable, SetAside
from analysis.table.scores import load_evaluations

__all__ = [
    "NotedRows",
    "RunTable",
    "SetAside",
    "load_curves",
    "load_evaluations",
    "load_runs",
    "split_comparable",
]
