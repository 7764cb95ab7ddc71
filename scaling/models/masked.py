"""The BERT-style encoder: every token sees every other, and those that were masked are predicted."""

from __future__ import annotations

from scaling.models.sizes import Shape
from scaling.models.transformer import Transformer


class Masked(Transformer):
    """Logits at every position; those of chosen tokens are trained. One more id, `vocab`, is the mask.

    Source: Devlin et al. 2019 (arXiv:1810.04805), section 3.1; pre-norm and rotary positions as in `decoder`,
    and no second objective.
    """

    def __init__(self, shape: Shape, vocab: int, context: int) -> None:
        super().__init__(shape, vocab, context, causal=False, extra=1)
        self.mask = vocab
