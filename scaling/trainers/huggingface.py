"""A callback for the `Trainer` of transformers: its runs become records. Extra: `hf-trainer`."""

from __future__ import annotations

import logging
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from scaling.trainers.open_run import OpenRun, open_run

logger = logging.getLogger(__name__)


class RecordCallback(TrainerCallback):  # type: ignore[misc]  # no types without the extra
    """Records one run of a `Trainer`: its curve, and at the last evaluation its held-out loss.

        >>> from scaling.trainers.huggingface import RecordCallback  # doctest: +SKIP
        >>> record = RecordCallback("runs/mine", arm="gpt2", tokens_per_example=1024)  # doctest: +SKIP
        >>> trainer = Trainer(model, args, …, callbacks=[record])  # doctest: +SKIP
        >>> trainer.train()  # doctest: +SKIP
        >>> trainer.evaluate()  # doctest: +SKIP

    The loss is the `eval_loss` of the first evaluation at the last step, by `eval_strategy` or by
    `trainer.evaluate()`. A run with a record is not trained again. Give `resume_from_checkpoint` as always.

    Args:
        folder: of the study, e.g. runs/mine.
        arm: what is compared.
        tokens_per_example: of the training set, e.g. the length of its blocks.
        params: non-embedding parameters; by default counted on the model.
        settings: anything else that tells runs apart.
    """

    def __init__(
        self, folder: str, *, arm: str, tokens_per_example: int, params: float | None = None, **settings: Any
    ) -> None:
        self.folder, self.arm, self.params, self.settings = folder, arm, params, settings
        self.tokens_per_example = tokens_per_example
        self.batch_tokens = 0
        self.run: OpenRun | None = None

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: Any = None,
        **_: Any,
    ) -> None:
        """Open the run; one that is done is not trained."""
        if not state.is_world_process_zero:
            return
        examples = args.per_device_train_batch_size * args.gradient_accumulation_steps * args.world_size
        self.batch_tokens = examples * self.tokens_per_example
        asked = {
            "params": self.params or model.num_parameters(exclude_embeddings=True),
            "params_total": model.num_parameters(),
            "seed": args.seed,
            "tokens": state.max_steps * self.batch_tokens,
            "batch_tokens": self.batch_tokens,
            "learning_rate": args.learning_rate or None,
            "weight_decay": args.weight_decay,
            "optimizer": str(getattr(args.optim, "value", args.optim)),
            "schedule": str(getattr(args.lr_scheduler_type, "value", args.lr_scheduler_type)),
        }
        self.run = open_run(self.folder, arm=self.arm, **{**asked, **self.settings}).__enter__()
        if self.run.done:
            logger.warning("%s: has a record already; not trained again", self.run.id)
            control.should_training_stop = True

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Write the training loss and the rate."""
        if self.run is None or self.run.done or not logs or "loss" not in logs:
            return
        rate = {"learning_rate": logs["learning_rate"]} if "learning_rate" in logs else {}
        tokens = state.global_step * self.batch_tokens
        self.run.log(tokens=tokens, step=state.global_step, train_loss=logs["loss"], **rate)

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Put the curve on the disk with the checkpoint."""
        if self.run is not None:
            self.run.sync()

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Write the held-out loss; that of the last step is the result."""
        if self.run is None or self.run.done or "eval_loss" not in (metrics or {}):
            return
        loss, tokens = (metrics or {})["eval_loss"], state.global_step * self.batch_tokens
        self.run.log(tokens=tokens, step=state.global_step, loss=loss)
        if state.global_step >= state.max_steps:
            self.run.finish(loss=loss)
            self.run.close()

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Say that a result is still needed."""
        if self.run is not None and not self.run.done:
            self.run.sync()
            logger.warning("%s: trained; trainer.evaluate() gives its result", self.run.id)
