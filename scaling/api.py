"""A study from Python: in a script, a notebook or a test."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from scaling.launch.study import StudyObserver, StudyResult
from scaling.launch.study import run_study as train
from scaling.study.plan import plan_study
from scaling.study.spec import readable


def run_study(
    study: str, overrides: Sequence[str] = (), *, progress: bool = True, **options: Any
) -> StudyResult:
    """Plan a study and train the runs that have no record yet, as `scaling run study=STUDY` does.

    Args:
        study: a name, or the path of a study file.
        overrides: as on the command line: `["seed=0,1", "extensions=[./my_model.py]"]`.
        progress: print a line as each run is done.
        options: of `scaling.launch.study.run_study`, e.g. `retrain_changed=True`.

    Returns:
        The plan, every record of the study, and where the time went; `result.folder` is what
        `analysis.load_runs` reads.

    Raises:
        PlanError: listing every run that cannot be decided.
        Stopped: when interrupted; everything is saved, and the same call continues from there.

    Example:
        >>> result = run_study("demo", overrides=["model.params=1e4"])      # doctest: +SKIP
        >>> print(analysis.fit(result.folder))                              # doctest: +SKIP
    """
    plan = plan_study([f"study={study}", *overrides])
    observer = Progress(len(plan.runs)) if progress else StudyObserver()
    return train(plan, observer, **options)


class Progress(StudyObserver):
    """Prints one line per run, on a terminal and in a notebook alike."""

    def __init__(self, total: int, file: TextIO | None = None) -> None:
        self.total, self.done = total, 0
        self.file = file or sys.stdout

    def closed(self, id: str, summary: Mapping[str, Any]) -> None:
        if "run_id" not in summary:  # of a trunk
            return
        self.done += 1
        size = f"N {readable(summary['params'])}  D {readable(summary['tokens'])}"
        loss = summary["loss"]
        said = "diverged" if loss is None else f"loss {loss:.4f}"
        print(f"[{self.done}/{self.total}] {summary['family']}  {size}  {said}", file=self.file, flush=True)
