"""Zipf Markov: the entropy rate, and what pairing losses with the truth saves."""

from __future__ import annotations

import numpy as np
import pytest

from scaling.data.truth.law import Array
from scaling.data.truth.zipf_markov import ZipfMarkov

SOURCE = ZipfMarkov()


def opinions(source: ZipfMarkov, error: float) -> Array:
    """(vocab, vocab) ln of a model near the truth: its logits are off by `error`."""
    logits = np.log(source.transition) + error * np.random.default_rng(0).normal(size=source.transition.shape)
    normalised: Array = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return normalised


def test_entropy_rate_is_the_published_one() -> None:
    """METHODS: 512 tokens, a = .7, lambda = .75 has H = 0.88586 and a unigram entropy of 1.41468."""
    assert SOURCE.floor == pytest.approx(0.88586, abs=5e-6)
    assert SOURCE.unigram == pytest.approx(1.41468, abs=5e-6)


def test_stationary_law_is_stationary_and_rows_start_from_it() -> None:
    assert SOURCE.stationary.sum() == pytest.approx(1)
    assert SOURCE.stationary @ SOURCE.transition == pytest.approx(SOURCE.stationary)
    small = ZipfMarkov(tokens=8)
    drawn = small.draw(np.random.default_rng(0), 50_000, 3)
    for column in (0, 3):
        share = np.bincount(drawn[:, column], minlength=8) / len(drawn)
        assert np.abs(share - small.stationary).max() < 5 * 0.5 / np.sqrt(len(drawn))
    steps = np.zeros((8, 8))
    np.add.at(steps, (drawn[:, 1], drawn[:, 2]), 1)
    often = steps.sum(axis=1) > 1000
    observed = (steps / steps.sum(axis=1, keepdims=True))[often]
    assert observed == pytest.approx(small.transition[often], abs=0.05)


def test_the_truth_has_the_loss_of_the_floor_without_any_error() -> None:
    ids = SOURCE.heldout(32, 16, 4096)[0]
    losses, weights = SOURCE.losses(np.log(SOURCE.transition)[ids[:, :-1]], ids)
    assert losses == pytest.approx(SOURCE.floor, rel=1e-12)
    assert (weights == 32).all()


def test_paired_loss_is_unbiased_and_far_less_noisy() -> None:
    """The same rows, with and without the control variate, against the exact loss of a model of pairs.

    At an excess of about 0.02 nats the standard error falls by more than 5; METHODS measured 11.
    """
    model = opinions(SOURCE, 0.5)
    exact = -float((SOURCE.stationary[:, None] * SOURCE.transition * model).sum())
    assert 0.01 < exact - SOURCE.floor < 0.03
    ids = np.concatenate(SOURCE.heldout(64, 16, 2**16))
    log_probs = model[ids[:, :-1]]
    paired, _ = SOURCE.losses(log_probs, ids)
    plain = -np.take_along_axis(log_probs, ids[:, 1:, None], axis=2)[:, :, 0].mean(axis=1)
    se_paired, se_plain = (x.std() / np.sqrt(len(x)) for x in (paired, plain))
    assert abs(paired.mean() - exact) < 4 * se_paired
    assert abs(plain.mean() - exact) < 4 * se_plain
    assert se_plain / se_paired > 5


def test_heldout_rows_are_fixed_and_no_training_rows() -> None:
    first, again = SOURCE.heldout(16, 8, 1000), SOURCE.heldout(16, 8, 1000)
    assert len(first) == 8
    assert all((one == other).all() for one, other in zip(first, again, strict=True))
    training = SOURCE.draw(np.random.default_rng([0, 0]), 8, 16)
    assert (training != first[0]).any()
