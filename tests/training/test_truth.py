"""Training on generated corpora: exact losses in the record, and models that know no more than they saw."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from scaling.data.corpora import open_dataset
from scaling.data.generated import GeneratedDataset
from scaling.data.layout import Ids
from scaling.data.options import DataOptions
from scaling.data.truth.bayes import Leak, answer_log_probs, count_answers, find_leak
from scaling.data.truth.law import Array
from scaling.data.truth.zipf_facts import ZipfFacts
from scaling.study.compose import PlanError
from scaling.study.plan import Plan, plan_study
from scaling.study.spec import TrunkSpec
from scaling.training.device import Numerics
from scaling.training.evaluate import evaluate, predictions
from scaling.training.objectives import OBJECTIVES
from scaling.training.state import LocalState
from scaling.training.train import train_trunk

FACTS = [
    *("name=facts", "data=zipf_facts", "data.settings.base=16", "data.vocab=16", "tracking=off"),
    *("model.params=null", "model.width=16", "model.depth=1", "budget.tokens=[1024,4096]"),
    *(
        "training.sequences=64",
        "training.learning_rate=2e-2",
        "training.threads=1",
        "training.warmup_steps=4",
    ),
]


def plan(*overrides: str) -> Plan:
    return plan_study([*FACTS, *overrides])


def opened(of: Plan) -> GeneratedDataset:
    dataset = open_dataset(of.trunks[0].spec.data, of.config.cache)
    assert isinstance(dataset, GeneratedDataset)
    return dataset


def test_a_study_of_facts_counts_facts_and_has_exact_losses(tmp_path: Path) -> None:
    trunk = plan().trunks[0]
    source = ZipfFacts(base=16)
    records = train_trunk(trunk, opened(plan()), tmp_path, study="facts", threads=1)
    assert [record.tokens for record in records] == [1024, 4096]
    assert trunk.spec.batch_tokens == 64
    for record in records:
        assert record.tokens_unique == record.tokens
        assert record.steps == record.tokens // 64
        # Two digits are read for one answer: 3 × (2 × (12 × 16² + 16 × 16) + 4 × 2 × 16) × 2 FLOP a fact.
        assert record.flops == record.tokens * 2 * 3 * (2 * (12 * 256 + 256) + 128)
        assert record.loss is not None
        assert source.floor < record.loss < math.log(16)
        assert record.loss_se == 0
        assert record.bits_per_byte is None
    assert records[0].loss > records[1].loss  # type: ignore[operator]


def trained(spec: TrunkSpec, batches: list[Ids], dataset: GeneratedDataset) -> LocalState:
    state = LocalState(spec, Numerics("cpu", "float32", 1))
    for step, ids in enumerate(batches):
        state.train_step(OBJECTIVES["causal"](ids, dataset.layout, (0, step)), spec.learning_rate)
    return state


def judged(state: LocalState, dataset: GeneratedDataset, counted: list[Ids]) -> Leak:
    """The trained transformer against the best learner of the rows that it is said to have seen."""
    source = dataset.source
    assert isinstance(source, ZipfFacts)

    def predict(ids: Ids) -> Array:
        logits = next(predictions(state.model, "causal", [ids], dataset, "cpu"))[2]
        return np.asarray(torch.log_softmax(logits.double(), -1).numpy())

    return find_leak(source, answer_log_probs(source, predict), count_answers(source, counted))


def test_no_model_beats_the_best_learner_unless_it_cheats() -> None:
    """The same transformer, trained on the stream, and on a stream of which a third is held-out rows."""
    dataset, spec = opened(plan()), plan().trunks[0].spec
    stream = dataset.batches(2, 64, seed=0)
    batches = [stream.batch(step) for step in range(120)]
    state = trained(spec, batches, dataset)
    honest = judged(state, dataset, batches)
    assert not honest.leaks, str(honest)
    assert honest.loss > honest.bayes
    rows = dataset.heldout_batches(2, 64)
    assert evaluate(state.model, "causal", rows, dataset, "cpu").loss == pytest.approx(honest.loss, rel=1e-12)

    heldout = np.concatenate(rows)
    leaking = [
        np.concatenate([ids[:43], np.random.default_rng(i).choice(heldout, 21)])
        for i, ids in enumerate(batches)
    ]
    assert judged(trained(spec, leaking, dataset), dataset, batches).leaks


def test_paired_evaluation_on_a_stream_agrees_with_the_plain_one() -> None:
    dataset = open_dataset(DataOptions("zipf_markov", 64, settings=(("tokens", 64),)), "unused")
    assert isinstance(dataset, GeneratedDataset)
    spec = plan().trunks[0].spec
    spec = replace(spec, data=replace(spec.data, vocab=64, context=32))
    stream = dataset.batches(32, 64, seed=0)
    state = trained(spec, [stream.batch(step) for step in range(40)], dataset)
    rows = dataset.heldout_batches(32, 16, 2**15)
    assert sum(len(ids) for ids in rows) == 2**10
    paired = evaluate(state.model, "causal", rows, dataset, "cpu")
    plain = evaluate(state.model, "causal", rows, replace(dataset, truth=None), "cpu")
    assert abs(paired.loss - plain.loss) < 4 * plain.loss_se
    assert dataset.source.floor < paired.loss
    assert 0 < paired.loss_se < plain.loss_se / 2
    assert paired.tokens == plain.tokens == 2**15


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        (["data.context=5"], "a row of zipf_facts has a context of 2 with these settings; got 5"),
        (["data.vocab=99"], "zipf_facts has 16 ids with these settings; got 99. Give data.vocab=16"),
        (["+data.settings.bass=3"], "corpus 'zipf_facts' has no bass. It has: base, digits, answers"),
        (["data.settings.digits=7"], "268,435,456 keys"),
    ],
)
def test_bad_settings_are_refused_before_training(overrides: list[str], complaint: str) -> None:
    with pytest.raises(PlanError, match=complaint):
        plan(*overrides)
    with pytest.raises(ValueError, match=r"no corpus .zipf_fact.\. There are: .*zipf_facts, zipf_markov"):
        open_dataset(DataOptions("zipf_fact", 256), "unused")
