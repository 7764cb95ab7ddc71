"""Scores of runs as columns of their table; settings apart; damaged and outdated ones counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analysis.report.figures.bits import plot_loss_vs_bits
from analysis.report.gallery import draw_compressed
from analysis.report.style import styled
from analysis.table import load_evaluations, load_runs
from scaling.records.evaluation import EVALUATIONS, Evaluation, encode_evaluation
from scaling.records.record import RunRecord
from tests.analysis.synthetic import write_study


def score(study: Path, record: RunRecord, value: float, **changes: object) -> Path:
    fields: dict[str, object] = {
        "run_id": record.run_id,
        "name": "next_line",
        "value": value,
        "se": 0.02,
        "chance": 0.25,
        "items": 256,
        "metric": "accuracy",
        "definition": "d1",
        "details": {"logprob": -2 * value},
        "finished": "2026-11-22",
    }
    made = Evaluation(**(fields | changes))  # type: ignore[arg-type]
    path = study / record.trunk_id / record.run_id / EVALUATIONS / made.file
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(encode_evaluation(made))
    return path


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return tmp_path / "demo"


def test_scores_are_columns_and_settings_are_not(study: Path) -> None:
    records = write_study(study)
    for i, record in enumerate(records[:-1]):
        score(study, record, 0.3 + i / 100)
        score(study, record, 0.26, setting={"quantise": 2})
    plain = load_runs(study)
    expected = {record.run_id: 0.3 + i / 100 for i, record in enumerate(records[:-1])}
    got = dict(zip(plain["run_id"], plain["next_line"], strict=True))
    assert np.isnan(got.pop(records[-1].run_id))
    assert got == expected
    assert plain["next_line_logprob"].dropna().to_numpy() == pytest.approx(-2 * plain["next_line"].dropna())
    assert plain.tasks == {"next_line": {"metric": "accuracy", "chance": 0.25, "items": 256}}

    every = load_evaluations(study).rows
    assert len(every) == 2 * (len(records) - 1)
    compressed = every[every["quantise"] == 2]
    assert (compressed["value"] == 0.26).all()
    assert compressed["loss"].to_numpy() == pytest.approx([r.loss for r in sorted_by_id(records[:-1])])
    assert every[every["quantise"].isna()]["value"].tolist() == [
        expected[r.run_id] for r in sorted_by_id(records[:-1])
    ]


def test_a_table_without_scores_is_as_it_was(study: Path) -> None:
    write_study(study)
    table = load_runs(study)
    assert not table.tasks
    assert load_evaluations(study).rows.empty


def test_only_the_newest_definition_counts_and_the_rest_is_said(study: Path) -> None:
    records = write_study(study)
    for record in records:
        score(study, record, 0.9)
        score(study, record, 0.5, definition="d2", finished="2026-11-23")
    table = load_runs(study)
    assert (table["next_line"] == 0.5).all()
    assert [note for note in table.notes if "older definition" in note] == [
        f"next_line: {len(records)} scores by an older definition of the task are left out"
    ]


def test_a_damaged_score_is_said_and_its_run_stays(study: Path) -> None:
    records = write_study(study)
    path = score(study, records[0], 0.5)
    path.write_bytes(path.read_bytes().replace(b"0.5", b"0.7"))
    table = load_runs(study)
    assert table.counts["used"] == len(records)
    assert table.counts["quarantined"] == 0
    assert "next_line" not in table
    assert [path.name in note for note in table.notes] == [True]


def test_a_task_never_takes_the_place_of_a_column(study: Path) -> None:
    records = write_study(study)
    score(study, records[0], 0.5, name="params")
    score(study, records[0], 9.0, name="loss", metric="nats/token")
    table = load_runs(study)
    assert table["params"].tolist() == [r.params for r in sorted_by_id(records)]
    assert table["loss"].to_numpy() == pytest.approx([r.loss for r in sorted_by_id(records)])
    assert table["params (task)"].count() == 1


def test_compressed_copies_are_drawn_at_their_bits(study: Path) -> None:
    records = write_study(study)
    for record in records:
        for bits in (32, 4):
            setting = {} if bits == 32 else {"quantise": bits}
            value, size = float(record.loss or 0) + 1 / bits, float(bits * record.params_total)
            score(study, record, value, name="loss", setting=setting, details={"bits": size})
            score(study, record, 0.4, setting=setting)
    every = load_evaluations(study).rows
    largest = [r for r in records if r.tokens == max(r.tokens for r in records)]
    for task, expected in (("loss", [(r.loss or 0) + 0.25 for r in largest]), ("next_line", [0.4] * 6)):
        ax = plot_loss_vs_bits(every, task=task)
        by_label = {bar.get_label(): bar for bar in ax.containers}
        assert set(by_label) == {"as trained", "4 bits"}
        x, y = by_label["4 bits"].lines[0].get_data()  # type: ignore[attr-defined]
        assert sorted(x) == sorted(4 * r.params_total for r in largest)
        assert sorted(y) == pytest.approx(sorted(expected))
    assert not plot_loss_vs_bits(load_evaluations(study).rows[:0]).containers
    with styled():
        names = [picture.name for picture in draw_compressed(every)]
    assert names == ["bits-loss-decoder", "bits-next-line-decoder"]
    assert not [*draw_compressed(every[every["quantise"].isna()])]  # nothing was compressed: nothing to draw


def sorted_by_id(records: list[RunRecord]) -> list[RunRecord]:
    return sorted(records, key=lambda record: record.run_id)
