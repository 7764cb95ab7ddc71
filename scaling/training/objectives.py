"""What a family is trained for: how rows of ids become inputs and targets, and the loss of each target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from scaling.data.layout import NOTHING, Batch, Ids, Layout
from scaling.registry import Registry

MASKED = 0.15  # of the tokens are predicted
AS_MASK, AS_RANDOM = 0.8, 0.1  # of those are shown as the mask, and as a random token; the rest as they are

Arrange = Callable[[Ids, Layout, tuple[int, ...]], Batch]


def causal(ids: Ids, layout: Layout, key: tuple[int, ...]) -> Batch:
    """Predict each token from those before it; of a pair, the target only."""
    targets = ids[:, 1:]
    if layout.predicted is not None:
        targets = np.where(layout.predicted, targets, NOTHING)
    if layout.separator is not None:
        begun = np.cumsum(ids[:, :-1] == layout.separator, axis=1) > 0
        targets = np.where(begun, targets, NOTHING)
    return Batch((np.maximum(ids[:, :-1], 0),), targets)


def masked(ids: Ids, layout: Layout, key: tuple[int, ...]) -> Batch:
    """Predict chosen tokens from all others. The mask is id `vocab`, which no text holds.

    Source: Devlin et al. 2019 (arXiv:1810.04805), section 3.1: 15 % of the tokens; of these 80 % are shown as
    the mask, 10 % as a random token, 10 % unchanged. `key` seeds the choice; each row has at least one.
    """
    rng = np.random.default_rng(key)
    ids = ids[:, :-1]
    draw = np.where(ids == NOTHING, 2.0, rng.random(ids.shape))
    chosen = draw <= np.maximum(MASKED, draw.min(axis=1, keepdims=True))
    shown = rng.random(ids.shape)
    inputs = np.where(chosen & (shown < AS_MASK), layout.vocab, ids)
    random = chosen & (shown >= AS_MASK) & (shown < AS_MASK + AS_RANDOM)
    inputs = np.where(random, rng.integers(0, layout.vocab, ids.shape), inputs)
    return Batch((inputs,), np.where(chosen, ids, NOTHING))


def seq2seq(ids: Ids, layout: Layout, key: tuple[int, ...]) -> Batch:
    """Predict a target from a source: of a pair, its second side; of plain text, the second half of a row."""
    if layout.separator is None:
        half = (ids.shape[1] - 1) // 2
        return Batch((ids[:, :half], ids[:, half:-1]), ids[:, half + 1 :])
    at = np.argmax(ids == layout.separator, axis=1)
    length = (ids != NOTHING).sum(axis=1)
    place = np.arange(ids.shape[1])
    source = np.where(place[: at.max()] < at[:, None], ids[:, : at.max()], NOTHING)
    reach = np.minimum(at[:, None] + place[: (length - at).max()], ids.shape[1] - 1)
    target = np.where(at[:, None] + place[: reach.shape[1]] < length[:, None], _take(ids, reach), NOTHING)
    return Batch((source, target[:, :-1]), target[:, 1:])


def _take(ids: Ids, places: Ids) -> Ids:
    return np.take_along_axis(ids, places, axis=1)


@dataclass(frozen=True)
class Objective:
    """What a family is trained for, by name. One of yours gives its model one input of ids.

    Args:
        arrange: (ids (rows, context + 1), layout, key) → the batch: inputs, and targets that are `NOTHING`
            where nothing is predicted. `key` seeds what is drawn.
    """

    name: str
    arrange: Arrange

    def __call__(self, ids: Ids, layout: Layout, key: tuple[int, ...]) -> Batch:
        return self.arrange(ids, layout, key)


OBJECTIVES: Registry[Objective] = Registry(
    "objective",
    "family.objective",
    {
        name: Objective(name, of)
        for name, of in (("causal", causal), ("masked", masked), ("seq2seq", seq2seq))
    },
)


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """(n, t) losses [nats], 0 where nothing is predicted."""
    flat = F.cross_entropy(
        logits.flatten(0, 1).float(), targets.flatten(), ignore_index=NOTHING, reduction="none"
    )
    return flat.view_as(targets)


def squared(logits: Tensor, targets: Tensor) -> Tensor:
    """(n, t) squared distance of the predicted probabilities to the token, 0 where nothing is predicted.

    sum_v (p_v - [v is the token])^2. A proper score: its least value is at the true probabilities, so that
    the held-out cross-entropy of a model trained on it has a meaning.
    Source: Brier 1950 (Monthly Weather Review 78), equation 2.
    """
    p = torch.softmax(logits.float(), dim=-1)
    of_token = p.gather(-1, targets.clamp(min=0)[..., None])[..., 0]
    return torch.where(targets == NOTHING, 0.0, p.square().sum(-1) - 2 * of_token + 1)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"cross_entropy": cross_entropy, "squared": squared}


def distance(logits: Tensor, wanted: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """Sum over predicted tokens of temperature^2 times the cross-entropy of a student to its teacher [nats].

    Both are softened by the temperature; its square keeps gradients as large as those of the text.
    Source: Hinton et al. 2015 (arXiv:1503.02531), section 2.

    Args:
        logits: of the student (n, t, vocab).
        wanted: of the teacher, up to a constant.
    """
    p = torch.softmax(wanted / temperature, dim=-1)
    q = torch.log_softmax(logits.float() / temperature, dim=-1)
    each = -(p * q).sum(dim=-1)
    found: Tensor = temperature**2 * each[targets != NOTHING].sum()
    return found
