"""The contract of every family. A new family is under it as soon as it is registered."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from scaling.models import FAMILIES, Family, Shape, get_family
from scaling.models.counting import check_counts, count_built

VOCAB, CONTEXT = 61, 24
every_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


def build(family: Family, shape: Shape | None = None) -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return family.build(shape or family.ladder[2], VOCAB, CONTEXT)


def some_tokens(rows: int = 3, seed: int = 1) -> torch.Tensor:
    return torch.randint(VOCAB, (rows, CONTEXT), generator=torch.Generator().manual_seed(seed))


@every_family
def test_untrained_loss_is_that_of_guessing(family: Family) -> None:
    tokens = some_tokens(64)
    logits = build(family, family.shape_for(1e5))(tokens)
    loss = F.cross_entropy(logits.flatten(0, 1), torch.randint(VOCAB, (logits.shape[0] * logits.shape[1],)))
    assert loss.item() == pytest.approx(math.log(VOCAB), abs=0.05)


@every_family
@pytest.mark.parametrize("position", [0.0, 0.3, 0.6])
def test_closed_form_is_what_the_built_model_has(family: Family, position: float) -> None:
    shape = sorted(family.ladder, key=family.params)[int(position * len(family.ladder))]
    for vocab, context in ((61, 24), (257, 128)):
        assert family.counts(shape, vocab, context) == count_built(family, shape, vocab, context)


@every_family
def test_parameters_are_those_of_a_model_in_memory(family: Family) -> None:
    model = build(family)
    assert family.counts(family.ladder[2], VOCAB, CONTEXT).params_total == sum(
        p.numel() for p in model.parameters()
    )


def test_a_wrong_closed_form_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = FAMILIES["decoder"]
    wrong = Family(
        "wrong", "causal", decoder.ladder, lambda s, v, c: decoder.counts(s, v + 1, c), decoder.build
    )
    monkeypatch.setitem(FAMILIES, "wrong", wrong)
    with pytest.raises(ValueError, match=r"family 'wrong' at 16x2: its closed form says Counts\(.*built: "):
        check_counts("wrong", Shape(16, 2), VOCAB, CONTEXT)


@every_family
def test_an_output_sees_no_later_token(family: Family) -> None:
    """By gradient: the loss at position t has none with respect to the embedding of a later token."""
    if family.objective != "causal":
        pytest.skip("only causal families promise this")
    model = build(family)
    tokens = some_tokens(1)
    embedded: list[torch.Tensor] = []
    handle = model.get_submodule("embedding").register_forward_hook(
        lambda _module, _inputs, output: embedded.append(output) or output.retain_grad()
    )
    place = CONTEXT // 2
    model(tokens)[0, place].square().sum().backward()
    handle.remove()
    gradient = embedded[0].grad
    assert gradient is not None
    reach = gradient[0].abs().sum(dim=-1)
    assert reach[place] > 0
    assert torch.count_nonzero(reach[place + 1 :]) == 0


@every_family
def test_the_order_of_a_batch_changes_nothing(family: Family) -> None:
    model, tokens = build(family), some_tokens(5)
    order = torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(model(tokens)[order], model(tokens[order]), rtol=1e-5, atol=1e-6)


@every_family
@pytest.mark.parametrize("cuts", [[1] * CONTEXT, [5, 1, CONTEXT - 6]], ids=["one by one", "in three pieces"])
def test_a_sequence_in_pieces_is_the_sequence_whole(family: Family, cuts: list[int]) -> None:
    if family.objective != "causal":
        pytest.skip("only causal families promise this")
    model, tokens = build(family), some_tokens(3)
    whole = model(tokens)
    state, pieces = None, []
    for piece in tokens.split(cuts, dim=1):
        logits, state = model.extend(piece, state)
        pieces.append(logits)
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole, rtol=1e-5, atol=1e-5)


def test_a_position_past_the_context_is_refused() -> None:
    model = build(FAMILIES["decoder"])
    _, state = model.extend(some_tokens(1))
    with pytest.raises(ValueError, match=r"24 tokens and 1 more are past the model's context of 24\. Start"):
        model.extend(torch.zeros(1, 1, dtype=torch.long), state)


@every_family
def test_it_overfits_one_batch(family: Family) -> None:
    torch.manual_seed(0)
    model = build(family, family.shape_for(2e4))
    tokens = some_tokens(2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1


@every_family
@given(st.floats(math.log(5e3), math.log(9.9e8)))
def test_a_size_gets_a_shape_within_tolerance(family: Family, log_params: float) -> None:
    wanted = math.exp(log_params)
    assert abs(family.params(family.shape_for(wanted)) / wanted - 1) <= 0.15


@every_family
def test_a_ladder_spans_three_decades(family: Family) -> None:
    sizes = [family.params(shape) for shape in family.ladder]
    assert max(sizes) / min(sizes) >= 1e3
    assert len(set(family.ladder)) == len(family.ladder)


def test_no_shape_near_a_size_is_an_error_that_names_the_ladder() -> None:
    with pytest.raises(
        ValueError,
        match=r"family 'decoder' has no shape within 15% of 3,000 parameters; the nearest is 4,774\. "
        r"Its ladder goes from 4,774 to 1,079,086,848\.",
    ):
        get_family("decoder").shape_for(3e3)


@pytest.mark.parametrize("params", [0, -1, math.nan, math.inf])
def test_a_size_that_is_no_size_is_refused(params: float) -> None:
    with pytest.raises(ValueError, match=r"model\.params: a positive number of parameters is needed"):
        get_family("decoder").shape_for(params)


def test_an_unknown_family_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown family 'transformer'; known families: .*decoder"):
        get_family("transformer")
