"""Progress over a whole study: a bar on a terminal, one line per run elsewhere."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from experiments.plan_text import headline, unaffordable
from experiments.terminal import discard_output, duration, printable
from experiments.time_left import TimeLeft
from scaling.launch.study import StudyObserver
from scaling.study.plan import Plan
from scaling.study.spec import RunSpec, Trunk, readable
from scaling.training.observer import Kind

if TYPE_CHECKING:
    from scaling.launch.estimate import Estimate

SHORTEST = 1.0  # seconds of what was left at a tenth of the work; below, how far off it was says nothing
# What a line of a run names where trunks of one shape differ in it, and the attribute of their specs.
TOLD = {"": "optimizer", "rate": "learning_rate", "decay": "weight_decay", "seed": "seed"}
REFRESH = 0.1  # seconds between two looks at the bar

logger = logging.getLogger(__name__)


class StudyProgress(StudyObserver):
    """Counts planned seconds, so that a step of a large model moves the bar as far as it takes."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan  # as asked; `started` says which part is affordable
        self.runs: dict[str, tuple[Trunk, RunSpec]] = {}
        self.trunks: dict[str, Trunk] = {}
        self.labels: dict[str, str] = {}
        self.step_seconds: dict[str, float] = {}
        self.reached: dict[str, int] = {}
        self.done = 0
        self.known = True  # how long it takes: of a command nobody knows
        self.left = TimeLeft({}, 1, (1.0, 1.0))
        self.begin, self.shown, self.ended = time.monotonic(), 0.0, 0.0
        self.console = Console()
        self.bar: Progress | None = None
        self.task = TaskID(0)
        self.heard = True  # until nobody reads any more what is printed

    def started(self, estimate: Estimate) -> None:
        plan = estimate.plan
        self.begin = time.monotonic()
        self.runs = {run.id: (trunk, run) for trunk, run in plan.runs}
        self.trunks = {trunk.spec.id: trunk for trunk in plan.trunks}
        self.labels = label_trunks(plan.trunks)
        self.reached = {run.id: run.branch_step for _, run in plan.runs}
        self.step_seconds = {
            id: step.median
            for trunk, step in zip(plan.trunks, estimate.times, strict=True)
            for id in (trunk.spec.id, *(run.id for run in trunk.runs))
        }
        self.done = sum(len(found.done) for found in estimate.found)
        ids = [trunk.spec.id for trunk in plan.trunks]
        planned = dict(zip(ids, estimate.seconds, strict=True))
        self.known = not math.isnan(sum(planned.values()))
        self.left = TimeLeft(planned if self.known else {}, estimate.share.workers, estimate.spread)
        for line in (
            headline(estimate),
            *unaffordable(self.plan, plan),
            *estimate.there_already(),
            *estimate.crowded(),
        ):
            self._say(line)  # before the first step, also into a pipe
        if self.console.is_terminal:
            shape = [BarColumn(bar_width=None), TextColumn("{task.percentage:>3.0f} %  {task.description}")]
            self.bar = Progress(*shape, console=self.console, transient=True)
            total = self.left.total if self.known else None  # nobody knows how long a command takes
            self.task = self.bar.add_task("starting", total=total)
            self.bar.start()

    def trained(self) -> None:
        self._stop()
        self.ended = time.monotonic()
        if self.plan.config.tasks:
            self._say(f"{self.plan.name}: measuring {', '.join(self.plan.config.tasks)} …")

    def __enter__(self) -> StudyProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        if self.bar:
            with suppress(OSError):  # of a terminal that is closed
                self.bar.stop()

    def _say(self, line: str) -> None:
        """Print a line. Where that fails, e.g. into a pipe without a reader, training goes on."""
        if not self.heard:
            return
        try:
            if self.bar:
                self.console.print(line, markup=False, highlight=False)
            else:
                print(line, flush=True)
        except (OSError, SystemExit) as error:  # Rich exits where a pipe breaks
            self.heard = False
            discard_output()
            if not isinstance(error, BrokenPipeError | SystemExit):  # a reader that has left knows
                logger.warning("nothing more is printed (%s); training goes on", error)

    def opened(self, id: str, kind: Kind, config: Mapping[str, Any]) -> None:
        self._show(id)

    def logged(self, id: str, row: Mapping[str, Any]) -> None:
        if "train_loss" in row:
            self._reach(id, int(row["step"]))
        elif id in self.trunks:
            self._evaluated(id, self.trunks[id].curve_tokens)
        self._show(id)

    def closed(self, id: str, summary: Mapping[str, Any]) -> None:
        if id not in self.runs:
            self.left.end(id, time.monotonic())
            return
        self.done += 1
        trunk, run = self.runs[id]
        ours = summary["study"] == self.plan.name
        if ours:
            self._reach(id, run.steps)
            self._evaluated(id, run.evaluation_tokens)
        if summary["status"] == "done":
            error = "" if summary["loss_se"] is None else f" ± {summary['loss_se']:.4f}"
            result = f"loss {summary['loss']:.4f}{error}"
        else:
            result = f"diverged: {summary['reason']}"
        what = f"{self.labels[trunk.spec.id]} N {readable(summary['params']):>5}  D {readable(run.tokens):>5}"
        self._say(
            f"[{self.done:>{len(str(len(self.runs)))}}/{len(self.runs)}] {what}  {result}"
            + ("" if ours else f"  (from study {printable(str(summary['study']))})")
        )
        if self.bar is None:
            self._say(f"    {self._times()}")

    def error(self) -> list[str]:
        """A line on how far off the time left was at a tenth of the work, once all is trained."""
        if self.left.said is None or not self.ended or self.left.said[0] >= self.ended:
            return []
        then, said = self.left.said
        took = self.ended - then
        if took < SHORTEST:
            return []
        return [
            f"time left at a tenth of the work: {duration(said)} estimated, {duration(took)} taken"
            f" ({took / said - 1:+.0%})"
        ]

    def _reach(self, id: str, step: int) -> None:
        """Not every step is told of, and a resumed trunk starts in the middle."""
        self._train(id, (step - self.reached.get(id, step - 1)) * self.step_seconds[id])
        self.reached[id] = step

    def _evaluated(self, id: str, tokens: int) -> None:
        """A forward pass is a third of a step."""
        trunk = self.trunks[id] if id in self.trunks else self.runs[id][0]
        self._train(id, self.step_seconds[id] * tokens / trunk.spec.batch_tokens / 3)

    def _train(self, id: str, seconds: float) -> None:
        if not self.known:
            return
        trunk = id if id in self.trunks else self.runs[id][0].spec.id
        self.left.train(trunk, seconds, time.monotonic())

    def _show(self, id: str) -> None:
        now = time.monotonic()
        if self.bar and now - self.shown > REFRESH:
            self.shown = now
            self.bar.update(self.task, completed=self.left.passed, description=f"{self._times()}  {id}")

    def _times(self) -> str:
        now = time.monotonic()
        if not self.known or self.done == len(self.runs):
            return f"{duration(now - self.begin)} so far"
        least, most = map(duration, self.left.range(now))
        left = f"about {least}" if least == most else f"{least} to {most}"
        return f"{duration(now - self.begin)} so far, {left} left"


def label_trunks(trunks: Sequence[Trunk]) -> dict[str, str]:
    """The family of each trunk, and what else tells it from trunks of its family and shape."""
    alike: dict[tuple[object, ...], list[Trunk]] = {}
    for trunk in trunks:
        alike.setdefault((trunk.spec.family, trunk.spec.shape), []).append(trunk)
    varied = [
        (name, attribute)
        for name, attribute in TOLD.items()
        if any(len({getattr(t.spec, attribute) for t in group}) > 1 for group in alike.values())
    ]
    return {
        trunk.spec.id: " ".join(
            [trunk.spec.family, *(f"{name} {getattr(trunk.spec, key)}".strip() for name, key in varied)]
        )
        for trunk in trunks
    }
