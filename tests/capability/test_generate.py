"""Caches change nothing, and what is found is what was asked for."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from scaling.capability.generate import fill, generate, translate, window_start
from scaling.models import FAMILIES, NOTHING

VOCAB, CONTEXT = 31, 12
CAUSAL = [name for name, family in FAMILIES.items() if family.objective == "causal"]


def build(name: str, vocab: int = VOCAB, context: int = CONTEXT) -> nn.Module:
    """Untrained, with its output layer made as sure of itself as a trained one's."""
    torch.manual_seed(0)
    model = FAMILIES[name].build(FAMILIES[name].ladder[2], vocab, context).eval()
    nn.init.normal_(model.get_submodule("head").weight)  # type: ignore[arg-type]
    return model


def prompts(rows: int, length: int, vocab: int = VOCAB) -> Tensor:
    return torch.randint(vocab, (rows, length), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("length", [5, 3 * CONTEXT], ids=["prompt fits", "prompt is longer than the context"])
@pytest.mark.parametrize("family", CAUSAL)
def test_with_a_cache_and_without_the_tokens_are_the_same(
    family: str, length: int, temperature: float
) -> None:
    model, given = build(family), prompts(3, length)
    made = [
        generate(model, given, 4 * CONTEXT, temperature=temperature, seed=3, cached=cached)
        for cached in (True, False)
    ]
    assert made[0] == made[1]
    assert {len(row) for row in made[0]} == {4 * CONTEXT}


@pytest.mark.parametrize("family", CAUSAL)
def test_within_the_context_each_token_is_the_likeliest_after_those_before(family: str) -> None:
    model, given = build(family), prompts(2, 4)
    whole = torch.cat((given, torch.tensor(generate(model, given, CONTEXT - 4))), dim=1)
    assert torch.equal(model(whole).argmax(dim=-1)[:, 3:-1], whole[:, 4:])


@pytest.mark.parametrize(("length", "start"), [(1, 0), (12, 0), (13, 6), (18, 6), (19, 12), (25, 18)])
def test_a_full_window_moves_on_by_half(length: int, start: int) -> None:
    assert window_start(length, 12) == start
    assert window_start(length, None) == 0


def test_a_draw_is_its_seed_s_and_no_temperature_means_no_draw() -> None:
    model, given = build("feedforward"), prompts(1, 4)
    drawn = [generate(model, given, 20, temperature=1.0, seed=seed)[0] for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert generate(model, given, 20, seed=0) == generate(model, given, 20, seed=1)


def test_draws_follow_the_probabilities() -> None:
    """Chi-squared over the likeliest tokens: a false alarm in 1e6 draws of the seed, by the limit at 6 sd."""
    model, given = build("lstm"), prompts(1, 3)
    drawn = torch.tensor(generate(model, given.expand(4000, -1), 1, temperature=2.0))[:, 0]
    p = torch.softmax(model(given)[0, -1] / 2.0, dim=-1).detach()
    expected = 4000 * p
    often = expected > 20
    statistic = ((drawn.bincount(minlength=VOCAB) - expected)[often].square() / expected[often]).sum().item()
    freedom = int(often.sum())
    assert freedom > 3
    assert statistic < freedom + 6 * math.sqrt(2 * freedom)


def test_a_row_ends_where_it_says() -> None:
    model, given = build("decoder"), prompts(4, 3)
    whole = generate(model, given, 30)
    end = whole[0][5]
    for row, cut in zip(whole, generate(model, given, 30, end=end), strict=True):
        assert cut == (row[: row.index(end)] if end in row else row)


def test_padding_of_a_source_and_its_neighbours_change_no_translation() -> None:
    model, source = build("encoder_decoder"), prompts(3, 8)
    begin = torch.zeros(3, 1, dtype=torch.long)
    source[1, 5:] = NOTHING
    for beam in (1, 3):
        together = translate(model, source, begin, 10, beam=beam)
        alone = translate(model, source[1:2, :5], begin[:1], 10, beam=beam)
        assert together[1:2] == alone


def test_a_translation_is_the_likeliest_token_each_time() -> None:
    model, source = build("encoder_decoder"), prompts(2, 6)
    begin = torch.full((2, 1), 3)
    made = torch.tensor(translate(model, source, begin, 100))
    assert made.shape[1] == CONTEXT  # as far as there are positions
    whole = torch.cat((begin, made), dim=1)
    assert torch.equal(model(source, whole[:, :-1]).argmax(dim=-1), whole[:, 1:])


@pytest.mark.parametrize("power", [0.0, 0.6, 1.5])
def test_a_beam_of_everything_finds_the_best_there_is(power: float) -> None:
    """Against every target of up to four tokens, one by one."""
    vocab, end, longest = 4, 2, 4
    model, source = build("encoder_decoder", vocab), prompts(1, 6, vocab)
    begin = torch.zeros(1, 1, dtype=torch.long)
    best: tuple[float, list[int]] = (-math.inf, [])
    others = [i for i in range(vocab) if i != end]
    for length in range(longest + 1):
        for target in itertools.product(others, repeat=length):
            said = [*target, end] if length < longest else [*target]
            ids = torch.tensor([[0, *said]])
            steps = torch.log_softmax(model(source, ids[:, :-1]), dim=-1)[0]
            total = steps.gather(1, ids[0, 1:, None]).sum().item()
            best = max(best, (total / ((5 + len(said)) / 6) ** power, list(target)))
    found = translate(model, source, begin, longest, beam=81, end=end, length_power=power)
    assert found == [best[1]]


def test_a_wider_beam_is_no_less_likely_than_greedy() -> None:
    model, source = build("encoder_decoder"), prompts(8, 6)
    begin = torch.zeros(8, 1, dtype=torch.long)

    def total(targets: list[list[int]]) -> float:
        ids = torch.cat((begin, torch.tensor(targets)), dim=1)
        steps = torch.log_softmax(model(source, ids[:, :-1]), dim=-1)
        return steps.gather(-1, ids[:, 1:, None]).sum().item()

    greedy, wide = (total(translate(model, source, begin, 8, beam=beam)) for beam in (1, 8))
    assert wide > greedy


def test_a_beam_and_a_temperature_do_not_go_together() -> None:
    model, source = build("encoder_decoder"), prompts(1, 6)
    for beam, temperature in ((0, 0.0), (4, 0.5)):
        with pytest.raises(ValueError, match=r"beam: at least 1, and 1 when drawing; got "):
            translate(model, source, source[:, :1], 5, beam=beam, temperature=temperature)


def test_masks_are_filled_surest_first_and_nothing_else_changes() -> None:
    model, ids = build("masked"), prompts(3, 9)
    ids[0, [1, 4, 6]] = VOCAB
    ids[2, 8] = VOCAB
    filled = fill(model, ids, VOCAB)
    assert torch.equal(filled[ids != VOCAB], ids[ids != VOCAB])
    assert (filled < VOCAB).all()
    expected = ids[:1].clone()
    for _ in range(3):
        p = torch.softmax(model(expected)[0], dim=-1)
        place = max((i for i in range(9) if expected[0, i] == VOCAB), key=lambda i: p[i].max().item())
        expected[0, place] = p[place].argmax()
    assert torch.equal(filled[:1], expected)
