"""`tracking=tensorboard`: event files in `tensorboard/` of the study's folder, against tokens.

Look at them with `tensorboard --logdir runs/STUDY/tensorboard`. As with W&B: whatever happens here, training
goes on.
"""

from __future__ import annotations

import importlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from scaling.launch.described import describe_all
from scaling.launch.mirror import last_row
from scaling.records.storage import own_folder
from scaling.records.thinning import Thinning
from scaling.records.tracking import MIN_INTERVAL, display_name
from scaling.study.spec import Trunk
from scaling.training.observer import Kind, Observer

FOLDER = "tensorboard"
QUEUE = 10_000  # events that may wait for the disk
AXES = ("step", "tokens", "flops")

logger = logging.getLogger(__name__)


class TensorBoard(Observer):
    """One log a trunk and a run.

    Raises:
        ModuleNotFoundError: without the package tensorboard, naming the extra that installs it.
    """

    def __init__(self, folder: Path, trunks: Iterable[Trunk]) -> None:
        try:
            self.make_writer = importlib.import_module("torch.utils.tensorboard").SummaryWriter
        except ImportError as error:
            raise ModuleNotFoundError(
                "tracking=tensorboard needs the package tensorboard: "
                "pip install 'scaling-harness[tensorboard]'."
            ) from error
        self.study = folder
        self.described = describe_all(trunks)
        self.writers: dict[str, Any] = {}  # of runs that have logged
        self.thinning: dict[str, Thinning] = {}
        self.broken = False

    def opened(self, id: str, kind: Kind, config: Mapping[str, Any]) -> None:
        self.thinning[id] = Thinning(MIN_INTERVAL, self.described[id].steps)

    def logged(self, id: str, row: Mapping[str, Any]) -> None:
        if self.thinning[id].shows(row, time.monotonic()):
            self._guarded(lambda: self._write(id, row))

    def closed(self, id: str, summary: Mapping[str, Any]) -> None:
        self.thinning.pop(id, None)
        if id in self.writers:
            self._guarded(lambda: self._close(id, summary))

    def _write(self, id: str, row: Mapping[str, Any]) -> None:
        tokens = int(row["tokens"])
        if id not in self.writers:
            place = own_folder(own_folder(self.study, FOLDER), id)
            # What a killed attempt logged from here on is logged again: purge_step hides the first copy.
            self.writers[id] = self.make_writer(str(place), purge_step=tokens, max_queue=QUEUE)
        for key, value in row.items():
            if key not in AXES and value is not None:
                self.writers[id].add_scalar(display_name(key), value, tokens)

    def _close(self, id: str, summary: Mapping[str, Any]) -> None:
        last = last_row(summary)
        if last:
            self._write(id, last)
        shown = {k: v for k, v in self.described[id].config.items() if isinstance(v, int | float | str)}
        measured = {"eval/loss": last["loss"]} if last else {}
        self.writers[id].add_hparams(shown, measured, run_name=".")
        self.writers.pop(id).close()

    def _guarded(self, act: Callable[[], None]) -> None:
        if self.broken:
            return
        try:
            act()
        except Exception as error:
            self.broken = True
            logger.warning(
                "TensorBoard: nothing more is written (%s: %s). Training goes on; records and metrics are "
                "complete.",
                type(error).__name__,
                error,
            )
