"""What experiments/truth says, on parts that are quick to compute again and on the table that is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.table import load_runs
from experiments.truth import facts, leaks, markov
from experiments.truth.features import SOURCE, facts_for, train_readout
from scaling.data.corpora import open_dataset
from scaling.data.truth.bayes import LEAK
from scaling.data.truth.zipf_facts import ZipfFacts
from scaling.study.plan import plan_study
from scaling.training.train import train_trunk

TINY = [
    *("tracking=off", "model.params=null", "model.width=8", "model.depth=1", "training.threads=1"),
    *("training.learning_rate=2e-2", "training.warmup_steps=2", "training.sequences=16"),
    *("training.curve_evaluations=0",),
]


def test_random_features_know_as_many_facts_as_they_are() -> None:
    """METHODS 3.2c: the excess is predicted with nothing to fit. Within 5 %, as it was asked."""
    found = train_readout(SOURCE, 32)
    assert abs(found.error) < 0.05
    assert found.known == pytest.approx(32, rel=0.05)


def test_facts_known_inverts_the_tail() -> None:
    source = ZipfFacts(base=16)
    for known in (0, 10, 100.5, 255):
        assert facts_for(source, source.ignorance * source.tail(known)) == pytest.approx(known)


def test_the_kept_sweep_finds_the_floor_and_no_run_knows_too_much() -> None:
    runs = facts.read(facts.KEPT)
    assert runs["surprise"].max() < LEAK
    assert (runs["loss"] > runs["bayes"]).all()
    best = facts.best_of_rates(runs)
    after = best[best["tokens"] >= facts.CUT]
    cut = facts.fit_cuts(after, resamples=400)[0]
    estimate, low, high = cut.floor(cut.chosen)
    assert low <= facts.SOURCE.floor <= high
    assert (high - low) / 2 <= 0.03
    assert "contains the true 0.565009" in facts.describe(after, [cut])
    assert estimate == pytest.approx(facts.SOURCE.floor, abs=0.03)


def test_best_of_rates_takes_the_least_loss_and_says_where_the_grid_ends() -> None:
    losses = {(100, 10): [3.0, 2.0, 2.5], (100, 20): [1.0, 1.5, 2.0]}
    rows = [
        {"family": "f", "params": n, "tokens": d, "learning_rate": 0.1 * (i + 1), "loss": loss}
        for (n, d), cell in losses.items()
        for i, loss in enumerate(cell)
    ]
    best = facts.best_of_rates(pd.DataFrame(rows))
    assert best["loss"].tolist() == [2.0, 1.0]
    assert best["edge"].tolist() == [False, True]


def test_runs_on_facts_are_judged_and_runs_on_a_stream_evaluated_twice(tmp_path: Path) -> None:
    small = {
        "facts": ["data=zipf_facts", "data.settings.base=8", "data.vocab=16", "budget.tokens=[256]"],
        "markov": [
            *("data=zipf_markov", "data.settings.tokens=16", "data.vocab=16", "data.context=16"),
            *("budget.tokens=[8192]", "training.evaluation_tokens=4096"),
        ],
    }
    for name, overrides in small.items():
        plan = plan_study([*TINY, *overrides, f"name={name}", f"runs={tmp_path}"])
        dataset = open_dataset(plan.trunks[0].spec.data, plan.config.cache)
        train_trunk(plan.trunks[0], dataset, plan.folder, study=name, threads=1)

    judged = leaks.judge(tmp_path / "facts")
    assert judged["surprise"].abs().max() < LEAK
    assert (judged["loss"] > judged["bayes"]).all()
    assert judged["accuracy"].between(0, 1).all()

    twice = markov.evaluate_twice(str(tmp_path / "markov"))
    recorded = load_runs(tmp_path / "markov").rows.sort_values("tokens")
    assert [run.paired.loss for run in twice] == pytest.approx(recorded["loss"].tolist(), rel=1e-12)
    assert np.all([run.paired.loss > run.floor for run in twice])
    assert twice[-1].ratio > 1
    with pytest.raises(ValueError, match="losses on corpus 'zipf_facts' are not sampled"):
        markov.evaluate_twice(str(tmp_path / "facts"))
    with pytest.raises(ValueError, match="trained on 'zipf_markov', not on zipf_facts"):
        leaks.judge(tmp_path / "markov")
