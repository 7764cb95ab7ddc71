"""A copy of a model with one more layer on its features, so that every family can be fine-tuned."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from scaling.capability.finished import Subject
from scaling.capability.likelihood import pad
from scaling.data.layout import NOTHING
from scaling.models.derived import add_low_rank

Inputs = tuple[list[int], ...]  # a row as the model's arguments


class Reader(nn.Module):
    """A copy of the model, and a linear layer on what its output layer reads."""

    def __init__(self, subject: Subject, outputs: int, lora: int | None = None) -> None:
        super().__init__()
        self.subject = subject
        head = getattr(subject.model, "head", None)
        if not isinstance(head, nn.Linear) or not callable(getattr(subject.model, "features", None)):
            raise ValueError(
                "fine-tuning reads what the output layer reads: it needs a model with features(ids) and a "
                "linear layer `head`."
            )
        self.model = copy.deepcopy(subject.model).train()
        if lora is not None:
            add_low_rank(self.model, lora)
        self.layer = nn.Linear(head.in_features, outputs).to(subject.device)
        nn.init.zeros_(self.layer.weight)

    def trained(self) -> Iterator[nn.Parameter]:
        """The parameters that fine-tuning moves."""
        return (parameter for parameter in self.parameters() if parameter.requires_grad)

    def features(self, rows: Sequence[Inputs]) -> tuple[Tensor, Tensor]:
        """What the output layer reads of the last argument (rows, t, width), and where no padding is."""
        inputs = [pad([row[k] for row in rows], self.subject.device) for k in range(len(rows[0]))]
        seen = inputs[-1] != NOTHING
        if self.subject.objective == "causal":
            inputs = [x.clamp(min=0) for x in inputs]
        features: Tensor = self.model.features(*inputs).float()  # type: ignore[operator]
        return features, seen

    def of_each(self, rows: Sequence[Inputs]) -> Tensor:
        """Outputs of every token (rows, t, outputs)."""
        return self.layer(self.features(rows)[0])  # type: ignore[no-any-return]

    def forward(self, rows: Sequence[Inputs]) -> Tensor:
        """Outputs of the mean over a row's tokens (rows, outputs)."""
        features, seen = self.features(rows)
        weights = seen.unsqueeze(-1)
        return self.layer((features * weights).sum(1) / weights.sum(1))  # type: ignore[no-any-return]


def encode_row(subject: Subject, ids: Sequence[int]) -> Inputs:
    """Ids as a model's arguments: of an encoder-decoder, the first half is the source."""
    ids = list(ids[: subject.context])
    if subject.objective != "seq2seq":
        return (ids,)
    half = max(1, min(subject.context, len(ids)) // 2)
    return ids[:half], ids[half:] or ids[-1:]


def in_batches(rows: Sequence[Inputs], size: int = 64) -> Iterator[Sequence[Inputs]]:
    """The rows in order, so many at a time."""
    return (rows[i : i + size] for i in range(0, len(rows), size))


def fresh_copy(subject: Subject, seed: int) -> nn.Module:
    """The subject's model as it was before any training.

    Raises:
        ValueError: where the way to build it is not known.
    """
    if subject.fresh is None:
        raise ValueError("a model from scratch: its run does not say how it was built.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return subject.fresh().to(subject.device)
