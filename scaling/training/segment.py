"""A stretch of training in one folder: resumable, logged, checkpointed. Trunks and cooldowns alike."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection
from pathlib import Path

import torch
from torch import Tensor

from scaling.data.layout import Batch
from scaling.records.storage import MetricsLog, load_checkpoint, save_checkpoint
from scaling.training import stop
from scaling.training.evaluate import Evaluation
from scaling.training.observer import Observer
from scaling.training.state import TrainState, read_checkpoint

CHECKPOINT_SECONDS = 60.0
FLUSH_STEPS = 16  # losses stay on the device this long, so that a GPU is not waited for at every step


class Diverged(Exception):
    """Loss or gradient stopped being a number."""


class Segment:
    """One folder's `checkpoints/` and `metrics.jsonl`, and the state that they are of."""

    def __init__(
        self,
        state: TrainState,
        folder: Path,
        *,
        id: str,
        batch: Callable[[int], Batch],
        rate: Callable[[int], float],
        flops_per_token: float,
        observer: Observer,
        curve: Callable[[], Evaluation] | None = None,
        curve_steps: Collection[int] = (),
    ) -> None:
        self.state = state
        self.folder = folder
        self.id = id
        self.batch = batch
        self.rate = rate
        self.flops_per_token = flops_per_token
        self.observer = observer
        self.curve = curve
        self.curve_steps = frozenset(curve_steps)
        self.seconds = 0.0  # of all attempts, up to the state's step
        self.before = 0.0  # of a trunk, for the run that branches off it here
        self.log = MetricsLog(folder / "metrics.jsonl")
        self._pending: list[tuple[int, float, Tensor, Tensor]] = []

    def resume(self, at_most: int | None = None) -> bool:
        """Go back to the newest believable checkpoint not past `at_most`; False where there is none.

        What was logged after it is forgotten.
        """
        found = load_checkpoint(self.folder, read_checkpoint, at_most)
        while found is not None and found[1]["extra"]["metrics_offset"] > self.log.offset:
            # Training went back to an earlier branch after this one was saved, and cut its lines off.
            found = load_checkpoint(self.folder, read_checkpoint, found[0] - 1)
        self._pending.clear()
        if found is None:
            self.log.truncate(0)
            return False
        extra = self.state.restore(found[1])
        self.log.truncate(extra["metrics_offset"])
        self.seconds = extra["seconds"]
        self.before = extra.get("before", self.before)
        return True

    def save(self) -> None:
        """Commit the state and everything logged before it."""
        extra = {"metrics_offset": self.log.sync(), "seconds": self.seconds, "before": self.before}
        save_checkpoint(self.folder, self.state.step, lambda file: self.state.save(file, extra))

    def advance(self, until: int) -> None:
        """Train up to step `until`, and save there.

        Raises:
            Diverged: naming the step.
            Stopped: when asked to stop; the step is saved.
        """
        if self.state.step == until:
            return
        before, saved = self.seconds, time.monotonic()
        started = saved
        while self.state.step < until:
            step = self.state.step
            rate = self.rate(step)
            loss, norm = self.state.train_step(self.batch(step), rate)
            self._pending.append((self.state.step, rate, loss, norm))
            if self.state.step % FLUSH_STEPS == 0 or self.state.step == until:
                self._flush()
            if self.curve is not None and self.state.step in self.curve_steps:
                self._flush()
                self._log_evaluation(self.curve())
            now = time.monotonic()
            self.seconds = before + now - started
            if stop.requested():
                self._flush()
                self.save()
                raise stop.Stopped(f"{self.id}: saved at step {self.state.step}")
            if now - saved > CHECKPOINT_SECONDS and self.state.step < until:
                self._flush()
                self.save()
                saved = time.monotonic()
        self.save()

    def _flush(self) -> None:
        if not self._pending:
            return
        values = torch.stack([torch.stack((loss, norm)) for _, _, loss, norm in self._pending]).tolist()
        for (step, rate, _, _), (loss, norm) in zip(self._pending, values, strict=True):
            self._write(
                {**self._axes(step), "train_loss": loss, "gradient_norm": norm, "learning_rate": rate}
            )
            if not (math.isfinite(loss) and math.isfinite(norm)):
                self._pending.clear()
                raise Diverged(f"training loss {loss}, gradient norm {norm} at step {step}")
        self._pending.clear()

    def _log_evaluation(self, found: Evaluation) -> None:
        self._write({**self._axes(self.state.step), "loss": found.loss, "loss_se": found.loss_se})

    def _axes(self, step: int) -> dict[str, float]:
        tokens = self.state.spec.tokens(step)
        return {"step": step, "tokens": tokens, "flops": tokens * self.flops_per_token}

    def _write(self, row: dict[str, float]) -> None:
        self.log.append(row)
        self.observer.logged(self.id, row)
