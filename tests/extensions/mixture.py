"""A mixture of experts over a causal mean. Its active size needs a closed form."""

import torch
from torch import nn

import scaling


class Layer(nn.Module):
    def __init__(self, width, experts):
        super().__init__()
        self.router = nn.Linear(width, experts, bias=False)
        self.up = nn.Parameter(torch.randn(experts, width, 2 * width) * width**-0.5)
        self.down = nn.Parameter(torch.randn(experts, 2 * width, width) * (2 * width) ** -0.5)

    def forward(self, x):
        steps = torch.arange(1, x.shape[1] + 1, device=x.device)[:, None]
        read = x + x.cumsum(1) / steps
        chance, chosen = self.router(read).softmax(-1).max(-1)
        hidden = torch.einsum("btd,btdh->bth", read, self.up[chosen]).relu()
        return x + chance[..., None] * torch.einsum("bth,bthd->btd", hidden, self.down[chosen])


def build(shape, vocab, context):
    layers = [Layer(shape.width, shape.experts) for _ in range(shape.depth)]
    return nn.Sequential(
        nn.Embedding(vocab, shape.width), *layers, nn.LayerNorm(shape.width), nn.Linear(shape.width, vocab)
    )


def counts(shape, vocab, context):
    one, router = 4 * shape.width**2, shape.width * shape.experts
    params = shape.depth * (shape.experts * one + router) + 2 * shape.width
    active = shape.depth * (one + router) + 2 * shape.width
    return scaling.Counts(
        params=params,
        params_active=active,
        params_matmul=params + (shape.width + 1) * vocab,
        params_total=params + (2 * shape.width + 1) * vocab,
        forward_flops=2 * (shape.depth * (one + router) + shape.width * vocab),
    )


shapes = [(width, 2) for width in range(8, 66, 2)]
family = scaling.Family(name="mixture", build=build, ladder=shapes, counts=counts, sizes={"experts": 4})
scaling.register(family)
