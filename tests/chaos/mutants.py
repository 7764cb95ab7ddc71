"""Ways to get resuming wrong that a kill must bring to light, each a change of the trainer's code."""

from __future__ import annotations

import hashlib
import io
import itertools
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scaling.records.storage import metrics
from scaling.training import segment
from scaling.training.segment import Segment
from scaling.training.state import LocalState
from scaling.training.train import _Attempt
from tests.chaos.trainer import Board, Change


def forget_the_position(board: Board) -> None:
    """Batches are counted from the start of the process."""
    count = itertools.count()
    batch = _Attempt._batch
    _Attempt._batch = lambda self, step: batch(self, next(count))  # type: ignore[method-assign]


def forget_the_generator(board: Board) -> None:
    """Batches are drawn by a generator that starts again with the process."""
    rng = random.Random(0)
    batch = _Attempt._batch
    _Attempt._batch = lambda self, step: batch(self, rng.randrange(1000))  # type: ignore[method-assign]


def forget_the_optimizer(board: Board) -> None:
    def restore(self: LocalState, content: dict[str, Any]) -> dict[str, Any]:
        self.model.load_state_dict(content["model"])
        self.step = content["step"]
        return dict(content["extra"])

    LocalState.restore = restore  # type: ignore[method-assign]


def forget_the_weights_of_one_layer(board: Board) -> None:
    """As `strict=False` does when a name has changed."""

    def restore(self: LocalState, content: dict[str, Any]) -> dict[str, Any]:
        kept = dict(list(content["model"].items())[:-1])
        self.model.load_state_dict(kept, strict=False)
        self.optimizer.load_state_dict(content["optimizer"])
        self.step = content["step"]
        return dict(content["extra"])

    LocalState.restore = restore  # type: ignore[method-assign]


def shift_the_rate(board: Board) -> None:
    """After a resume the learning rate is that of the step after."""
    resume = Segment.resume

    def shifted(self: Segment, at_most: int | None = None) -> bool:
        found = resume(self, at_most)
        if found:
            rate = self.rate
            self.rate = lambda step: rate(step + 1)
        return found

    Segment.resume = shifted  # type: ignore[method-assign]


def keep_the_tail(board: Board) -> None:
    """Metrics after the checkpoint are not cut off."""
    metrics.MetricsLog.truncate = lambda self, offset: None  # type: ignore[method-assign]


def save_in_place(board: Board) -> None:
    """Around the storage: straight under the final name, as `torch.save(state, path)` writes."""
    keep_counting: Callable[..., Path] = segment.save_checkpoint

    def save(folder: Path, step: int, write: Any, keep: int = 2) -> Path:
        content = io.BytesIO()
        write(content)
        data = content.getvalue()
        home = folder / "checkpoints"
        home.mkdir(exist_ok=True)
        path = home / f"step-{step:08d}-{hashlib.sha256(data).hexdigest()[:32]}.pt"
        with path.open("wb") as file:
            for start in range(0, len(data), 4096):
                file.write(data[start : start + 4096])
                file.flush()
                time.sleep(0.0002)  # a disk that is slower than this one
        return keep_counting(folder, step, lambda file: file.write(data), keep)

    segment.save_checkpoint = save  # type: ignore[assignment]


def leave_temporary_files(board: Board) -> None:
    from scaling.training import train

    train.sweep_temps = lambda folder: 0  # type: ignore[assignment]


MUTANTS: dict[str, Change] = {
    change.__name__: change
    for change in (
        forget_the_position,
        forget_the_generator,
        forget_the_optimizer,
        forget_the_weights_of_one_layer,
        shift_the_rate,
        keep_the_tail,
        save_in_place,
        leave_temporary_files,
    )
}
