"""Mixtures: exact proportions, caps on repetition, and several held-out sets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.table import load_runs
from scaling.data.corpora import open_dataset
from scaling.data.mixture import deal
from scaling.launch.evaluate import evaluate_study
from scaling.launch.study import run_study
from scaling.records.record import read_study
from scaling.study.plan import PlanError, plan_study


@given(st.lists(st.floats(0.01, 10), min_size=1, max_size=5), st.integers(1, 400))
def test_any_number_of_rows_has_the_proportions(weights: list[float], rows: int) -> None:
    found = deal(weights, [np.inf] * len(weights), rows)
    shares = np.array(weights) / sum(weights)
    counts = np.cumsum(found.domain[:, None] == np.arange(len(weights)), axis=0)
    assert np.abs(counts - np.arange(1, rows + 1)[:, None] * shares).max() <= len(weights) / 2 + 1e-9
    assert (found.number == counts[np.arange(rows), found.domain] - 1).all()


@given(st.integers(1, 60), st.integers(1, 60), st.integers(61, 300))
def test_a_cap_ends_a_domain_and_a_longer_deal_begins_with_the_shorter(
    cap: int, short: int, long: int
) -> None:
    weights, most = [3.0, 1.0, 1.0], [float(cap), np.inf, np.inf]
    found = deal(weights, most, long)
    counts = np.bincount(found.domain, minlength=3)
    assert counts[0] <= cap
    assert abs(counts[1] - counts[2]) <= 1  # they keep their proportion
    if counts[0] < cap:
        assert abs(counts[0] - 0.6 * long) <= 1.5
    assert (deal(weights, most, short).domain == found.domain[:short]).all()


def test_domains_that_may_give_too_little_are_refused() -> None:
    with pytest.raises(
        ValueError, match=r"100 rows are needed, but the domains may give 30 .* Raise max_epochs"
    ):
        deal([1.0, 1.0], [10.0, 20.0], 100)


@pytest.fixture
def prose(tmp_path: Path) -> Path:
    folder = tmp_path / "prose"
    folder.mkdir()
    for i in range(20):
        (folder / f"{i}.txt").write_text(" ".join(f"the {w} of {i}" for w in ("cat", "dog", "sun") * 40))
    return folder


def mixed(tiny_study: list[str], tiny_corpus: Path, prose: Path, *more: str) -> list[str]:
    kept = [line for line in tiny_study if not line.startswith(("data", "model"))]
    domains = (
        "{lists: {weight: 3, paths: ['" + f"{tiny_corpus}/*.txt" + "'], heldout_fraction: 0.2}, "
        "prose: {weight: 1, paths: ['" + f"{prose}/*.txt" + "'], heldout_fraction: 0.3, max_epochs: 2}}"
    )
    return [*kept, "data=mixture", f"data.mixture={domains}", "data.context=32", "model.params=5e3", *more]


def test_a_mixture_trains_and_records_its_domains(
    tiny_study: list[str], tiny_corpus: Path, prose: Path, tmp_path: Path
) -> None:
    plan = plan_study(mixed(tiny_study, tiny_corpus, prose))
    result = run_study(plan)
    assert not result.missing
    record = max(read_study(plan.folder).done, key=lambda record: record.tokens)
    assert record.data == "mixture"
    domains = record.domains
    assert domains["lists"]["weight"] == 0.75
    assert sum(one["tokens"] for one in domains.values()) == record.tokens
    assert abs(domains["lists"]["tokens"] - 0.75 * record.tokens) <= 32
    assert sum(one["tokens_unique"] for one in domains.values()) == record.tokens_unique
    losses = record.losses
    assert record.loss == pytest.approx((losses["lists"]["loss"] + losses["prose"]["loss"]) / 2)
    rows = load_runs(plan.folder).rows
    assert {"loss_lists", "loss_lists_se", "loss_prose", "tokens_prose", "weight_prose"} <= set(rows.columns)

    dataset = open_dataset(plan.trunks[0].spec.data, plan.config.cache)
    batches = dataset.batches(32, 4, 0)
    train = [np.asarray(one.train) for one in dataset.heldout_sets().values()]  # type: ignore[attr-defined]
    row = batches.batch(0)[0]
    assert any(bytes(row.astype(np.uint8)) in ids.astype(np.uint8).tobytes() for ids in train)


def test_a_mixture_that_runs_out_is_refused_at_once(
    tiny_study: list[str], tiny_corpus: Path, prose: Path
) -> None:
    short = mixed(tiny_study, tiny_corpus, prose, "data.mixture.lists.max_epochs=0.01")
    with pytest.raises(PlanError, match=r"rows are needed, but the domains may give .* max_epochs"):
        plan_study([*short, "budget.tokens=[1e6]"])


def test_further_held_out_sets_have_a_loss_each_and_later_ones_are_scored(
    tiny_study: list[str], prose: Path
) -> None:
    held = "data.heldout={prose: {paths: ['" + f"{prose}/*.txt" + "']}}"
    tiny = [*tiny_study, "model.params=5e3", "budget.tokens=[2e3]", "training.evaluation_tokens=131072"]
    plain, plan = plan_study(tiny), plan_study([*tiny, held])
    assert plan.trunks[0].spec.id == plain.trunks[0].spec.id  # the weights are the same
    assert plan.runs[0][1].id != plain.runs[0][1].id
    run_study(plan)
    (record,) = read_study(plan.folder).done
    assert set(record.losses) == {"prose"}
    assert record.losses["prose"]["loss"] > 0
    scores = evaluate_study(
        read_study(plan.folder), [], sets=[f"again:{prose}/*.txt"], cache=plan.config.cache, workers=1
    )
    assert scores.failures == {}
    rows = load_runs(plan.folder).rows
    assert rows["loss_again"].iloc[0] == pytest.approx(rows["loss_prose"].iloc[0], rel=1e-6)
    by_prose = load_runs(plan.folder, "loss=loss_prose")
    assert by_prose.rows["loss"].tolist() == rows["loss_prose"].tolist()
    assert "loss is loss_prose" in by_prose.notes
    for mapping, message in (
        ("loss=loss_code", "It has loss_prose, loss_again"),
        ("params=N", "its own columns"),
    ):
        with pytest.raises(ValueError, match=message):
            load_runs(plan.folder, mapping)
    with pytest.raises(PlanError, match=r"data\.heldout: 'Prose' cannot name a set"):
        plan_study([*tiny, held.replace("prose:", "Prose:", 1)])
