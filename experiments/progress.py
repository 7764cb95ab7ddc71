"""Progress over a whole study: a bar on a terminal, a line a run elsewhere."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from experiments.terminal import duration
from scaling.launch.estimate import Estimate
from scaling.launch.study import StudyObserver
from scaling.study.plan import Plan
from scaling.study.spec import RunSpec, Trunk, readable
from scaling.training.observer import Kind


class StudyProgress(StudyObserver):
    """Counts planned seconds, so that a step of a large model moves the bar as far as it takes.

    The time left is what is left of the plan, scaled by how the plan has held so far.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan  # as asked; `started` says which part is affordable
        self.runs: dict[str, tuple[Trunk, RunSpec]] = {}
        self.step_seconds: dict[str, float] = {}
        self.reached: dict[str, int] = {}
        self.done, self.total, self.passed = 0, 0.0, 0.0
        self.begin = time.monotonic()
        self.console = Console()
        self.bar: Progress | None = None
        self.task = TaskID(0)

    def started(self, estimate: Estimate) -> None:
        plan = estimate.plan
        self.begin = time.monotonic()
        self.runs = {run.id: (trunk, run) for trunk, run in plan.runs}
        self.reached = {run.id: run.branch_step for _, run in plan.runs}
        self.step_seconds = {
            id: step.median
            for trunk, step in zip(plan.trunks, estimate.times, strict=True)
            for id in (trunk.spec.id, *(run.id for run in trunk.runs))
        }
        self.done = sum(len(found.done) for found in estimate.found)
        self.total = sum(estimate.seconds)
        if len(plan.trunks) < len(self.plan.trunks):
            print(
                f"{plan.name}: max_flops={plan.config.max_flops:.3g} pays for {len(plan.runs)} of "
                f"{len(self.plan.runs)} runs; the others stay missing."
            )
        for line in estimate.there_already():
            print(f"{plan.name}: {line}")
        if self.console.is_terminal:
            shape = [BarColumn(bar_width=None), TextColumn("{task.percentage:>3.0f} %  {task.description}")]
            self.bar = Progress(*shape, console=self.console, transient=True)
            # Of a command nobody knows how long it takes.
            self.task = self.bar.add_task("starting", total=None if math.isnan(self.total) else self.total)
            self.bar.start()

    def trained(self) -> None:
        self._stop()
        if self.plan.config.tasks:
            print(f"{self.plan.name}: measuring {', '.join(self.plan.config.tasks)} …", flush=True)

    def __enter__(self) -> StudyProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        if self.bar:
            self.bar.stop()

    def opened(self, id: str, kind: Kind, config: Mapping[str, Any]) -> None:
        self._show(id)

    def logged(self, id: str, row: Mapping[str, Any]) -> None:
        if "train_loss" in row:
            self._reach(id, int(row["step"]))
            self._show(id)

    def closed(self, id: str, summary: Mapping[str, Any]) -> None:
        if id not in self.runs:  # a trunk
            return
        self.done += 1
        trunk, run = self.runs[id]
        ours = summary["study"] == self.plan.name
        if ours:
            self._reach(id, run.steps)
            self.passed += self.step_seconds[id] * run.evaluation_tokens / trunk.spec.batch_tokens / 3
        if summary["status"] == "done":
            error = "" if summary["loss_se"] is None else f" ± {summary['loss_se']:.4f}"
            result = f"loss {summary['loss']:.4f}{error}"
        else:
            result = f"diverged: {summary['reason']}"
        what = f"{trunk.spec.family} N {readable(summary['params']):>5}  D {readable(run.tokens):>5}"
        self.console.print(
            f"[{self.done:>{len(str(len(self.runs)))}}/{len(self.runs)}] {what}  {result}"
            + ("" if ours else f"  (from study {summary['study']})"),
            markup=False,
            highlight=False,
        )
        if self.bar is None:
            print(f"    {self._times()}", flush=True)

    def _reach(self, id: str, step: int) -> None:
        """Not every step is told of, and a resumed trunk starts in the middle."""
        self.passed += (step - self.reached.get(id, step - 1)) * self.step_seconds[id]
        self.reached[id] = step

    def _show(self, id: str) -> None:
        if self.bar:
            self.bar.update(
                self.task,
                completed=0 if math.isnan(self.passed) else self.passed,
                description=f"{self._times()}  {id}",
            )

    def _times(self) -> str:
        elapsed = time.monotonic() - self.begin
        if not self.passed > 0:
            return f"{duration(elapsed)} so far"
        left = max(self.total - self.passed, 0) * elapsed / self.passed
        return f"{duration(elapsed)} so far, about {duration(left)} left"
