"""One stack of blocks between embedding and output layer: what `decoder` and `masked` share."""

from __future__ import annotations

import math

from torch import Tensor, nn

from scaling.models.blocks import Block, Linear, Norm, attendable, heads_for, initialise, positions, rotations
from scaling.models.family import Counts, Shape, widths


class Transformer(nn.Module):
    """Tokens (batch, tokens) → logits (batch, tokens, vocab). Rotary positions, untied output layer.

    `extra` ids beyond the vocabulary may be read and are never predicted.
    """

    turn: Tensor

    def __init__(self, shape: Shape, vocab: int, context: int, *, causal: bool, extra: int = 0) -> None:
        super().__init__()
        self.causal = causal
        self.context = context
        self.embedding = nn.Embedding(vocab + extra, shape.width)
        self.blocks = nn.ModuleList(Block(shape.width, causal) for _ in range(shape.depth))
        self.norm = Norm(shape.width)
        self.head = Linear(shape.width, vocab)
        turn = rotations(context, shape.width // heads_for(shape.width))
        self.register_buffer("turn", turn, persistent=False)
        initialise(self, additions=2 * shape.depth)
        nn.init.normal_(self.head.weight, std=1 / shape.width)  # untrained loss is ln(vocab) to 1/width

    def features(self, tokens: Tensor) -> Tensor:
        """What the output layer reads, (batch, tokens, width).

        Raises:
            ValueError: for more tokens than the context.
        """
        turn = positions(self.turn, 0, tokens.shape[1])
        seen = None if self.causal else attendable(tokens)
        x = self.embedding(tokens.clamp(min=0))
        for block in self.blocks:
            x = block(x, turn, seen)
        return self.norm(x)  # type: ignore[no-any-return]

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.features(tokens))  # type: ignore[no-any-return]


def counts(shape: Shape, vocab: int, context: int, extra: int = 0) -> Counts:
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
        params_total=params + (2 * vocab + extra) * width,
        forward_flops=2 * matmul + 4 * depth * context * width,
    )


def ladder() -> list[Shape]:
    """One dial: depth follows width, a layer per 64 and at least 2, so that sizes lie on one curve of shapes.

    Both depths are offered where the rule lies between two integers: any size between the ends is then
    within 15 %.
    """
    shapes: list[Shape] = []
    for width in widths(14, 1792):
        depth = width / 64
        near = {max(2, math.floor(depth + 0.25)), max(2, math.floor(depth + 0.75))}
        shapes.extend(Shape(width, d) for d in sorted(near))
    return shapes
