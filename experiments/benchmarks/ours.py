"""A training step of ours on a peer's shape and random tokens."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from experiments.benchmarks.peer import Cell
from scaling.data.layout import Batch, Layout
from scaling.models import get_family
from scaling.study.spec import DataSpec, TrunkSpec
from scaling.training.device import Numerics
from scaling.training.objectives import OBJECTIVES
from scaling.training.state import LocalState


def spec_of(cell: Cell, precision: str = "auto") -> TrunkSpec:
    """A trunk of this shape."""
    data = DataSpec(corpus="benchmark", vocab=cell.vocab, fingerprint="none", context=cell.context)
    return TrunkSpec(
        family=cell.family,
        width=cell.width,
        depth=cell.depth,
        data=data,
        seed=0,
        sequences=cell.sequences,
        microbatch=cell.sequences,
        learning_rate=1e-3,
        weight_decay=0.1,
        beta1=0.9,
        beta2=0.95,
        clip=1.0,
        warmup_steps=10,
        horizon=None,
        precision=precision,
    )


def draw_from(cell: Cell) -> Callable[[], Batch]:
    """Random windows of random tokens, arranged as the family's objective asks."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, cell.vocab, 2**18).astype(np.uint16)
    arrange, layout = OBJECTIVES[get_family(cell.family).objective], Layout(cell.vocab)

    def draw() -> Batch:
        starts = rng.integers(0, len(tokens) - cell.context - 1, cell.sequences)
        rows = np.stack([tokens[i : i + cell.context + 1] for i in starts]).astype(np.int64)
        return arrange(rows, layout, (int(starts[0]),))

    return draw


def our_step(cell: Cell, numerics: Numerics) -> Callable[[], object]:
    """One training step as a trunk takes it, a long one where `arithmetic` is compiled."""
    state, draw = LocalState(spec_of(cell), numerics), draw_from(cell)
    return lambda: state.train_step(draw(), 1e-3)
