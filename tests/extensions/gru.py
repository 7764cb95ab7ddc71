"""A GRU, as someone who has never read this package would bring it."""

from torch import nn

import scaling


class Gru(nn.Module):
    def __init__(self, width, depth, vocab):
        super().__init__()
        self.tokens = nn.Embedding(vocab, width)
        self.layers = nn.GRU(width, width, depth, batch_first=True)
        self.output = nn.Linear(width, vocab)

    def forward(self, ids):
        x, _ = self.layers(self.tokens(ids))
        return self.output(x)


def build(shape, vocab, context):
    return Gru(shape.width, shape.depth, vocab)


widths = range(8, 132, 4)
scaling.register(scaling.Family(name="gru", build=build, ladder=[(width, 1) for width in widths]))
scaling.register(scaling.RateRule(rate=0.01, params_exponent=0.3), name="gru")
