"""Every family learns more of a text, in seconds, than which byte follows which."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from scaling.data.corpora import open_dataset
from scaling.data.dataset import Dataset
from scaling.data.layout import NOTHING, Batch
from scaling.data.options import DataOptions
from scaling.models import FAMILIES, Family
from scaling.training.objectives import OBJECTIVES, cross_entropy

VOCAB, CONTEXT, SEQUENCES, RATE = 256, 32, 16, 1e-2
STEPS = {"causal": 80, "seq2seq": 80, "masked": 320}  # of a masked text one token in seven is a lesson


@pytest.fixture(scope="module")
def text(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    cache = tmp_path_factory.mktemp("cache")
    return open_dataset(DataOptions("text", VOCAB, (str(tiny_corpus),), heldout_fraction=0.2), cache)


def bigram_loss(dataset: Dataset) -> float:
    """Held-out loss [nats/token] of the byte frequencies after each byte, each seen once more than it was."""
    counts = np.ones((VOCAB, VOCAB))
    np.add.at(counts, (dataset.train[:-1], dataset.train[1:]), 1)
    p = counts / counts.sum(axis=1, keepdims=True)
    return float(-np.log(p[dataset.heldout[:-1], dataset.heldout[1:]]).mean())


@pytest.mark.parametrize(
    "family",
    [
        pytest.param(family, id=name, marks=() if name in ("decoder", "lstm") else pytest.mark.slow)
        for name, family in FAMILIES.items()
    ],
)
def test_it_beats_a_bigram_after_a_short_run(family: Family, text: Dataset) -> None:
    torch.manual_seed(0)
    model = family.build(family.shape_for(3e4), VOCAB, CONTEXT)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, fused=True)
    arrange = OBJECTIVES[family.objective]

    def losses(batch: Batch) -> torch.Tensor:
        targets = torch.from_numpy(batch.targets)
        found = cross_entropy(model(*map(torch.from_numpy, batch.inputs)), targets)
        return found[targets != NOTHING]

    batches = text.batches(CONTEXT, SEQUENCES, seed=0)
    steps = STEPS[family.objective]
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = RATE * min(1, (step + 1) / 10, 2 * (1 - step / steps))
        losses(arrange(batches.batch(step), text.layout, (0, step))).mean().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    with torch.inference_mode():
        heldout = text.heldout_batches(CONTEXT, SEQUENCES, 8192)
        told = torch.cat([losses(arrange(ids, text.layout, (1, i))) for i, ids in enumerate(heldout)])
    assert told.mean().item() < bigram_loss(text)
