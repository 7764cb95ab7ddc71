"""The recurrent baseline: embedding, LSTM layers, norm, output layer."""

from __future__ import annotations

from torch import Tensor, nn

from scaling.models.blocks import EMBEDDING_STD, Linear, Norm
from scaling.models.sizes import Shape

State = tuple[Tensor, Tensor]  # hidden and cell state, each (depth, batch, width)


class Lstm(nn.Module):
    """Next-token model as in Kaplan et al. 2020 (arXiv:2001.08361), figure 7. No positions, and no limit.

    The norm is the decoder's: hidden states of a fresh LSTM are small, and without it the loss after 400
    steps (N 1e5, D 400k, bytes of Python source) was 2.50 at rate .01 and 2.32 at .02, with it 1.94 and 1.94.
    PyTorch's fused layers took a sixth (width 16) to nine tenths (width 256) of the CPU seconds of a loop
    over steps with the input's product taken out of it and its gradient written by hand. They stay in
    float32: bfloat16 gained nothing up to width 256 and lost a third at 512.
    """

    context: int | None = None  # no limit

    def __init__(self, shape: Shape, vocab: int, context: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab, shape.width)
        self.layers = nn.LSTM(shape.width, shape.width, shape.depth, batch_first=True)
        self.norm = Norm(shape.width)
        self.head = Linear(shape.width, vocab)
        nn.init.normal_(self.embedding.weight, std=EMBEDDING_STD)
        for name, parameter in self.layers.named_parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=shape.width**-0.5)
            else:
                nn.init.zeros_(parameter)
                if name.startswith("bias_ih"):
                    # Remember at first; gates are i, f, g, o. Source: Jozefowicz et al. 2015 (ICML).
                    nn.init.ones_(parameter.detach()[shape.width : 2 * shape.width])
        nn.init.normal_(self.head.weight, std=1 / shape.width)

    def features(self, tokens: Tensor) -> Tensor:
        """What the output layer reads, (batch, tokens, width)."""
        return self._run(tokens, None)[0]

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.features(tokens))  # type: ignore[no-any-return]

    def extend(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Logits of new tokens (batch, tokens) after those of `state`, and the state after them."""
        features, after = self._run(tokens, state)
        return self.head(features), after

    def _run(self, tokens: Tensor, state: State | None) -> tuple[Tensor, State]:
        x, after = self.layers(self.embedding(tokens.clamp(min=0)), state)
        return self.norm(x), after
