"""Options of a transformer, and the mixture of experts: each is counted, and defaults change nothing."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from scaling.data.layout import Layout
from scaling.models import FAMILIES, Shape
from scaling.models.moe import Experts
from scaling.models.options import OPTIONS, Options
from scaling.recipe.parametrisation import roles
from scaling.study.plan import plan_study
from scaling.study.spec import DataSpec, RunSpec, TrunkSpec
from scaling.training.device import Numerics
from scaling.training.objectives import OBJECTIVES
from scaling.training.state import LocalState

VOCAB, CONTEXT = 61, 24
CHOICES: list[dict[str, Any]] = [
    {"norm": "rms"},
    {"mlp": "swiglu"},
    {"mlp": "relu2", "mlp_ratio": 3.0},
    {"heads": 4},
    {"head_width": 16},
    {"heads": 4, "kv_heads": 2, "qk_norm": True},
    {"positions": "learned"},
    {"positions": "none", "heads": 1},
    {"shift": True},
    {"tied": True},
    {"norm": "rms", "mlp": "swiglu", "qk_norm": True, "kv_heads": 1, "tied": True, "shift": True},
]


@pytest.mark.parametrize("family", ["decoder", "masked", "moe"])
@pytest.mark.parametrize("chosen", CHOICES, ids=str)
def test_a_choice_is_counted_and_computes(family: str, chosen: dict[str, Any]) -> None:
    """As built; from guessing on; in pieces as whole; and with a gradient for every parameter."""
    registered = FAMILIES[family]
    shape = registered.shape(32, 2, **chosen)
    for vocab, context in ((VOCAB, CONTEXT), (VOCAB + 3, CONTEXT + 1)):
        registered.check_counts(shape, vocab, context)
    torch.manual_seed(0)
    model: Any = registered.build(shape, VOCAB, CONTEXT)
    total = sum(p.numel() for p in model.parameters())
    assert total == registered.counts(shape, VOCAB, CONTEXT).params_total
    tokens = torch.randint(VOCAB, (4, CONTEXT))
    logits = model(tokens)
    assert (
        abs(F.cross_entropy(logits.flatten(0, 1), tokens.roll(1, 0).flatten()).item() - math.log(VOCAB))
        < 0.15
    )
    logits.square().mean().backward()
    assert all(p.grad is not None for p in model.parameters())
    if family != "masked":
        model.eval()
        state, pieces = None, []
        for piece in tokens.split([5, 1, CONTEXT - 6], dim=1):
            part, state = model.extend(piece, state)
            pieces.append(part)
        torch.testing.assert_close(torch.cat(pieces, dim=1), logits, rtol=1e-5, atol=1e-5)


def test_a_default_that_is_asked_for_is_the_default() -> None:
    decoder = FAMILIES["decoder"]
    plain = {name: v[0] if isinstance(v, tuple) else v for name, v in OPTIONS.items() if v is not None}
    assert decoder.shape(32, 2, **plain) == decoder.shape(32, 2) == Shape(32, 2)
    assert Options.of(Shape(32, 2)) == Options()


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"norm": "batch"}, "model.norm: family 'decoder' takes one of layer, rms; got 'batch'"),
        ({"qk_norm": 1}, "model.qk_norm: family 'decoder' takes one of False, True; got 1"),
        ({"experts": 4}, "model.experts: family 'decoder' has no such size"),
        ({"norn": "rms"}, "Did you mean norm?"),
    ],
)
def test_what_a_family_cannot_be_is_refused(asked: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        FAMILIES["decoder"].shape(32, 2, **asked)


@pytest.mark.parametrize(
    ("family", "asked", "says"),
    [
        ("decoder", {"heads": 3}, "model.heads: must divide the width of 32"),
        ("decoder", {"heads": 4, "head_width": 8}, "model.head_width: give this or model.heads"),
        ("decoder", {"heads": 4, "kv_heads": 3}, "model.kv_heads: must divide the 4 heads"),
        ("moe", {"top_k": 9}, "model.top_k: from 1 to model.experts = 8"),
    ],
)
def test_sizes_that_do_not_go_together_are_refused(family: str, asked: dict[str, Any], says: str) -> None:
    registered = FAMILIES[family]
    with pytest.raises(ValueError, match=re.escape(says)):
        registered.counts(registered.shape(32, 2, **asked), VOCAB, CONTEXT)


def test_ids_of_runs_from_before_there_were_options_are_theirs(tiny_study: list[str]) -> None:
    data = DataSpec(corpus="zipf_markov", vocab=64, fingerprint="f", context=32, settings=(("tokens", 64.0),))
    trunk = TrunkSpec("decoder", 64, 2, data, 0, 8, 8, 0.01, 0.1, 0.9, 0.95, 1.0, 32, None, "auto")
    assert trunk.id == "decoder-64x2-e0d03f0971"
    assert RunSpec(trunk, 100, 20, 4096).id == "decoder-64x2-25.6k-f7bb7395dd"
    plain = plan_study(tiny_study)
    assert all(not t.spec.sizes and not t.spec.extensions for t in plain.trunks)
    said = plan_study([*tiny_study, "model.norm=layer", "model.mlp_ratio=4"])
    assert [t.spec.id for t in said.trunks] == [t.spec.id for t in plain.trunks]
    swept = plan_study([*tiny_study, "model.params=8e3", "model.norm=layer,rms", "model.shift=false,true"])
    assert len({t.spec.id for t in swept.trunks}) == 4


def test_an_expert_is_chosen_by_gates_that_sum_to_one() -> None:
    """Against the definition, token by token."""
    family = FAMILIES["moe"]
    shape = family.shape(16, 1, experts=5, top_k=2)
    torch.manual_seed(0)
    layer = Experts(shape, Options())
    x = torch.randn(2, 7, 16)
    chances = torch.softmax(layer.router(x), dim=-1)
    gates, chosen = chances.topk(2, dim=-1)
    expected = sum(shared(x) for shared in layer.shared)
    for b, t in torch.cartesian_prod(torch.arange(2), torch.arange(7)).tolist():
        for gate, e in zip(gates[b, t] / gates[b, t].sum(), chosen[b, t].tolist(), strict=True):
            expected[b, t] += gate * layer.experts[e](x[b, t])
    torch.testing.assert_close(layer(x), expected)
    part = torch.bincount(chosen.flatten(), minlength=5) / chosen.numel()
    assert layer.imbalance is not None
    torch.testing.assert_close(layer.imbalance, 0.01 * 5 * (part * chances.flatten(0, 1).mean(0)).sum())


def test_a_mixture_trains_with_its_balance_and_is_active_in_part() -> None:
    family = FAMILIES["moe"]
    shape = family.shape(16, 2)
    counts = family.counts(shape, VOCAB, CONTEXT)
    assert counts.params_active is not None
    assert counts.params_active < counts.params
    data = DataSpec(corpus="zipf_markov", vocab=VOCAB, fingerprint="f", context=CONTEXT)

    def losses(balance: float) -> float:
        spec = TrunkSpec(
            "moe", 16, 2, data, 0, 4, 2, 0.01, 0.1, 0.9, 0.95, 1.0, 8, None, "float32",
            sizes=family.shape(16, 2, balance=balance).extra,
        )  # fmt: skip
        state = LocalState(spec, Numerics("cpu", "float32", 1))
        ids = np.random.default_rng(0).integers(0, VOCAB, (4, CONTEXT + 1))
        return float(state.train_step(OBJECTIVES["causal"](ids, Layout(VOCAB), (0,)), 0.01)[0])

    assert 1.9 < losses(1.0) - losses(0.0) < 4.0  # two layers, each 1 where all experts are used alike


def test_roles_of_a_mixture_are_those_of_a_transformer() -> None:
    model = FAMILIES["moe"].build(FAMILIES["moe"].shape(16, 2), VOCAB, CONTEXT)
    found = {name: role for name, _, role in roles(model)}
    assert found["blocks.0.feed.experts.3.down.weight"] == "residual"
    assert found["blocks.0.feed.experts.3.up.weight"] == "hidden"
