"""Held-out loss on a fixed set, with the error that sampling this set leaves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from scaling.data.dataset import Dataset
from scaling.data.layout import NOTHING, Batch, Ids
from scaling.training.objectives import OBJECTIVES, cross_entropy

STRETCHES = 32  # enough to know an error to an eighth
HELDOUT_KEY = 2**32 - 1  # seeds the masks of held-out rows, which are the same in every run


@dataclass(frozen=True)
class Evaluation:
    """A held-out loss."""

    loss: float  # [nats per predicted token]
    loss_se: float  # standard error of the mean
    bits_per_byte: float | None  # None where tokens are no text
    tokens: int  # predicted

    def numbers(self) -> dict[str, float]:
        """What a record holds of it; bits per byte where it has them."""
        found = {"loss": self.loss, "loss_se": self.loss_se, "tokens": self.tokens}
        return found if self.bits_per_byte is None else {**found, "bits_per_byte": self.bits_per_byte}


def mean_over_sets(found: Sequence[Evaluation]) -> Evaluation:
    """The plain mean of losses over sets, whatever their sizes, with its standard error."""
    bits = [one.bits_per_byte for one in found]
    return Evaluation(
        loss=sum(one.loss for one in found) / len(found),
        loss_se=math.sqrt(sum(one.loss_se**2 for one in found)) / len(found),
        bits_per_byte=sum(b for b in bits if b is not None) / len(bits) if None not in bits else None,
        tokens=sum(one.tokens for one in found),
    )


def evaluate(
    model: nn.Module, objective: str, rows: Iterable[Ids], dataset: Dataset, device: str
) -> Evaluation:
    """Mean cross-entropy over every predicted token of `rows`, each array (n, context + 1).

    The standard error is that of a ratio of sums, between stretches of neighbouring rows: losses within a row
    go together, and so do those of rows of one document or project.
    Source: Cochran 1977, Sampling Techniques, section 6.3, the ratio estimator.
    """
    sums: list[NDArray[np.float64]] = []
    weights: list[NDArray[np.float64]] = []
    tokens = 0
    text_bytes = 0
    for ids, batch, logits in predictions(model, objective, rows, dataset, device):
        predicted = batch.targets[batch.targets != NOTHING]
        tokens += len(predicted)
        text_bytes += int(dataset.token_bytes[predicted].sum())
        if dataset.truth is not None:
            found, weight = dataset.truth.losses(torch.log_softmax(logits.double(), -1).cpu().numpy(), ids)
            sums.append(found * weight)
            weights.append(weight)
        else:
            losses = cross_entropy(logits, torch.from_numpy(batch.targets).to(device))
            sums.append(losses.double().sum(dim=1).cpu().numpy())
            weights.append((batch.targets != NOTHING).sum(axis=1).astype(np.float64))
    s, n = np.concatenate(sums), np.concatenate(weights)
    loss = float(s.sum() / n.sum())
    return Evaluation(
        loss=loss,
        loss_se=0.0 if dataset.truth and dataset.truth.exact else _standard_error(s, n),
        bits_per_byte=float(s.sum()) / math.log(2) / text_bytes if text_bytes else None,
        tokens=tokens,
    )


def _standard_error(sums: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """Of sum(sums) / sum(weights), over rows in their order, or over `STRETCHES` of at least two rows."""
    residuals = sums - weights * sums.sum() / weights.sum()
    if len(residuals) >= 2 * STRETCHES:
        residuals = np.array([part.sum() for part in np.array_split(residuals, STRETCHES)])
    count = len(residuals)
    if count < 2:
        return math.nan
    return math.sqrt(float(residuals @ residuals) * count / (count - 1)) / float(weights.sum())


def predictions(
    model: nn.Module, objective: str, rows: Iterable[Ids], dataset: Dataset, device: str
) -> Iterator[tuple[Ids, Batch, Tensor]]:
    """Every held-out array with its batch and the model's logits (n, t, vocab), in evaluation mode."""
    arrange = OBJECTIVES[objective]
    model.eval()
    with torch.inference_mode():
        for index, ids in enumerate(rows):
            batch = arrange(ids, dataset.layout, (HELDOUT_KEY, index))
            yield ids, batch, model(*(torch.from_numpy(x).to(device) for x in batch.inputs))
    model.train()
