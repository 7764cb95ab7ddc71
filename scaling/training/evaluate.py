"""Held-out loss on a fixed set, with the error that sampling this set leaves."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from scaling.training.objectives import Objective


@dataclass(frozen=True)
class Evaluation:
    """A held-out loss."""

    loss: float  # [nats/token]
    loss_se: float  # standard error of the mean over sequences
    bits_per_byte: float
    tokens: int


def evaluate(
    model: nn.Module,
    objective: Objective,
    batches: Iterable[NDArray[np.int64]],
    token_bytes: NDArray[np.int64],
    device: str,
) -> Evaluation:
    """Mean loss over every predicted token of `batches`, each (n, t + 1).

    The standard error treats sequences as independent, not tokens: losses within a sequence go together.
    """
    model.eval()
    per_sequence: list[float] = []
    tokens = 0
    text_bytes = 0
    with torch.inference_mode():
        for batch in batches:
            losses, targets = objective(model, torch.from_numpy(batch).to(device))
            per_sequence.extend(losses.double().mean(dim=1).tolist())
            tokens += targets.numel()
            text_bytes += int(token_bytes[targets.cpu().numpy()].sum())
    model.train()
    values = np.array(per_sequence)
    loss = float(values.mean())
    return Evaluation(
        loss=loss,
        loss_se=float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.nan,
        bits_per_byte=loss * tokens / math.log(2) / text_bytes,
        tokens=tokens,
    )
