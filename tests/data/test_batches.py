from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaling.data.batches import WindowBatches, heldout_batches

sizes = st.tuples(st.integers(2, 400), st.integers(1, 9), st.integers(1, 7), st.integers(0, 5))


def served(batches: WindowBatches, steps: int) -> np.ndarray:
    """The targets of the first steps, in order. Tokens here are their own positions."""
    return np.concatenate([batches.batch(step)[:, 1:].ravel() for step in range(steps)])


@given(sizes)
def test_no_token_is_served_twice_before_all_were_served_once(drawn: tuple[int, int, int, int]) -> None:
    n, context, sequences, seed = drawn
    if n < context + 1:
        return
    batches = WindowBatches(np.arange(n), context=context, sequences=sequences, seed=seed)
    per_epoch = batches.windows * context
    steps = -(-2 * batches.windows // sequences)
    targets = served(batches, steps)
    first, second = targets[:per_epoch], targets[per_epoch : 2 * per_epoch]
    assert set(first) == set(range(1, per_epoch + 1))  # every token once; at most context-1 are never served
    assert set(second) == set(first)
    assert n - 1 - per_epoch < context


@given(sizes, st.integers(1, 30))
def test_repeats_are_counted_as_they_happen(drawn: tuple[int, int, int, int], steps: int) -> None:
    n, context, sequences, seed = drawn
    if n < context + 1:
        return
    batches = WindowBatches(np.arange(n), context=context, sequences=sequences, seed=seed)
    targets = served(batches, steps)
    assert batches.tokens_unique(steps) == len(set(targets.tolist()))
    assert batches.epochs(steps) == pytest.approx(len(targets) / (batches.windows * context))


def test_targets_follow_inputs_in_the_text() -> None:
    batch = WindowBatches(np.arange(1000, dtype=np.uint16), context=8, sequences=4, seed=0).batch(3)
    assert batch.shape == (4, 9)
    assert batch.dtype == np.int64
    assert (np.diff(batch, axis=1) == 1).all()


def test_a_batch_depends_on_seed_and_step_only() -> None:
    tokens = np.arange(500)
    forward = WindowBatches(tokens, context=4, sequences=3, seed=1)
    batches = [forward.batch(step) for step in range(100)]  # more than two epochs
    backward = WindowBatches(tokens, context=4, sequences=3, seed=1)
    for step in reversed(range(100)):
        assert (backward.batch(step) == batches[step]).all()
    assert (WindowBatches(tokens, context=4, sequences=3, seed=2).batch(0) != batches[0]).any()


def test_epochs_have_orders_of_their_own() -> None:
    batches = WindowBatches(np.arange(401), context=4, sequences=100, seed=0)
    assert sorted(batches.batch(0)[:, 0]) == sorted(batches.batch(1)[:, 0])
    assert (batches.batch(0) != batches.batch(1)).any()


def test_the_order_is_the_one_of_every_record_so_far() -> None:
    """NumPy may change its streams between versions; then no old run could be repeated, and we must know."""
    first = WindowBatches(np.arange(81), context=8, sequences=10, seed=0).batch(0)[:, 0] // 8
    assert first.tolist() == ORDER


ORDER = [4, 6, 2, 7, 3, 5, 9, 0, 8, 1]


def test_one_window_is_enough_and_less_is_refused() -> None:
    only = WindowBatches(np.arange(9), context=8, sequences=2, seed=0)
    assert only.batch(0).tolist() == [list(range(9))] * 2
    with pytest.raises(
        ValueError, match=r"training split: 8 tokens do not fill one window of context \+ 1 = 9"
    ):
        WindowBatches(np.arange(8), context=8, sequences=2, seed=0)


@pytest.mark.parametrize("name", ["context", "sequences"])
def test_sizes_must_be_positive(name: str) -> None:
    options = {"context": 4, "sequences": 2, name: 0}
    with pytest.raises(ValueError, match=f"{name}: must be at least 1; got 0"):
        WindowBatches(np.arange(100), seed=0, **options)
    with pytest.raises(ValueError, match=f"{name}: must be at least 1; got 0"):
        heldout_batches(np.arange(100), **options)


def test_steps_are_counted_from_zero() -> None:
    with pytest.raises(ValueError, match="step: counted from 0; got -1"):
        WindowBatches(np.arange(100), context=4, sequences=2, seed=0).batch(-1)


@given(sizes, st.none() | st.integers(1, 500))
def test_heldout_windows_share_no_target(drawn: tuple[int, int, int, int], tokens: int | None) -> None:
    n, context, sequences, _ = drawn
    if (n - 1) // context < sequences:
        return
    batches = heldout_batches(np.arange(n), context, sequences, tokens)
    targets = np.concatenate([batch[:, 1:].ravel() for batch in batches])
    assert all(batch.shape == (sequences, context + 1) for batch in batches)
    assert len(set(targets.tolist())) == len(targets)
    most = (n - 1) // context // sequences * sequences * context
    assert len(targets) == most or (
        tokens is not None and tokens <= len(targets) < tokens + sequences * context
    )


def test_heldout_windows_are_spread_over_the_split() -> None:
    (batch,) = heldout_batches(np.arange(1001), context=10, sequences=4, tokens=40)
    assert batch[:, 0].tolist() == [0, 250, 500, 750]


def test_too_small_a_heldout_split_is_refused() -> None:
    match = "held-out split: 32 tokens are too few for one batch of 4 sequences of 8 tokens, which takes 33"
    with pytest.raises(ValueError, match=match):
        heldout_batches(np.arange(32), context=8, sequences=4)
    assert len(heldout_batches(np.arange(33), context=8, sequences=4)) == 1
    with pytest.raises(ValueError, match="tokens: evaluate on at least one held-out token; got 0"):
        heldout_batches(np.arange(33), context=8, sequences=4, tokens=0)
