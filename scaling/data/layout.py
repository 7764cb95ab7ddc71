"""How a row of raw ids is to be read, and what part of it a model gets."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

NOTHING = -1  # as scaling.models.family has it, which needs PyTorch; data do not
Ids = NDArray[np.int64]
TokenArray = NDArray[np.integer[Any]]


class Layout(NamedTuple):
    """What the rows of a corpus mean.

    Attributes:
        vocab: every id is below it.
        separator: the id between a source and its target, where rows are pairs. Only what follows it is
            predicted.
        predicted: (context,) which positions are predicted; None is all of them.
    """

    vocab: int
    separator: int | None = None
    predicted: NDArray[np.bool_] | None = None


class Batch(NamedTuple):
    """What a model is given and what it must say.

    Attributes:
        inputs: the model's arguments, each (n, ·).
        targets: (n, t); `NOTHING` where nothing is predicted.
    """

    inputs: tuple[Ids, ...]
    targets: Ids

    def split(self, rows: int) -> list[Batch]:
        """Parts of `rows` rows."""
        cuts = range(0, len(self.targets), rows)
        return [Batch(tuple(x[i : i + rows] for x in self.inputs), self.targets[i : i + rows]) for i in cuts]
