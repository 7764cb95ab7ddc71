"""A diagonal state-space model whose state size can be swept: `model.state=4,16`."""

import torch
import torch.nn.functional as F
from torch import nn

import scaling


class Mixer(nn.Module):
    """Each channel is a sum of decaying states; over a row that is a convolution with their kernel."""

    def __init__(self, width, state):
        super().__init__()
        self.decay = nn.Parameter(torch.rand(width, state) * 4)
        self.weight = nn.Parameter(torch.randn(width, state) / state)
        self.mix = nn.Linear(width, 2 * width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x):
        length = x.shape[1]
        age = torch.arange(length, device=x.device)
        ages = age[:, None] - age[None, :]
        kernel = torch.sigmoid(self.decay)[:, :, None] ** age
        kernel = (self.weight[:, :, None] * kernel).sum(1)
        past = kernel[:, ages.clamp(min=0)] * (ages >= 0)
        mixed = torch.einsum("cts,bsc->btc", past, self.norm(x))
        return x + F.glu(self.mix(F.silu(mixed)), dim=-1)


def build(shape, vocab, context):
    layers = [Mixer(shape.width, shape.state) for _ in range(shape.depth)]
    return nn.Sequential(nn.Embedding(vocab, shape.width), *layers, nn.Linear(shape.width, vocab))


shapes = [(width, 2) for width in range(8, 132, 4)]
scaling.register(scaling.Family(name="ssm", build=build, ladder=shapes, sizes={"state": 8}))
