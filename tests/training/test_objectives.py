"""From rows of ids to inputs and targets."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scaling.data import layout
from scaling.data.layout import NOTHING, Layout
from scaling.models import sizes
from scaling.training.objectives import OBJECTIVES, cross_entropy, squared

ROWS = np.random.default_rng(0).integers(1, 50, (200, 41))
TEXT = Layout(vocab=50)
PAIRS = Layout(vocab=50, separator=0)
TWO_PAIRS = np.array([[5, 6, 7, 0, 8, 9, -1], [5, 0, 6, 7, 8, 9, 4]])


def test_nothing_means_the_same_to_data_and_models() -> None:
    assert layout.NOTHING == sizes.NOTHING


def test_causal_predicts_each_next_token() -> None:
    (inputs,), targets = OBJECTIVES["causal"](ROWS, TEXT, ())
    assert (inputs == ROWS[:, :-1]).all()
    assert (targets == ROWS[:, 1:]).all()


def test_causal_predicts_only_where_the_corpus_says_so() -> None:
    only_last = np.arange(40) == 39
    _, targets = OBJECTIVES["causal"](ROWS, Layout(50, predicted=only_last), ())
    assert (targets[:, :-1] == NOTHING).all()
    assert (targets[:, -1] == ROWS[:, -1]).all()


def test_causal_predicts_the_target_of_a_pair() -> None:
    (inputs,), targets = OBJECTIVES["causal"](TWO_PAIRS, PAIRS, ())
    assert inputs.min() >= 0
    assert targets.tolist() == [[-1, -1, -1, 8, 9, -1], [-1, 6, 7, 8, 9, 4]]


def test_masking_shows_what_bert_shows() -> None:
    (inputs,), targets = OBJECTIVES["masked"](ROWS, TEXT, (0, 7))
    original = ROWS[:, :-1]
    chosen = targets != NOTHING
    assert (targets[chosen] == original[chosen]).all()
    assert (inputs[~chosen] == original[~chosen]).all()
    n = chosen.size
    # 5 standard errors each way: a false alarm in 2 million draws; the key is fixed anyway.
    assert abs(chosen.mean() - 0.15) < 5 * math.sqrt(0.15 * 0.85 / n)
    shown_as_mask = inputs[chosen] == 50
    kept = inputs[chosen] == original[chosen]
    for part, expected in ((shown_as_mask, 0.8), (kept, 0.1 + 0.1 / 50)):
        assert abs(part.mean() - expected) < 5 * math.sqrt(expected * (1 - expected) / chosen.sum())
    again, other = (OBJECTIVES["masked"](ROWS, TEXT, key) for key in ((0, 7), (0, 8)))
    assert (again.inputs[0] == inputs).all()
    assert (other.targets != targets).any()


@given(st.integers(1, 12), st.integers(0, 5), st.integers(0, 2**31))
def test_every_row_has_something_to_predict_and_padding_nothing(length: int, pad: int, key: int) -> None:
    ids = np.concatenate([ROWS[:3, : length + 1], np.full((3, pad), NOTHING)], axis=1)
    (inputs,), targets = OBJECTIVES["masked"](ids, TEXT, (key,))
    assert ((targets != NOTHING).sum(axis=1) >= 1).all()
    assert (targets[:, length + 1 :] == NOTHING).all()
    assert (inputs[:, length + 1 :] == NOTHING).all()


def test_a_row_of_text_is_half_source_half_target() -> None:
    (source, begun), targets = OBJECTIVES["seq2seq"](ROWS, TEXT, ())
    assert (np.concatenate([source, begun], axis=1) == ROWS[:, :-1]).all()
    assert (targets == ROWS[:, 21:]).all()
    assert begun.shape == targets.shape == (200, 20)


def test_a_pair_is_cut_at_its_separator() -> None:
    (source, begun), targets = OBJECTIVES["seq2seq"](TWO_PAIRS, PAIRS, ())
    assert source.tolist() == [[5, 6, 7], [5, -1, -1]]
    assert begun.tolist() == [[0, 8, 9, -1, -1], [0, 6, 7, 8, 9]]
    assert targets.tolist() == [[8, 9, -1, -1, -1], [6, 7, 8, 9, 4]]


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=6))
def test_no_token_of_a_pair_is_lost(lengths: list[tuple[int, int]]) -> None:
    rows = np.full((len(lengths), 20), NOTHING)
    for row, (a, b) in zip(rows, lengths, strict=True):
        row[: a + 1 + b] = [*range(1, a + 1), 0, *range(20, 20 + b)]
    (source, begun), targets = OBJECTIVES["seq2seq"](rows, PAIRS, ())
    for i, (a, b) in enumerate(lengths):
        assert source[i][source[i] != NOTHING].tolist() == list(range(1, a + 1))
        assert targets[i][targets[i] != NOTHING].tolist() == list(range(20, 20 + b))
        assert begun[i, 0] == 0


def test_losses_count_only_what_is_predicted() -> None:
    logits = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([[1, NOTHING, 4], [NOTHING, NOTHING, 0]])
    p = torch.softmax(logits, -1)
    for i, j in ((0, 0), (0, 2), (1, 2)):
        y = targets[i, j]
        distance = (p[i, j] - torch.nn.functional.one_hot(y, 5)).square().sum()
        torch.testing.assert_close(cross_entropy(logits, targets)[i, j], -p[i, j, y].log())
        torch.testing.assert_close(squared(logits, targets)[i, j], distance)
    for loss in (cross_entropy, squared):
        assert (loss(logits, targets)[targets == NOTHING] == 0).all()


def test_squared_loss_is_least_at_the_true_probabilities() -> None:
    truth = torch.tensor([0.5, 0.3, 0.2])
    targets = torch.tensor([[0, 1, 2]])

    def expected(p: torch.Tensor) -> float:
        return float((squared(p.log().expand(1, 3, 3), targets)[0] * truth).sum())

    for other in ([0.6, 0.2, 0.2], [0.4, 0.4, 0.2], [1 / 3, 1 / 3, 1 / 3]):
        assert expected(truth) < expected(torch.tensor(other)) - 1e-4


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_batch_splits_into_parts_of_rows(name: str) -> None:
    batch = OBJECTIVES[name](ROWS[:10], TEXT, (1,))
    parts = batch.split(4)
    assert [len(part.targets) for part in parts] == [4, 4, 2]
    assert (np.concatenate([part.targets for part in parts]) == batch.targets).all()
    for i, x in enumerate(batch.inputs):
        assert (np.concatenate([part.inputs[i] for part in parts]) == x).all()
