"""The callbacks of other people's loops: a study of two sizes each, with a restart."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from scaling.records.record import read_study

IDS = torch.randint(0, 16, (32, 9), generator=torch.Generator().manual_seed(0))


def test_a_hugging_face_trainer_leaves_records(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    from scaling.trainers.huggingface import RecordCallback

    warnings.simplefilter("ignore")  # theirs
    rows = [{"input_ids": row, "labels": row} for row in IDS]

    def train(width: int) -> int:
        torch.manual_seed(0)
        config = transformers.GPT2Config(vocab_size=16, n_positions=16, n_embd=width, n_layer=2, n_head=2)
        model = transformers.GPT2LMHeadModel(config)
        args = transformers.TrainingArguments(
            str(tmp_path / f"out{width}"), max_steps=6, per_device_train_batch_size=4, logging_steps=2,
            eval_strategy="steps", eval_steps=3, report_to=[], use_cpu=True, disable_tqdm=True,
        )  # fmt: skip
        record = RecordCallback(str(tmp_path / "mine"), arm="gpt2", tokens_per_example=9, depth=2)
        loop = transformers.Trainer(
            model, args, train_dataset=rows, eval_dataset=rows[:8], callbacks=[record]
        )
        loop.train()
        return int(loop.state.global_step)

    assert [train(16), train(32)] == [6, 6]
    records = read_study(tmp_path / "mine").done
    assert {(r.tokens, r.batch_tokens, r.steps, r.seed) for r in records} == {(6 * 36, 36, 6, 42)}
    assert {r.spec["optimizer"].partition("_")[0] for r in records} == {"adamw"}
    assert len({r.params for r in records}) == 2
    assert train(16) <= 1  # it is done
    assert read_study(tmp_path / "mine").done == records


def test_a_lightning_trainer_leaves_records(tmp_path: Path) -> None:
    lightning = pytest.importorskip("lightning")
    from scaling.trainers.lightning import RecordCallback

    warnings.simplefilter("ignore")  # theirs

    class Model(lightning.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self, width: int) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Embedding(16, width), nn.Linear(width, 16))

        def loss(self, ids: Any) -> Any:
            return nn.functional.cross_entropy(self.net(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())

        def training_step(self, batch: Any, index: int) -> Any:
            loss = self.loss(batch)
            self.log("train_loss", loss)
            return loss

        def validation_step(self, batch: Any, index: int) -> None:
            self.log("val_loss", self.loss(batch))

        def configure_optimizers(self) -> Any:
            return torch.optim.AdamW(self.parameters(), 1e-2)

    def train(width: int, **more: Any) -> int:
        torch.manual_seed(0)
        loader = torch.utils.data.DataLoader(IDS, batch_size=4)  # type: ignore[arg-type]
        asked = {"arm": "linear", "params": 16 * width, "tokens_per_batch": 32, **more}
        record = RecordCallback(str(tmp_path / "mine"), **asked)
        loop = lightning.Trainer(
            max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, callbacks=[record], num_sanity_val_steps=0,
        )  # fmt: skip
        loop.fit(Model(width), loader, loader)
        return int(loop.global_step)

    assert [train(8), train(16)] == [16, 16]
    records = read_study(tmp_path / "mine").done
    assert sorted(r.params for r in records) == [128, 256]
    assert {(r.tokens, r.steps) for r in records} == {(16 * 32, 16)}
    assert train(8) <= 8  # it is done
    assert read_study(tmp_path / "mine").done == records
    with pytest.raises(ValueError, match="has logged no 'nll'"):
        train(24, heldout="nll")
    (failure,) = read_study(tmp_path / "mine").failures.values()
    assert "has logged no 'nll'" in failure.message
