"""A callback for the `Trainer` of Lightning: its runs become records. Extra: `lightning`."""

from __future__ import annotations

import traceback
from typing import Any

from lightning.pytorch import Callback

from scaling.records.storage import record_failure
from scaling.trainers.open_run import OpenRun, open_run


class RecordCallback(Callback):  # type: ignore[misc]  # no types without the extra
    """Records one run of a `Trainer`: its curve, and in the end its held-out loss.

        >>> from scaling.trainers.lightning import RecordCallback  # doctest: +SKIP
        >>> settings = {"arm": "mamba", "params": 1.2e6, "tokens_per_batch": 8192}
        >>> record = RecordCallback("runs/mine", **settings)  # doctest: +SKIP
        >>> trainer = lightning.Trainer(…, callbacks=[record])  # doctest: +SKIP
        >>> trainer.fit(model, train_loader, val_loader)  # doctest: +SKIP

    A run with a record is not trained again. Give `ckpt_path` as always to go on from a checkpoint.

    Args:
        folder: of the study, e.g. runs/mine.
        arm: what is compared.
        params: non-embedding parameters.
        tokens_per_batch: of one step, over all devices and accumulated batches.
        heldout: the metric that `validation_step` logs, in nats per token.
        settings: anything else that tells runs apart; `seed=` too.
    """

    def __init__(
        self,
        folder: str,
        *,
        arm: str,
        params: float,
        tokens_per_batch: int,
        heldout: str = "val_loss",
        training: str = "train_loss",
        **settings: Any,
    ) -> None:
        self.tokens_per_batch, self.heldout, self.training = tokens_per_batch, heldout, training
        self.asked = {"arm": arm, "params": params, "batch_tokens": tokens_per_batch, **settings}
        self.folder = folder
        self.run: OpenRun | None = None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Open the run; one that is done is not trained."""
        if trainer.is_global_zero:
            self.run = open_run(self.folder, **self.asked).__enter__()
            trainer.should_stop = trainer.should_stop or self.run.done

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write the training loss."""
        if self.run is None or self.run.done or trainer.global_step <= (self.run.step or 0):
            return
        loss = trainer.callback_metrics.get(self.training)
        values = {} if loss is None else {"train_loss": loss}
        self.run.log(tokens=self._tokens(trainer), step=trainer.global_step, **values)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Write the held-out loss."""
        loss = trainer.callback_metrics.get(self.heldout)
        if self.run is None or self.run.done or trainer.sanity_checking or loss is None:
            return
        self.run.log(tokens=self._tokens(trainer), step=trainer.global_step, loss=loss)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Commit the record.

        Raises:
            ValueError: where nothing was validated.
        """
        if self.run is None:
            return
        loss = trainer.callback_metrics.get(self.heldout)
        if not self.run.done and loss is None:
            raise ValueError(
                f"heldout: validation_step has logged no {self.heldout!r}; there are "
                f"{', '.join(sorted(trainer.callback_metrics)) or 'none'}."
            )
        if not self.run.done:
            self.run.finish(loss=loss, tokens=self._tokens(trainer))
        self._close()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Note why there is no record."""
        if self.run is not None and not self.run.done and isinstance(exception, Exception):
            text = "".join(traceback.format_exception(exception))
            record_failure(self.run.folder, self.run.attempt, "exception", text)
        self._close()

    def _tokens(self, trainer: Any) -> int:
        return int(trainer.global_step) * self.tokens_per_batch

    def _close(self) -> None:
        if self.run is not None:
            self.run.close()
            self.run = None
