"""What our training is measured against: models and a training step, written the ordinary way.

Eager PyTorch, stock AdamW, learned positions, float32 or bfloat16 autocast: what a short training script
does. As many blocks, heads and weights as ours, and an untied output layer, so that both do the same work.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scaling.data.layout import NOTHING, Batch


@dataclass(frozen=True)
class Cell:
    """One shape to be timed."""

    family: str
    width: int
    depth: int
    heads: int
    vocab: int
    context: int
    sequences: int

    @property
    def tokens(self) -> int:
        """Of a step."""
        return self.context * self.sequences

    def __str__(self) -> str:
        batch = f"{self.sequences} x {self.context}"
        return f"{self.family} d{self.width} L{self.depth} V{self.vocab}, {batch} tokens"


class PlainBlock(nn.Module):
    """Pre-norm attention and feed-forward."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_1 = nn.LayerNorm(width, bias=False)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.norm_2 = nn.LayerNorm(width, bias=False)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        n, t, width = x.shape
        q, k, v = self.qkv(self.norm_1(x)).split(width, dim=2)
        q, k, v = (y.view(n, t, self.heads, width // self.heads).transpose(1, 2) for y in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).contiguous().view(n, t, width))
        return x + self.down(F.gelu(self.up(self.norm_2(x))))  # type: ignore[no-any-return]


class PlainGPT(nn.Module):
    """Tokens (n, t) → logits (n, t, vocab)."""

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.embedding = nn.Embedding(cell.vocab, cell.width)
        self.positions = nn.Embedding(cell.context, cell.width)
        self.blocks = nn.Sequential(*(PlainBlock(cell.width, cell.heads) for _ in range(cell.depth)))
        self.norm = nn.LayerNorm(cell.width, bias=False)
        self.head = nn.Linear(cell.width, cell.vocab, bias=False)
        self.apply(_initialise)

    def forward(self, tokens: Tensor) -> Tensor:
        places = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.embedding(tokens) + self.positions(places)
        return self.head(self.norm(self.blocks(x)))  # type: ignore[no-any-return]


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)


class PlainLSTM(nn.Module):
    """Tokens (n, t) → logits (n, t, vocab), by PyTorch's layers."""

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.embedding = nn.Embedding(cell.vocab, cell.width)
        self.layers = nn.LSTM(cell.width, cell.width, cell.depth, batch_first=True)
        self.head = nn.Linear(cell.width, cell.vocab, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.layers(self.embedding(tokens))[0])  # type: ignore[no-any-return]


class PlainEncoder(nn.Module):
    """Tokens with masks (n, t) → logits (n, t, vocab), by `nn.TransformerEncoder`."""

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.embedding = nn.Embedding(cell.vocab + 1, cell.width)
        self.positions = nn.Embedding(cell.context, cell.width)
        layer = nn.TransformerEncoderLayer(cell.width, cell.heads, **_layer(cell.width))
        self.layers = nn.TransformerEncoder(layer, cell.depth, enable_nested_tensor=False)
        self.head = nn.Linear(cell.width, cell.vocab, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens) + self.positions.weight[: tokens.shape[1]]
        return self.head(self.layers(x))  # type: ignore[no-any-return]


class PlainTranslator(nn.Module):
    """Source (n, s) and target so far (n, t) → logits (n, t, vocab), by `nn.Transformer`."""

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.embedding = nn.Embedding(cell.vocab, cell.width)
        self.positions = nn.Embedding(cell.context, cell.width)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that norm_first excludes nested tensors
            self.layers = nn.Transformer(cell.width, cell.heads, cell.depth, cell.depth, **_layer(cell.width))
        self.head = nn.Linear(cell.width, cell.vocab, bias=False)

    def forward(self, source: Tensor, tokens: Tensor) -> Tensor:
        later = nn.Transformer.generate_square_subsequent_mask(tokens.shape[1], device=tokens.device)
        features = self.layers(self._embed(source), self._embed(tokens), tgt_mask=later, tgt_is_causal=True)
        return self.head(features)  # type: ignore[no-any-return]

    def _embed(self, tokens: Tensor) -> Tensor:
        x: Tensor = self.embedding(tokens) + self.positions.weight[: tokens.shape[1]]
        return x


def _layer(width: int) -> dict[str, Any]:
    feed = {"dim_feedforward": 4 * width, "activation": "gelu", "bias": False}
    return {**feed, "dropout": 0.0, "batch_first": True, "norm_first": True}


def plain_step(
    model: nn.Module, draw: Callable[[], Batch], *, bfloat16: bool = False, device: str = "cpu"
) -> Callable[[], Tensor]:
    """A training step of `model` on what `draw` gives; calling it returns the loss."""
    model = model.to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1)
    kind = torch.device(device).type

    def step() -> Tensor:
        batch = draw()
        inputs = [torch.from_numpy(x).to(device) for x in batch.inputs]
        targets = torch.from_numpy(np.ascontiguousarray(batch.targets)).to(device)
        with torch.autocast(kind, torch.bfloat16) if bfloat16 else contextlib.nullcontext():
            logits = model(*inputs)
            loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=NOTHING)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    return step


PLAIN: dict[str, Callable[[Cell], nn.Module]] = {
    "decoder": PlainGPT,
    "lstm": PlainLSTM,
    "masked": PlainEncoder,
    "encoder_decoder": PlainTranslator,
}
