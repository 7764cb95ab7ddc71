"""The BERT-style encoder: every token sees every other, and those that were masked are predicted."""

from __future__ import annotations

from functools import partial

from scaling.models.family import Family
from scaling.models.options import OPTIONS
from scaling.models.sizes import Shape
from scaling.models.transformer import Transformer, counts, ladder


class Masked(Transformer):
    """Logits at every position; those of chosen tokens are trained. One more id, `vocab`, is the mask.

    Source: Devlin et al. 2019 (arXiv:1810.04805), section 3.1; pre-norm and rotary positions as in `decoder`,
    and no second objective.
    """

    def __init__(self, shape: Shape, vocab: int, context: int) -> None:
        super().__init__(shape, vocab, context, causal=False, extra=1)
        self.mask = vocab


FAMILY = Family(
    name="masked",
    objective="masked",
    ladder=ladder(),
    counts=partial(counts, extra=1),
    build=Masked,
    options=OPTIONS,
)
