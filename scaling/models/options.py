"""What a transformer can be built of: each option a known ablation, the defaults those of kept studies."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from scaling.models.sizes import Shape

WINDOW = 16  # tokens that an output of `feedforward` sees, its own position included

# As a family offers them; of a tuple the first is the default, and None follows from the width.
OPTIONS: dict[str, Any] = {
    "norm": ("layer", "rms"),
    "mlp": ("gelu", "swiglu", "relu2"),
    "mlp_ratio": 4.0,
    "heads": None,
    "head_width": None,
    "kv_heads": None,
    "qk_norm": (False, True),
    "positions": ("rotary", "learned", "none"),
    "shift": (False, True),
    "tied": (False, True),
}


@dataclass(frozen=True)
class Options:
    """One choice of all.

    Args:
        norm: LayerNorm, or RMSNorm (Zhang & Sennrich 2019, arXiv:1910.07467); both with a gain and no bias.
        mlp: GELU; SwiGLU (Shazeer 2020, arXiv:2002.05202), its hidden width two thirds so that N stays;
            or squared ReLU (So et al. 2021, arXiv:2109.08668).
        mlp_ratio: hidden width of the MLP, in widths; of SwiGLU before the two thirds.
        heads: of queries; None is `heads_for(width)`.
        head_width: near which each head is, in place of `heads`: heads of one width at every size.
        kv_heads: of keys and values, shared by groups of queries (Ainslie et al. 2023, arXiv:2305.13245);
            None is as many as `heads`.
        qk_norm: RMSNorm with a gain on each head of queries and keys (Dehghani et al. 2023,
            arXiv:2302.05442).
        positions: rotary, learned (a table that is added to the embedding, no part of N), or none.
        shift: half of the channels that attention reads are those of the previous token (token shift of RWKV,
            Peng et al. 2023, arXiv:2305.13048, with a fixed mix and no parameters).
        tied: one matrix is embedding and output layer (Press & Wolf 2017, arXiv:1608.05859).
    """

    norm: str = "layer"
    mlp: str = "gelu"
    mlp_ratio: float = 4.0
    heads: int | None = None
    head_width: int | None = None
    kv_heads: int | None = None
    qk_norm: bool = False
    positions: str = "rotary"
    shift: bool = False
    tied: bool = False

    @classmethod
    def of(cls, shape: Shape) -> Options:
        """What a shape asks for."""
        chosen: dict[str, Any] = {name: value for name, value in shape.extra if name in OPTIONS}
        return cls(**chosen)

    def attention_heads(self, width: int) -> tuple[int, int]:
        """Heads of queries, and of keys and values.

        Raises:
            ValueError: for numbers that do not divide, and for heads that are asked for twice.
        """
        if self.heads and self.head_width:
            raise ValueError("model.head_width: give this or model.heads, not both.")
        heads = self.heads or heads_for(width, self.head_width)
        turns = 2 if self.positions == "rotary" else 1
        if heads < 1 or width % (heads * turns):
            even = ", each of an even width for rotary positions" if turns == 2 else ""
            raise ValueError(f"model.heads: must divide the width of {width}{even}; got {heads}.")
        kv_heads = self.kv_heads or heads
        if kv_heads < 1 or heads % kv_heads:
            raise ValueError(
                f"model.kv_heads: must divide the {heads} heads at width {width}; got {kv_heads}."
            )
        return heads, kv_heads

    def hidden(self, width: int) -> int:
        """Hidden width of an MLP.

        Raises:
            ValueError: for a ratio that leaves none.
        """
        hidden = round(self.mlp_ratio * width * (2 / 3 if self.mlp == "swiglu" else 1))
        if hidden < 1:
            raise ValueError(f"model.mlp_ratio: leaves an MLP of width 0; got {self.mlp_ratio:g}.")
        return hidden

    def mlp_weights(self, width: int, hidden: int) -> int:
        """Of one MLP of this hidden width."""
        return (3 if self.mlp == "swiglu" else 2) * width * hidden


DEFAULT = Options()


def heads_for(width: int, near: int | None = None) -> int:
    """How many heads: about eight, each 10 to 64 wide (128 from width 2048) and even.

    To copy from its context a model needs heads of two kinds, so a small one is not left with a single head.

    Args:
        near: another width that each is to have, as nearly as the model's allows.
    """
    target = near or max(10, min(width / 8, 64 if width < 2048 else 128))
    legal = [h for h in range(1, width // 2 + 1) if width % (2 * h) == 0 and (h == 1 or width / h >= 8)]
    return min(legal, key=lambda h: abs(math.log(width / h / target)))


def expert_width(shape: Shape) -> int:
    """Hidden width of one expert.

    Raises:
        ValueError: for more experts per token than there are, or none.
    """
    experts, top_k, shared = shape.get("experts", 8), shape.get("top_k", 2), shape.get("shared", 1)
    if not 1 <= top_k <= experts or shared < 0:
        raise ValueError(
            f"model.top_k: from 1 to model.experts = {experts}, and model.shared 0 or more; "
            f"got top_k {top_k}, shared {shared}."
        )
    hidden: float = Options.of(shape).hidden(shape.width) / (top_k + shared)
    return max(1, round(hidden))
