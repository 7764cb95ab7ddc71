"""The contract of every family. A new family is under it as soon as it is registered."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from scaling.models import FAMILIES, NOTHING, Family, Shape, get_family, input_lengths
from scaling.models.blocks import set_compute_dtype
from scaling.models.counting import AllSteps, count_built
from scaling.models.options import WINDOW
from scaling.records.storage import load_checkpoint, save_checkpoint

VOCAB, CONTEXT = 61, 24
CAUSAL = {name: family for name, family in FAMILIES.items() if family.objective == "causal"}
every_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
every_causal_family = pytest.mark.parametrize("family", CAUSAL.values(), ids=CAUSAL)


def build(family: Family, shape: Shape | None = None, seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return family.build(shape or family.ladder[2], VOCAB, CONTEXT)


def some_tokens(rows: int, length: int = CONTEXT, seed: int = 1) -> Tensor:
    return torch.randint(VOCAB, (rows, length), generator=torch.Generator().manual_seed(seed))


def some_inputs(family: Family, rows: int = 3) -> tuple[Tensor, ...]:
    """Random tokens for each input of the model, the full context in all."""
    lengths = input_lengths(family.objective, CONTEXT)
    return tuple(some_tokens(rows, length, seed) for seed, length in enumerate(lengths))


def embedded(model: nn.Module) -> list[Tensor]:
    """Fills, as `model` is called, with what its embedding returned; gradients are kept there."""
    found: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        output.retain_grad()
        found.append(output)

    model.get_submodule("embedding").register_forward_hook(keep)
    return found


@every_family
def test_untrained_loss_is_that_of_guessing(family: Family) -> None:
    logits = build(family, family.shape_for(1e5))(*some_inputs(family, 64)).flatten(0, 1)
    loss = F.cross_entropy(logits, some_tokens(1, len(logits), seed=9)[0])
    assert loss.item() == pytest.approx(math.log(VOCAB), abs=0.05)


@every_family
@pytest.mark.parametrize("position", [0.0, 0.3, pytest.param(0.6, marks=pytest.mark.slow)])
def test_closed_form_is_what_the_built_model_has(family: Family, position: float) -> None:
    shape = sorted(family.ladder, key=family.params)[int(position * len(family.ladder))]
    for vocab, context in ((61, 25), (257, 128)):
        closed, built = family.counts(shape, vocab, context), count_built(family, shape, vocab, context)
        assert replace(closed, params_active=None) == built


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("sides", [False, True], ids=["forward", "both ways"])
def test_a_recurrent_layer_counted_in_one_product_has_the_flops_of_its_steps(
    kind: type[nn.RNNBase], sides: bool
) -> None:
    with torch.device("meta"):
        layer, x = kind(6, 8, 3, batch_first=True, bidirectional=sides), torch.zeros(2, 5, 6)
    counted, shapes = [], []
    for module in (layer, AllSteps(layer)):
        with FlopCounterMode(display=False) as counter:
            out, _ = module(x, None)
        counted.append(counter.get_total_flops())
        shapes.append(out.shape)
    assert counted[0] == counted[1] > 0
    assert shapes[0] == shapes[1]


@every_family
def test_parameters_are_those_of_a_model_in_memory(family: Family) -> None:
    model, counts = build(family), family.counts(family.ladder[2], VOCAB, CONTEXT)
    assert counts.params_total == sum(p.numel() for p in model.parameters())
    if family.objective == "seq2seq":
        assert counts.params_encoder == sum(p.numel() for p in model.get_submodule("encoder").parameters())
        assert counts.params == (counts.params_encoder or 0) + (counts.params_decoder or 0)
    else:
        assert counts.params_encoder is None
        assert counts.params_decoder is None


def test_a_wrong_closed_form_is_refused() -> None:
    decoder = FAMILIES["decoder"]
    wrong = Family(
        name="wrong",
        ladder=decoder.ladder,
        counts=lambda s, v, c: decoder.counts(s, v + 1, c),
        build=decoder.build,
    )
    with pytest.raises(ValueError, match=r"family 'wrong' at 16x2: its closed form says Counts\(.*built: "):
        wrong.check_counts(Shape(16, 2), VOCAB, CONTEXT)


@every_family
def test_which_tokens_an_output_sees(family: Family) -> None:
    """By gradient: causal ones none that is later, bidirectional ones all, a source is seen whole."""
    model = build(family)
    found = embedded(model)
    logits = model(*some_inputs(family, 1))
    place = logits.shape[1] // 2
    logits[0, place].square().sum().backward()
    reach = [(x.grad[0].abs().sum(dim=-1) > 0).tolist() for x in found if x.grad is not None]
    before = [family.name != "feedforward" or place - i < WINDOW for i in range(place + 1)]
    causal = before + [False] * (logits.shape[1] - place - 1)
    expected = {
        "causal": [causal],
        "masked": [[True] * CONTEXT],
        "seq2seq": [[True] * (CONTEXT // 2), causal],
    }
    assert reach == expected[family.objective]


def test_the_window_of_feedforward_ends_where_it_says() -> None:
    """At the last position there are tokens before the window: none of them is seen, and all inside are."""
    model = build(FAMILIES["feedforward"])
    found = embedded(model)
    model(some_tokens(1))[0, -1].square().sum().backward()
    assert found[0].grad is not None
    reach = found[0].grad[0].abs().sum(dim=-1) > 0
    assert reach.tolist() == [False] * (CONTEXT - WINDOW) + [True] * WINDOW


@every_family
def test_the_order_of_a_batch_changes_nothing(family: Family) -> None:
    model, inputs = build(family), some_inputs(family, 5)
    order = torch.tensor([3, 0, 4, 1, 2])
    whole, shuffled = model(*inputs), model(*(x[order] for x in inputs))
    torch.testing.assert_close(whole[order], shuffled, rtol=1e-5, atol=1e-6)


@every_family
def test_padding_changes_nothing(family: Family) -> None:
    """A short row among long ones gives, where it has tokens, the logits that it gives alone."""
    model, inputs = build(family), some_inputs(family, 3)
    lengths = [x.shape[1] // 2 + 1 for x in inputs]
    alone = model(*(x[1:2, :n] for x, n in zip(inputs, lengths, strict=True)))
    for x, n in zip(inputs, lengths, strict=True):
        x[1, n:] = NOTHING
    among = model(*inputs)[1:2, : lengths[-1]]
    torch.testing.assert_close(among, alone, rtol=1e-5, atol=1e-5)


@every_family
def test_gradients_are_numbers_where_a_row_is_all_padding(family: Family) -> None:
    model, inputs = build(family), some_inputs(family, 2)
    inputs[0][0] = NOTHING
    model(*inputs).square().mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@every_causal_family
@pytest.mark.parametrize("cuts", [[1] * CONTEXT, [5, 1, CONTEXT - 6]], ids=["one by one", "in three pieces"])
def test_a_sequence_in_pieces_is_the_sequence_whole(family: Family, cuts: list[int]) -> None:
    """State carried across segments equals one long pass, whatever the state is."""
    model, tokens = build(family), some_tokens(3)
    state, pieces = None, []
    for piece in tokens.split(cuts, dim=1):
        logits, state = model.extend(piece, state)
        pieces.append(logits)
    torch.testing.assert_close(torch.cat(pieces, dim=1), model(tokens), rtol=1e-5, atol=1e-5)


def test_a_target_in_pieces_is_the_target_whole() -> None:
    family = FAMILIES["encoder_decoder"]
    model, (source, tokens) = build(family), some_inputs(family)
    source[0, 7:] = NOTHING
    memory, state, pieces = model.encode(source), None, []
    for piece in tokens.split([1, 4, 1, CONTEXT // 2 - 6], dim=1):
        logits, state = model.extend(piece, state, memory)
        pieces.append(logits)
    torch.testing.assert_close(torch.cat(pieces, dim=1), model(source, tokens), rtol=1e-5, atol=1e-5)


@every_family
def test_positions_end_with_the_context(family: Family) -> None:
    model, one_more = build(family), some_tokens(1, CONTEXT + 1)
    inputs = (one_more, one_more[:, :1]) if family.objective == "seq2seq" else (one_more,)
    if model.context is None:
        assert model(*inputs).shape[1] == CONTEXT + 1
        return
    with pytest.raises(ValueError, match=r"25 tokens do not fit the model's context of 24\. Give it"):
        model(*inputs)


def test_a_cache_that_is_full_takes_no_more() -> None:
    model = build(FAMILIES["decoder"])
    _, state = model.extend(some_tokens(1))
    with pytest.raises(ValueError, match="25 tokens do not fit"):
        model.extend(some_tokens(1, 1), state)


@every_family
def test_it_overfits_one_batch(family: Family) -> None:
    torch.manual_seed(0)
    model, inputs = build(family, family.shape_for(2e4)), some_inputs(family, 2)
    targets = some_tokens(2, inputs[-1].shape[1], seed=9).flatten()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(*inputs).flatten(0, 1), targets)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1


@every_family
def test_saved_and_loaded_it_gives_the_same_logits(family: Family, tmp_path: Path) -> None:
    model, inputs = build(family), some_inputs(family)
    save_checkpoint(tmp_path, 7, lambda file: torch.save(model.state_dict(), file))

    def read(file: io.BufferedIOBase) -> dict[str, Tensor]:
        return dict(torch.load(file, weights_only=True))

    found = load_checkpoint(tmp_path, read)
    assert found is not None
    other = build(family, seed=1)
    assert not torch.equal(other(*inputs), model(*inputs))
    other.load_state_dict(found[1])
    assert torch.equal(other(*inputs), model(*inputs))


@every_family
def test_matrix_products_in_bfloat16_stay_near_float32_and_leave_weights_alone(family: Family) -> None:
    model, inputs = build(family, family.shape_for(1e5)), some_inputs(family)
    exact = model(*inputs)
    set_compute_dtype(model, torch.bfloat16)
    rough = model(*inputs)
    rough.float().square().mean().backward()
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert not torch.equal(exact, rough.float())
    torch.testing.assert_close(rough.float(), exact, rtol=0, atol=0.05)
    set_compute_dtype(model, None)
    assert torch.equal(model(*inputs), exact)


@every_family
@given(st.floats(math.log(5e3), math.log(9.9e8)))
def test_a_size_gets_a_shape_within_tolerance(family: Family, log_params: float) -> None:
    wanted = math.exp(log_params)
    if family.name == "moe":
        wanted = max(wanted, 1e4)  # its smallest shapes lie further apart
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
    with pytest.raises(ValueError, match=r"no family named 'transformer'.* There are decoder"):
        get_family("transformer")
