"""The state of a training run: model, optimizer and step, and the step that moves them."""

from __future__ import annotations

from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor, nn

from scaling.data.layout import NOTHING, Batch, Ids
from scaling.models import Shape, get_family
from scaling.models.blocks import set_compute_dtype
from scaling.study.spec import TrunkSpec
from scaling.training.device import Arithmetic
from scaling.training.objectives import LOSSES


class State:
    """Everything that a step changes. Randomness is spent on the initial weights only.

    Batches come from (seed, step), rates from the step: so a checkpoint is weights, optimizer and step, and
    a resumed run cannot differ from an untouched one.
    """

    def __init__(self, spec: TrunkSpec, arithmetic: Arithmetic) -> None:
        self.spec = spec
        self.arithmetic = arithmetic
        self.step = 0
        family = get_family(spec.family)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(spec.seed)
            model = family.build(Shape(spec.width, spec.depth), spec.data.vocab, spec.data.context)
        self.loss = LOSSES[spec.loss]
        self.model = model.to(arithmetic.device)
        set_compute_dtype(self.model, arithmetic.compute_dtype)
        self.optimizer = make_optimizer(self.model, spec)

    def train_step(self, batch: Batch, rate: float) -> tuple[Tensor, Tensor]:
        """One optimizer step: mean training loss per predicted token, and the gradient's norm."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        predicted = int((batch.targets != NOTHING).sum())
        total = torch.zeros((), device=self.arithmetic.device)
        for part in batch.split(self.spec.microbatch):
            logits = self.model(*(self._move(x) for x in part.inputs))
            loss = self.loss(logits, self._move(part.targets)).sum() / predicted
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.spec.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        return total, norm

    def _move(self, ids: Ids) -> Tensor:
        tokens = torch.from_numpy(np.ascontiguousarray(ids))
        if self.arithmetic.device == "cpu":
            return tokens
        return tokens.pin_memory().to(self.arithmetic.device, non_blocking=True)

    def save(self, file: BinaryIO, extra: dict[str, Any]) -> None:
        """Write a checkpoint; `extra` is plain data that must go back in time with it."""
        content = {
            "step": self.step,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "extra": extra,
        }
        torch.save(content, file)

    def restore(self, content: dict[str, Any]) -> dict[str, Any]:
        """Become the state that was saved; returns its `extra`."""
        self.model.load_state_dict(content["model"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.step = content["step"]
        return dict(content["extra"])


def read_checkpoint(file: BinaryIO) -> dict[str, Any]:
    """What `State.save` wrote. Runs no code from the file."""
    return dict(torch.load(file, weights_only=True, map_location="cpu"))


def make_optimizer(model: nn.Module, spec: TrunkSpec) -> torch.optim.AdamW:
    """AdamW, fused; matrices decay, gains do not.

    Source: Loshchilov & Hutter 2019 (arXiv:1711.05101), decoupled weight decay, scaled by the rate.
    """
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    rest = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": spec.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=spec.learning_rate, betas=(spec.beta1, spec.beta2), fused=True)
