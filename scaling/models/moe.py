"""The decoder with a mixture of experts: each token is fed forward by a few of many, and by shared ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scaling.models.blocks import Block, Mlp, add
from scaling.models.decoder import Decoder
from scaling.models.options import Options, expert_width
from scaling.models.sizes import Shape


class Experts(nn.Module):
    """A router, the experts it chooses from, and shared ones that every token goes through.

    Those that a token goes through are together as wide as the decoder's feed-forward. Gates are a softmax
    over all experts, and sum to 1 over those chosen. Dropless: an expert takes all tokens that chose it.
    Source: Shazeer et al. 2017 (arXiv:1701.06538), section 2; Dai et al. 2024 (arXiv:2401.06066), section
    3.2, shared experts.
    """

    def __init__(self, shape: Shape, options: Options) -> None:
        super().__init__()
        width, hidden = shape.width, expert_width(shape)
        self.top_k, self.balance = shape.get("top_k", 2), shape.get("balance", 0.01)
        # In float32 whatever the rest is: a rounded chance would choose another expert.
        self.router = nn.Linear(width, shape.get("experts", 8), bias=False)
        self.experts = nn.ModuleList(Mlp(width, hidden, options) for _ in range(self.router.out_features))
        self.shared = nn.ModuleList(Mlp(width, hidden, options) for _ in range(shape.get("shared", 1)))
        self.imbalance: Tensor | None = None

    def train(self, mode: bool = True) -> Experts:
        """Forget the last call: with its gradient, a model could not be copied."""
        self.imbalance = None
        return super().train(mode)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, tokens, width), what all chosen experts say."""
        rows = x.flatten(0, 1)
        chances = torch.softmax(self.router(rows.float()), dim=-1)
        gates, chosen = chances.topk(self.top_k, dim=-1)
        gates = gates / gates.sum(dim=-1, keepdim=True)
        said = torch.zeros_like(rows)
        exported = torch.compiler.is_exporting()  # no value may decide a shape in a program or on meta
        share = torch.zeros_like(chances).scatter(1, chosen, gates) if exported else chances
        for number, expert in enumerate(self.experts):
            if rows.is_meta:  # as many experts as a token has take every token, so that counts are right
                if number < self.top_k:
                    said = add(said, expert(rows))
                continue
            if exported:  # every expert takes every token
                said = said + expert(rows).type_as(said) * share[:, number, None].type_as(said)
                continue
            where, slot = torch.nonzero(chosen == number, as_tuple=True)
            # An expert that nobody chose is called too: under FSDP every rank must gather its weights.
            one = expert(rows[where]).type_as(said) * gates[where, slot, None].type_as(said)
            said = said.index_add(0, where, one)
        for expert in self.shared:
            said = add(said, expert(rows))
        self.imbalance = self._imbalance(chances, chosen) if self.training and not rows.is_meta else None
        return said.view_as(x)

    def _imbalance(self, chances: Tensor, chosen: Tensor) -> Tensor:
        """experts x sum over experts of (part of the choices) x (mean chance): 1 where all are used alike.

        Of the rows that are computed at once: a microbatch, or the share of one of several processes.

        Source: Fedus et al. 2021 (arXiv:2101.03961), equation 4.
        """
        experts = chances.shape[1]
        part = torch.bincount(chosen.flatten(), minlength=experts) / chosen.numel()
        found: Tensor = self.balance * experts * (part * chances.mean(dim=0)).sum()
        return found


class ExpertBlock(Block):
    """A block whose feed-forward is a mixture of experts."""

    def __init__(self, shape: Shape, options: Options) -> None:
        super().__init__(shape.width, True, options)
        self.feed = Experts(shape, options)

    def _make_feed(self, width: int, options: Options) -> None:
        """The experts need the whole shape."""

    def _feed(self, x: Tensor) -> Tensor:
        return add(x, self.feed(self.mlp_norm(x)))


class Moe(Decoder):
    """Next-token model."""

    def make_block(self, shape: Shape, options: Options) -> Block:
        return ExpertBlock(shape, options)

    def auxiliary_loss(self) -> Tensor:
        """What is added to the loss of each token: how unevenly experts were used in the last call."""
        found = [part.imbalance for part in self.modules() if isinstance(part, Experts)]
        return torch.stack([x for x in found if x is not None]).sum()
