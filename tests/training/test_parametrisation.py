"""Parametrisations: what they multiply, and that this is what their papers ask for."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
import torch

from scaling.models import BASE, FAMILIES, Shape
from scaling.recipe.optimizers import OPTIMIZERS
from scaling.recipe.parametrisation import Factors, Role, factors, roles
from scaling.study.spec import DataSpec, TrunkSpec
from scaling.training.device import Numerics
from scaling.training.state import LocalState

DATA = DataSpec(corpus="text", vocab=61, fingerprint="0123456789abcdef", context=24)
SPEC = TrunkSpec("decoder", 32, 4, DATA, 0, 4, 4, 1e-2, 0.1, 0.9, 0.95, 1.0, 3, None, "float32")
HERE = Numerics("cpu", "float32", 1)


@pytest.mark.parametrize("role", get_args(Role))
def test_at_the_base_shape_every_parametrisation_is_the_standard_one(role: Role) -> None:
    for name in ("standard", "mup", "completep"):
        assert factors(name, role, BASE) == Factors()


@pytest.mark.parametrize("family", FAMILIES)
def test_every_parameter_has_one_role(family: str) -> None:
    model = FAMILIES[family].build(FAMILIES[family].ladder[0], 61, 24)
    found = list(roles(model))
    assert [name for name, _, _ in found] == [name for name, _ in model.named_parameters()]
    by_role = {role: [name for name, _, r in found if r == role] for role in get_args(Role)}
    assert by_role["embedding"] == ["embedding.weight"]
    assert by_role["output"] == ["head.weight"]
    assert by_role["hidden"]


def test_mup_is_that_of_yang_and_others() -> None:
    """Table 8 of arXiv:2203.03466: with Adam, hidden and output rates go as 1 / width, embeddings as 1."""
    wide = Shape(8 * BASE.width, BASE.depth)
    assert factors("mup", "hidden", wide).rate == factors("mup", "output", wide).rate == 1 / 8
    assert factors("mup", "embedding", wide).rate == factors("mup", "vector", wide).rate == 1
    deep = Shape(BASE.width, 8 * BASE.depth)
    assert all(factors("mup", role, deep) == Factors() for role in get_args(Role))


def test_a_factor_on_an_output_is_one_on_its_spread_rate_decay_and_epsilon() -> None:
    """CompleteP multiplies what a block adds; we multiply the weight instead. For AdamW that is the same."""
    m = 0.25
    torch.manual_seed(0)
    x, y = torch.randn(64, 8), torch.randn(64, 4)
    explicit = torch.nn.Parameter(torch.randn(4, 8))
    folded = torch.nn.Parameter(m * explicit.detach())
    common = {"betas": (0.9, 0.95)}
    one = torch.optim.AdamW([explicit], lr=1e-2, weight_decay=0.1, eps=1e-3, **common)
    other = torch.optim.AdamW([folded], lr=m * 1e-2, weight_decay=0.1 / m, eps=1e-3 / m, **common)
    for _ in range(20):
        for optimizer, weight in ((one, m * explicit), (other, folded)):
            optimizer.zero_grad()
            (x @ weight.T - y).square().mean().backward()
            optimizer.step()
    torch.testing.assert_close(m * explicit, folded)


def test_completep_holds_what_blocks_add_to_one_over_depth() -> None:
    deep = Shape(BASE.width, 4 * BASE.depth)
    found = factors("completep", "residual", deep)
    assert found.rate == 1 / 4
    standard_spread = (2 * deep.depth) ** -0.5 / (2 * BASE.depth) ** -0.5
    assert found.init * standard_spread == pytest.approx(1 / 4)


def test_a_step_uses_the_factors() -> None:
    """Two models that differ in nothing but the parametrisation take steps in the ratio of their rates."""
    batch = _batch()
    moved = {}
    for name in ("standard", "mup"):
        state = LocalState(replace(SPEC, parametrisation=name, weight_decay=0.0), HERE)
        before = {key: p.detach().clone() for key, p, _ in roles(state.model)}
        state.train_step(batch, 1e-3)
        moved[name] = {
            (key, role): (p.detach() - before[key]).abs().max().item() for key, p, role in roles(state.model)
        }
    for (key, role), step in moved["mup"].items():
        expected = factors("mup", role, Shape(32, 4)).rate
        assert step / moved["standard"][key, role] == pytest.approx(expected, rel=1e-2), key


def test_completep_needs_a_residual_stream() -> None:
    spec = replace(SPEC, family="lstm", width=16, depth=2, parametrisation="completep")
    with pytest.raises(ValueError, match=r"training\.parametrisation: completep .* family 'lstm' has none"):
        LocalState(spec, HERE)


def test_logits_move_alike_at_every_width_under_mup() -> None:
    """The coordinate check: after a few steps at one rate the change of the logits does not grow with width.

    Measured slopes of log change in log width: about 0 under muP, 0.4 and more under the standard one.
    """
    slopes = {name: _slope(replace(SPEC, parametrisation=name)) for name in ("standard", "mup")}
    assert abs(slopes["mup"]) < 0.2
    assert slopes["standard"] > 0.3


def test_logits_move_alike_at_every_width_under_mup_and_muon() -> None:
    """The same check for Muon, whose factor is the root of AdamW's: 0.5 more where it has none."""
    settings = tuple(sorted(OPTIMIZERS["muon"].settings.items()))
    muon = replace(SPEC, optimizer="muon", optimizer_settings=settings)
    slopes = {name: _slope(replace(muon, parametrisation=name)) for name in ("standard", "mup")}
    assert abs(slopes["mup"]) < 0.2
    assert slopes["standard"] > slopes["mup"] + 0.1


def _slope(spec: TrunkSpec) -> float:
    """How the log change of the logits over four steps goes with log width."""
    widths, changes = (32, 64, 128, 256), []
    for width in widths:
        state = LocalState(replace(spec, width=width, depth=2), HERE)
        tokens = torch.from_numpy(_batch().inputs[0])
        before = state.model(tokens).detach()
        for _ in range(4):
            state.train_step(_batch(), 4e-3)
        changes.append((state.model(tokens).detach() - before).square().mean().sqrt().log())
    x = torch.tensor([float(width) for width in widths]).log()
    x = x - x.mean()
    return float((x * torch.stack(changes)).sum() / x.square().sum())


def _batch():  # type: ignore[no-untyped-def]
    from scaling.data.layout import Layout
    from scaling.training.objectives import OBJECTIVES

    rows = torch.randint(61, (4, 25), generator=torch.Generator().manual_seed(0)).numpy()
    return OBJECTIVES["causal"](rows, Layout(61), ())
