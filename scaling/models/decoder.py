"""The GPT-style decoder: causal transformer, rotary positions, untied output layer."""

from __future__ import annotations

import math

from torch import Tensor, nn

from scaling.models.blocks import Block, Cache, Linear, Norm, heads_for, initialise, positions, rotations
from scaling.models.family import Counts, Family, Shape


class Decoder(nn.Module):
    """Next-token model. Tokens (batch, tokens) → logits (batch, tokens, vocab)."""

    turn: Tensor

    def __init__(self, shape: Shape, vocab: int, context: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab, shape.width)
        self.blocks = nn.ModuleList(Block(shape.width, causal=True) for _ in range(shape.depth))
        self.norm = Norm(shape.width)
        self.head = Linear(shape.width, vocab)
        turn = rotations(context, shape.width // heads_for(shape.width))
        self.register_buffer("turn", turn, persistent=False)
        initialise(self, shape.depth)
        nn.init.normal_(self.head.weight, std=1 / shape.width)  # untrained loss is ln(vocab) to 1/width

    def features(self, tokens: Tensor) -> Tensor:
        """What the output layer reads, (batch, tokens, width)."""
        x = self.embedding(tokens.clamp(min=0))
        for block in self.blocks:
            x = block(x, self.turn[: tokens.shape[1]])
        return self.norm(x)  # type: ignore[no-any-return]

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.features(tokens))  # type: ignore[no-any-return]

    def extend(self, tokens: Tensor, state: list[Cache] | None = None) -> tuple[Tensor, list[Cache]]:
        """Logits of new tokens (batch, tokens) after those that `state` stands for, and the state after them.

        Raises:
            ValueError: past the context. Positions beyond it were never trained, and keys in `state` cannot
                be moved to earlier ones: start again with a shorter past.
        """
        start = state[0][0].shape[2] if state else 0
        turn = positions(self.turn, start, tokens.shape[1])
        x = self.embedding(tokens.clamp(min=0))
        after: list[Cache] = []
        for index, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            x, past = block.extend(x, turn, state[index] if state else None)
            after.append(past)
        return self.head(self.norm(x)), after


def counts(shape: Shape, vocab: int, context: int) -> Counts:
    """Closed form, held to the built model and to PyTorch's counter by a test.

    params = 12 depth width² + (2 depth + 1) width. Forward FLOPs a token: two a weight of every matrix
    product, and 4 depth context width for attention over the whole context.
    Source: Kaplan et al. 2020 (arXiv:2001.08361), section 2.1; the output layer and the full attention
    term are added as in Porian et al. 2024 (arXiv:2406.19146).
    """
    width, depth = shape.width, shape.depth
    matmul = 12 * depth * width**2 + vocab * width
    norms = (2 * depth + 1) * width
    params = 12 * depth * width**2 + norms
    return Counts(
        params=params,
        params_matmul=params + vocab * width,
        params_total=params + 2 * vocab * width,
        forward_flops=2 * matmul + 4 * depth * context * width,
    )


def _ladder() -> list[Shape]:
    """One dial: depth follows width, a layer per 64 and at least 2, so that sizes lie on one curve of shapes.

    Widths step by an eighth and by at most 32, and both depths are offered where the rule lies between two
    integers: any size between the ends is then within 15 %.
    """
    shapes: list[Shape] = []
    width = 14
    while width <= 1792:
        depth = width / 64
        near = {max(2, math.floor(depth + 0.25)), max(2, math.floor(depth + 0.75))}
        shapes.extend(Shape(width, d) for d in sorted(near))
        width += min(max(2, 2 ** (width.bit_length() - 4)), 32)
    return shapes


FAMILY = Family(
    name="decoder",
    objective="causal",
    ladder=_ladder(),
    counts=counts,
    build=Decoder,
)
