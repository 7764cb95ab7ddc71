"""One stack of blocks between embedding and output layer: what `decoder` and `masked` share."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from scaling.models.blocks import (
    Block,
    Linear,
    attendable,
    initialise,
    make_norm,
    positions,
    rotations,
)
from scaling.models.options import Options
from scaling.models.sizes import Shape


class Transformer(nn.Module):
    """Tokens (batch, tokens) → logits (batch, tokens, vocab); by default rotary, with an untied output layer.

    `extra` ids beyond the vocabulary may be read and are never predicted.
    """

    turn: Tensor

    def __init__(self, shape: Shape, vocab: int, context: int, *, causal: bool, extra: int = 0) -> None:
        super().__init__()
        width, options = shape.width, Options.of(shape)
        self.causal = causal
        self.context = context
        self.embedding = nn.Embedding(vocab + extra, width)
        self.blocks = nn.ModuleList(self.make_block(shape, options) for _ in range(shape.depth))
        self.norm = make_norm(width, options)
        self.scale = width**0.5 if options.tied else 1.0
        self.head = TiedHead(self.embedding, vocab) if options.tied else Linear(width, vocab)
        self.places = nn.Embedding(context, width) if options.positions == "learned" else None
        heads, _ = options.attention_heads(width)
        turn = rotations(context, width // heads if options.positions == "rotary" else 2)
        self.register_buffer("turn", turn, persistent=False)
        initialise(self, additions=2 * shape.depth)
        if options.tied:
            nn.init.normal_(self.embedding.weight, std=width**-0.5)
        else:
            nn.init.normal_(self.head.weight, std=1 / width)  # untrained loss is ln(vocab) to 1/width

    def make_block(self, shape: Shape, options: Options) -> Block:
        """One of the blocks."""
        return Block(shape.width, self.causal, options)

    def embed(self, tokens: Tensor, start: int = 0) -> tuple[Tensor, Tensor]:
        """What the first block reads of tokens that begin at position `start`, and their rotations.

        Raises:
            ValueError: for more tokens than the context.
        """
        turn = positions(self.turn, start, tokens.shape[1])
        x = self.embedding(tokens.clamp(min=0))
        if self.scale != 1:
            x = x * self.scale
        if self.places is not None:
            x = x + self.places(torch.arange(start, start + tokens.shape[1], device=tokens.device))
        return x, turn

    def finish(self, x: Tensor) -> Tensor:
        """What the output layer reads, of what the last block gave; a tied layer gives logits as small."""
        x = self.norm(x)
        return x if self.scale == 1 else x / self.scale

    def features(self, tokens: Tensor) -> Tensor:
        """What the output layer reads, (batch, tokens, width).

        Raises:
            ValueError: for more tokens than the context.
        """
        seen = None if self.causal else attendable(tokens)
        x, turn = self.embed(tokens)
        for block in self.blocks:
            x = block(x, turn, seen)
        return self.finish(x)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.features(tokens))  # type: ignore[no-any-return]


class TiedHead(Linear):
    """An output layer whose matrix is that of an embedding, or of its first `vocab` rows."""

    def __init__(self, embedding: nn.Embedding, vocab: int) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = embedding.embedding_dim, vocab
        self._of = (embedding,)  # in a tuple it is no part: a model has its weight once

    def __deepcopy__(self, memo: dict[int, Any]) -> TiedHead:
        head = TiedHead(copy.deepcopy(self._of[0], memo), self.out_features)
        head.compute_dtype = self.compute_dtype
        return head

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """(vocab, width)."""
        return self._of[0].weight[: self.out_features]
