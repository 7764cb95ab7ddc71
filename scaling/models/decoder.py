"""The GPT-style decoder: causal transformer, rotary positions, untied output layer."""

from __future__ import annotations

from torch import Tensor

from scaling.models.blocks import Block, Cache
from scaling.models.sizes import Shape
from scaling.models.transformer import Transformer


class Decoder(Transformer):
    """Next-token model."""

    def __init__(self, shape: Shape, vocab: int, context: int) -> None:
        super().__init__(shape, vocab, context, causal=True)

    def extend(self, tokens: Tensor, state: list[Cache] | None = None) -> tuple[Tensor, list[Cache]]:
        """Logits of new tokens (batch, tokens) after those that `state` stands for, and the state after them.

        Raises:
            ValueError: past the context. Positions beyond it were never trained, and keys in `state` cannot
                be moved to earlier ones: start again with a shorter past.
        """
        start = state[0][0].shape[2] if state else 0
        x, turn = self.embed(tokens, start)
        after: list[Cache] = []
        for index, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            x, past = block.extend(x, turn, state[index] if state else None)
            after.append(past)
        return self.head(self.finish(x)), after
