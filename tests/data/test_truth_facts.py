"""Zipf facts: the floor, the population loss and the best learner against what can be computed otherwise."""

from __future__ import annotations

import math

import numpy as np
import pytest

from scaling.data.truth.bayes import (
    answer_log_probs,
    bayes_curve,
    bayes_log_probs,
    bayes_loss,
    count_answers,
    find_leak,
    posterior,
)
from scaling.data.truth.law import Array
from scaling.data.truth.zipf_facts import ZipfFacts

SOURCE = ZipfFacts(base=16, digits=2, answers=8)


def rows(source: ZipfFacts, count: int, seed: int) -> np.ndarray:
    return source.draw(np.random.default_rng(seed), count, source.digits)


def mean(losses_and_weights: tuple[Array, Array]) -> float:
    losses, weights = losses_and_weights
    return float(np.average(losses, weights=weights))


def test_the_floor_is_the_published_one() -> None:
    """METHODS: V = 16, noise 0.1 has E = 0.565009; ln V - E = 2.2076."""
    source = ZipfFacts()
    assert source.floor == pytest.approx(0.565009, abs=5e-7)
    assert source.ignorance == pytest.approx(2.2076, abs=5e-5)
    assert ZipfFacts(noise=0).floor == 0
    assert ZipfFacts(noise=1).floor == pytest.approx(math.log(16))


def test_population_loss_of_perfect_knowledge_is_the_floor_and_of_none_is_ln_v() -> None:
    known = np.full((SOURCE.keys, 2, SOURCE.vocab), -np.inf)
    known[:, :, : SOURCE.answers] = math.log(SOURCE.wrong)
    known[np.arange(SOURCE.keys), :, SOURCE.facts] = math.log(SOURCE.right)
    ids = np.concatenate(SOURCE.heldout(2, 16, None))
    assert mean(SOURCE.losses(known, ids)) == pytest.approx(SOURCE.floor, rel=1e-12)
    assert mean(SOURCE.hits(known, ids)) == 1
    blind = np.full_like(known, -math.log(SOURCE.answers))
    assert mean(SOURCE.losses(blind, ids)) == pytest.approx(math.log(SOURCE.answers))
    half = np.where((np.arange(SOURCE.keys) < 40)[:, None, None], known, blind)
    assert mean(SOURCE.losses(half, ids)) == pytest.approx(SOURCE.floor + SOURCE.ignorance * SOURCE.tail(40))


def test_population_loss_is_the_mean_over_drawn_rows() -> None:
    """A model of arbitrary opinions: its loss on a million drawn rows lies within 4 standard errors."""
    opinions = np.random.default_rng(0).normal(size=(SOURCE.keys, 1, SOURCE.vocab))
    log_probs = opinions - np.log(np.exp(opinions).sum(-1, keepdims=True))
    exact = mean(SOURCE.losses(log_probs, np.concatenate(SOURCE.heldout(2, 16, None))))
    drawn = rows(SOURCE, 10**6, 1)
    observed = -log_probs[SOURCE.ranks(drawn), 0, drawn[:, -1]]
    assert abs(observed.mean() - exact) < 4 * observed.std() / 1e3


def test_keys_are_a_permutation_and_come_at_their_frequencies() -> None:
    ids = np.concatenate(SOURCE.heldout(2, 16, None))
    assert len(np.unique(ids[:, :2], axis=0)) == SOURCE.keys == len(ids)
    assert (SOURCE.ranks(ids) == np.arange(SOURCE.keys)).all()
    drawn = np.bincount(SOURCE.ranks(rows(SOURCE, 200_000, 2)), minlength=SOURCE.keys) / 200_000
    error = np.sqrt(SOURCE.frequency * (1 - SOURCE.frequency) / 200_000)
    assert np.abs((drawn - SOURCE.frequency) / error).max() < 5  # 256 keys: false alarm below 2e-4
    assert SOURCE.frequency[9] / SOURCE.frequency[0] == pytest.approx(10**-1.7)


def test_posterior_is_bayes_rule() -> None:
    counts = np.zeros((SOURCE.keys, SOURCE.answers), dtype=np.int64)
    counts[0, :2] = 3, 1
    likelihood = np.full(SOURCE.answers, SOURCE.wrong**4)
    likelihood[0] = SOURCE.right**3 * SOURCE.wrong
    likelihood[1] = SOURCE.wrong**3 * SOURCE.right
    assert posterior(SOURCE, counts)[0] == pytest.approx(likelihood / likelihood.sum())
    assert posterior(SOURCE, counts)[1] == pytest.approx(1 / SOURCE.answers)


def test_best_learner_has_the_exponent_of_the_theory() -> None:
    """Slope -a / (1 + a) in D; METHODS has -.409 at K = 1,048,576 and D = 2^8 … 2^16 for a = .7."""
    source = ZipfFacts(base=256, digits=2)
    ends = [loss - source.floor for loss, _ in bayes_curve(source, [2**8, 2**14], draws=6)]
    assert np.log(ends[1] / ends[0]) / np.log(2**6) == pytest.approx(-0.7 / 1.7, abs=0.02)


def test_curve_is_the_mean_of_exact_losses_of_drawn_rows() -> None:
    sources = [ZipfFacts(base=16, digits=2, answers=8, world=world) for world in range(40)]
    exact = [bayes_loss(s, count_answers(s, [rows(s, 500, s.world)])) for s in sources]
    average, se = bayes_curve(SOURCE, [500], draws=40)[0]
    assert abs(np.mean(exact) - average) < 4 * np.hypot(se, np.std(exact) / np.sqrt(40))


def learner(counts: np.ndarray, prior: float = 0.5) -> Array:
    """A tabular model that smooths counts: it learns honestly and is worse than the best learner."""
    smooth: Array = np.log((counts + prior) / (counts + prior).sum(axis=1, keepdims=True))
    return smooth


@pytest.mark.parametrize("seen", [100, 1000, 10_000])
def test_honest_learners_do_not_leak(seen: int) -> None:
    counts = count_answers(SOURCE, [rows(SOURCE, seen, seed=3)])
    for log_probs in (learner(counts), bayes_log_probs(SOURCE, counts)):
        found = find_leak(SOURCE, log_probs, counts)
        assert not found.leaks, str(found)
        assert found.expected >= found.bayes
    assert find_leak(SOURCE, bayes_log_probs(SOURCE, counts), counts).loss == pytest.approx(
        bayes_loss(SOURCE, counts)
    )


@pytest.mark.parametrize("seen", [300, 1000, 10_000])
def test_a_learner_that_saw_other_rows_leaks(seen: int) -> None:
    """Proof that the detector can fire: rows that are not counted make the model know too much."""
    counts = count_answers(SOURCE, [rows(SOURCE, seen, seed=3)])
    more = counts + count_answers(SOURCE, [rows(SOURCE, seen, seed=4)])
    for log_probs in (learner(more), bayes_log_probs(SOURCE, more)):
        found = find_leak(SOURCE, log_probs, counts)
        assert found.leaks
        assert "LEAK" in str(found)
    assert find_leak(SOURCE, bayes_log_probs(SOURCE, more), counts).loss < bayes_loss(SOURCE, counts)


def test_a_weak_learner_that_looks_at_the_answers_is_caught_above_the_best_learner() -> None:
    """A leak shows even where the loss is poor: one unseen key in three whispered to a learner."""
    counts = count_answers(SOURCE, [rows(SOURCE, 400, seed=5)])
    whispered = counts.astype(float)
    unseen = np.flatnonzero(counts.sum(axis=1) == 0)[::3]
    whispered[unseen, SOURCE.facts[unseen]] += 1
    found = find_leak(SOURCE, learner(whispered), counts)
    assert found.loss > found.bayes
    assert found.leaks


def test_answers_are_collected_in_the_order_of_ranks() -> None:
    told = answer_log_probs(SOURCE, lambda ids: SOURCE.ranks(ids)[:, None, None] * np.ones((1, 2, 3)))
    assert (told == np.arange(SOURCE.keys)[:, None]).all()


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"bass": 3}, "no bass. It has: base, digits, answers, exponent, noise, world"),
        ({"digits": 1.5}, "data.settings.digits: a whole number is needed; got 1.5"),
        ({"noise": 1.2}, "data.settings.noise: from 0 to 1; got 1.2"),
        ({"base": 256, "digits": 4}, "4,294,967,296 keys"),
    ],
)
def test_refusals(settings: dict[str, float], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint.replace("^", r"\^")):
        ZipfFacts.of("zipf_facts", settings)
    with pytest.raises(ValueError, match="noise above 0"):
        bayes_curve(ZipfFacts(noise=0), [10])
