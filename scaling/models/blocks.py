"""What the transformers share: layer norm, rotary attention, a GELU feed-forward, pre-norm residuals.

No biases anywhere, so that parameters are products of widths: 12 width² a block, plus its norms.
LayerNorm and exact GELU were chosen over RMSNorm and squared ReLU because PyTorch fuses them on the CPU
(3x and 5x faster there at widths 64 to 384); the loss at these sizes does not tell them apart.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scaling.models.options import DEFAULT, Options
from scaling.models.sizes import NOTHING


class Norm(nn.Module):
    """LayerNorm with a gain and no bias."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.gain.shape, self.gain, None)


class RmsNorm(Norm):
    """RMSNorm with a gain."""

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.gain.shape, self.gain, 1e-5)


def make_norm(width: int, options: Options) -> Norm:
    """The norm that was asked for."""
    return RmsNorm(width) if options.norm == "rms" else Norm(width)


class Linear(nn.Linear):
    """A matrix product without bias, in `compute_dtype` where that is set. The weight stays as it is.

    Explicit rather than autocast: it costs no dispatch, works on the meta device, and leaves attention,
    norms and the residual stream in float32.
    """

    compute_dtype: torch.dtype | None = None

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.compute_dtype is None:
            return F.linear(x, self.weight)
        return F.linear(x.to(self.compute_dtype), self.weight.to(self.compute_dtype))


def add(x: Tensor, update: Tensor) -> Tensor:
    """The residual stream and what a block adds to it, in the stream's type.

    Cast first: a CPU takes longer over a sum of two types than over cast and sum.
    """
    return x + update.type_as(x)


def set_compute_dtype(model: nn.Module, dtype: torch.dtype | None) -> None:
    """Let every matrix product of `model` run in `dtype`; None is the weight's own."""
    for module in model.modules():
        if isinstance(module, Linear):
            module.compute_dtype = dtype


def rotations(context: int, head_width: int) -> Tensor:
    """Rotary position embedding: cosine and sine of each position's angles, (context, head_width / 2, 2).

    Source: Su et al. 2021 (RoFormer, arXiv:2104.09864), section 3.2.2, theta_i = 10000^(-2(i-1)/d).
    """
    frequency = 10000.0 ** -(torch.arange(0, head_width, 2, dtype=torch.float32) / head_width)
    angles = torch.outer(torch.arange(context, dtype=torch.float32), frequency)
    return torch.stack((angles.cos(), angles.sin()), dim=-1)


def positions(turn: Tensor, start: int, count: int) -> Tensor:
    """`rotations` of `count` tokens from position `start` on.

    Raises:
        ValueError: past the context that `turn` was made for.
    """
    if start + count > len(turn):
        raise ValueError(
            f"{start + count} tokens do not fit the model's context of {len(turn)}. "
            "Give it the last of them, as many as fit, and no state."
        )
    return turn[start : start + count]


def rotate(x: Tensor, turn: Tensor) -> Tensor:
    """Turn each pair of neighbouring channels by its angle.

    Args:
        x: queries or keys, (batch, tokens, heads, head_width).
        turn: `rotations` of these tokens, (tokens, head_width / 2, 2).

    One complex product on the CPU, a third of the time of the real one; real arithmetic elsewhere and where
    it is compiled. Both give the same numbers to rounding.
    """
    pairs = x.float().reshape(*x.shape[:-1], -1, 2)
    turn = turn[:, None]
    if x.device.type == "cpu" and not torch.compiler.is_compiling():
        return torch.view_as_real(torch.view_as_complex(pairs) * torch.view_as_complex(turn)).flatten(-2)
    return rotate_real(pairs, *turn.unbind(-1)).type_as(x)


def rotate_real(pairs: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """The complex product written out: pairs (…, 2) → (…) with both channels in place."""
    even, odd = pairs.unbind(-1)
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), dim=-1).flatten(-2)


def attendable(tokens: Tensor) -> Tensor | None:
    """Which tokens (batch, tokens) may be attended to, (batch, 1, 1, tokens); None where none is padding.

    None lets PyTorch take the kernel without a mask, which is faster. The meta device holds no padding, and
    a compiled step cannot ask.
    """
    seen = tokens != NOTHING
    if not torch.compiler.is_compiling() and (tokens.is_meta or bool(seen.all())):
        return None
    return seen[:, None, None]


# Keys and values of the tokens so far, each (batch, heads, tokens, head_width); of a shifted block also what
# it read of the last token (batch, 1, width).
Cache = tuple[Tensor, ...]


class Attention(nn.Module):
    """Causal or bidirectional self-attention, with rotary positions where the options say nothing else."""

    def __init__(self, width: int, causal: bool, options: Options = DEFAULT) -> None:
        super().__init__()
        self.heads, self.kv_heads = options.attention_heads(width)
        self.causal = causal
        self.rotary = options.positions == "rotary"
        head_width = width // self.heads
        self.qkv = Linear(width, width + 2 * self.kv_heads * head_width)
        self.out = Linear(width, width)
        self.query_norm, self.key_norm = (RmsNorm(head_width) if options.qk_norm else None for _ in range(2))

    def forward(self, x: Tensor, turn: Tensor, seen: Tensor | None = None) -> Tensor:
        """`seen` is `attendable` of a bidirectional batch; causal ones, padded on the right, need none."""
        q, k, v = self._project(x, turn)
        k, v = self._share(k), self._share(v)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=seen, is_causal=self.causal)
        return self._mix(mixed)

    def extend(self, x: Tensor, turn: Tensor, past: Cache | None) -> tuple[Tensor, Cache]:
        """Causal attention of new tokens to the past ones and themselves; `turn` is that of the new ones."""
        q, k, v = self._project(x, turn)
        seen = None
        if past is not None:
            k, v = torch.cat((past[0], k), dim=2), torch.cat((past[1], v), dim=2)
            new, total = q.shape[2], k.shape[2]
            seen = torch.ones(new, total, dtype=torch.bool, device=x.device).tril(total - new)
        mixed = F.scaled_dot_product_attention(
            q, self._share(k), self._share(v), attn_mask=seen, is_causal=seen is None
        )
        return self._mix(mixed), (k, v)

    def _project(self, x: Tensor, turn: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (batch, heads, tokens, head_width), and keys and values (batch, kv_heads, …)."""
        if self.kv_heads == self.heads:
            qk, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).split((2, 1), dim=-3)
        else:
            parts = (self.heads, self.kv_heads, self.kv_heads)
            q, k, v = self.qkv(x).unflatten(-1, (sum(parts), -1)).split(parts, dim=-2)
            qk, v = (q, k), v.unsqueeze(-3)
        q, k = qk if isinstance(qk, tuple) else qk.unbind(-3)
        if x.device.type == "cpu":
            # Flash attention in bfloat16 would spend two thirds of a step going backward.
            q, k, v = q.float(), k.float(), v.float()
        if self.query_norm is not None and self.key_norm is not None:
            q, k = self.query_norm(q), self.key_norm(k)
        if self.rotary:
            q, k = rotate(q, turn), rotate(k, turn)
        v = v.squeeze(-3).contiguous()  # a view would keep the queries and keys that are not turned yet
        return q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)

    def _share(self, x: Tensor) -> Tensor:
        """Each head of keys or values for every query head of its group."""
        return x if self.kv_heads == self.heads else x.repeat_interleave(self.heads // self.kv_heads, dim=1)

    def _mix(self, mixed: Tensor) -> Tensor:
        return self.out(mixed.transpose(1, 2).flatten(-2))  # type: ignore[no-any-return]


class Mlp(nn.Module):
    """A feed-forward as a part of its own; a block has its two matrices itself."""

    def __init__(self, width: int, hidden: int, options: Options = DEFAULT) -> None:
        super().__init__()
        self.up, self.down = mlp_layers(width, hidden, options)
        self.kind = options.mlp

    def forward(self, x: Tensor) -> Tensor:
        return self.down(bend(self.up(x), self.kind))  # type: ignore[no-any-return]


def mlp_layers(width: int, hidden: int, options: Options) -> tuple[Linear, Linear]:
    """Into a feed-forward and out of it; SwiGLU's gate and value are one product."""
    return Linear(width, hidden * (2 if options.mlp == "swiglu" else 1)), Linear(hidden, width)


def bend(x: Tensor, kind: str) -> Tensor:
    """What a feed-forward does between its matrices."""
    if kind == "swiglu":
        gate, value = x.chunk(2, dim=-1)
        return F.silu(gate) * value
    return F.relu(x).square() if kind == "relu2" else F.gelu(x)


def shifted(x: Tensor, before: Tensor | None = None) -> Tensor:
    """Half of the channels one token late; `before` (batch, 1, width) comes before the first, else zeros."""
    half = x.shape[-1] // 2
    late = torch.zeros_like(x[:, :1]) if before is None else before
    return torch.cat((torch.cat((late, x[:, :-1]), dim=1)[..., :half], x[..., half:]), dim=-1)


class Block(nn.Module):
    """Pre-norm residual block: attention, then a feed-forward of four times the width."""

    def __init__(self, width: int, causal: bool, options: Options = DEFAULT) -> None:
        super().__init__()
        self.attention_norm = make_norm(width, options)
        self.attention = Attention(width, causal, options)
        self.mlp_norm = make_norm(width, options)
        self.mlp, self.shift = options.mlp, options.shift
        self._make_feed(width, options)

    def _make_feed(self, width: int, options: Options) -> None:
        self.up, self.down = mlp_layers(width, options.hidden(width), options)

    def forward(self, x: Tensor, turn: Tensor, seen: Tensor | None = None) -> Tensor:
        read = self.attention_norm(x)
        return self._feed(add(x, self.attention(shifted(read) if self.shift else read, turn, seen)))

    def extend(self, x: Tensor, turn: Tensor, past: Cache | None) -> tuple[Tensor, Cache]:
        """The same for new tokens after those in `past`, and what the next ones need."""
        read = self.attention_norm(x)
        into = shifted(read, past[2] if past else None) if self.shift else read
        mixed, now = self.attention.extend(into, turn, past)
        return self._feed(add(x, mixed)), (*now, read[:, -1:]) if self.shift else now

    def _feed(self, x: Tensor) -> Tensor:
        return add(x, self.down(bend(self.up(self.mlp_norm(x)), self.mlp)))


def initialise(model: nn.Module, additions: int) -> None:
    """Normal weights with variance 1/fan_in; residual outputs shrunk by the root of their number.

    `additions` to the residual stream, two a block: so its variance is independent of depth.
    Source: Radford et al. 2019 (GPT-2), section 2.3.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            std = module.in_features**-0.5
            if name.endswith((".out", ".down")):
                std /= math.sqrt(additions)
            nn.init.normal_(module.weight, std=std)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=EMBEDDING_STD)


EMBEDDING_STD = 1.0  # 0.1 lost 0.48 nats at N 33k, D 250k (V 512); 0.5 and 2 are within seed noise of 1
