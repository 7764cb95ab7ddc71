"""What each of our families counts as, in closed form, and its ladder of shapes. Without PyTorch.

Tests and the trainer hold every closed form to the built model.
"""

from __future__ import annotations

import math

from scaling.models.options import WINDOW, Options, expert_width
from scaling.models.sizes import Counts, Shape, input_lengths


def widths(first: int, last: int) -> list[int]:
    """Even widths from `first` to `last` in steps of about an eighth, and of 32 at most."""
    found = [first]
    while found[-1] < last:
        found.append(found[-1] + min(max(2, 2 ** (found[-1].bit_length() - 4)), 32))
    return found


def transformer(shape: Shape, vocab: int, context: int, extra: int = 0) -> Counts:
    """Closed form, checked against the built model and to PyTorch's counter by a test.

    By default params = 12 depth width² + (2 depth + 1) width. Forward FLOPs per token: two a weight of every
    matrix product, and 4 depth context width for attention over the whole context.
    Source: Kaplan et al. 2020 (arXiv:2001.08361), section 2.1; the output layer and the full attention
    term are added as in Porian et al. 2024 (arXiv:2406.19146).
    """
    options = Options.of(shape)
    return combine(
        shape, vocab, context, options.mlp_weights(shape.width, options.hidden(shape.width)), extra=extra
    )


def combine(shape: Shape, vocab: int, context: int, mlp: int, *, idle: int = 0, extra: int = 0) -> Counts:
    """Counts of a transformer with so many weights in the feed-forward of a block.

    Args:
        mlp: those that a token is multiplied by.
        idle: those besides that other tokens are multiplied by.
        extra: ids that are read and never predicted.
    """
    width, depth, options = shape.width, shape.depth, Options.of(shape)
    heads, kv_heads = options.attention_heads(width)
    attention = 2 * width**2 + 2 * kv_heads * (width // heads) * width
    block = attention + mlp
    norms = (2 * depth + 1) * width + (2 * depth * (width // heads) if options.qk_norm else 0)
    active = depth * block + norms
    params = active + depth * idle
    tables = (1 if options.tied else 2) * vocab + extra + (context if options.positions == "learned" else 0)
    return Counts(
        params=params,
        params_matmul=params + (vocab + (extra if options.tied else 0)) * width,
        params_total=params + tables * width,
        forward_flops=2 * (depth * block + vocab * width) + 4 * depth * context * width,
        params_active=active if idle else None,
    )


def transformer_ladder(first: int = 14) -> list[Shape]:
    """One dial: depth follows width, a layer per 64 and at least 2, so that sizes lie on one curve of shapes.

    Both depths are offered where the rule lies between two integers: any size between the ends is then
    within 15 %.
    """
    shapes: list[Shape] = []
    for width in widths(first, 1792):
        depth = width / 64
        near = {max(2, math.floor(depth + 0.25)), max(2, math.floor(depth + 0.75))}
        shapes.extend(Shape(width, d) for d in sorted(near))
    return shapes


def moe(shape: Shape, vocab: int, context: int) -> Counts:
    """The decoder's, with the router, the chosen and the shared experts in the place of its feed-forward."""
    hidden, experts, top_k = expert_width(shape), shape.get("experts", 8), shape.get("top_k", 2)
    one = Options.of(shape).mlp_weights(shape.width, hidden)
    used = (top_k + shape.get("shared", 1)) * one + experts * shape.width
    return combine(shape, vocab, context, used, idle=(experts - top_k) * one)


def lstm(shape: Shape, vocab: int, context: int) -> Counts:
    """Four gates a layer, each with a matrix for the input, one for the state, and PyTorch's two biases.

    params = depth (8 width² + 8 width) + width.
    """
    width, depth = shape.width, shape.depth
    matrices = 8 * depth * width**2
    params = matrices + (8 * depth + 1) * width
    return Counts(
        params=params,
        params_matmul=params + vocab * width,
        params_total=params + 2 * vocab * width,
        forward_flops=2 * (matrices + vocab * width),
    )


def feedforward(shape: Shape, vocab: int, context: int) -> Counts:
    """params = (WINDOW + depth - 1) width²; a product of two FLOPs per weight for each token."""
    width = shape.width
    params = (WINDOW + shape.depth - 1) * width**2
    return Counts(
        params=params,
        params_matmul=params + vocab * width,
        params_total=params + 2 * vocab * width,
        forward_flops=2 * (params + vocab * width),
    )


def encoder_decoder(shape: Shape, vocab: int, context: int) -> Counts:
    """Closed form per token of the context, of which the source is the first half and the target the rest.

    A layer has 12 width² weights in the encoder and 16 width² in the decoder, of which source tokens go
    through the 2 width² of cross-attention's keys and values. Attention of n to m tokens costs 4 n m width.
    """
    width, depth = shape.width, shape.depth
    source, target = input_lengths("seq2seq", context)
    encoder = depth * (12 * width**2 + 2 * width) + width
    decoder = depth * (16 * width**2 + 3 * width) + width
    matmul = source * 14 * depth * width**2 + target * (14 * depth * width**2 + vocab * width)
    attention = 4 * depth * width * (source**2 + target**2 + source * target)
    params = encoder + decoder
    return Counts(
        params=params,
        params_matmul=params + vocab * width,
        params_total=params + 2 * vocab * width,
        forward_flops=(2 * matmul + attention) / context,
        params_encoder=encoder,
        params_decoder=decoder,
    )


def encoder_decoder_ladder() -> list[Shape]:
    """A layer on each side per 128 of width: the way through both is as deep as a decoder of this width.

    Both depths are offered where the rule lies between two integers, as in `transformer_ladder`.
    """
    shapes: list[Shape] = []
    for width in widths(12, 1792):
        depth = width / 128
        near = {max(1, math.floor(depth + 0.25)), max(1, math.floor(depth + 0.75))}
        shapes.extend(Shape(width, d) for d in sorted(near))
    return shapes
