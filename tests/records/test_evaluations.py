"""A score comes back as it was written or not at all, is written once, and never touches its record."""

from __future__ import annotations

import math
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaling.records.evaluation import (
    EVALUATIONS,
    Evaluation,
    decode_evaluation,
    encode_evaluation,
    evaluation_file,
)
from scaling.records.record import DamagedRecord, encode_record, read_study
from scaling.records.storage import commit_evaluation, load_evaluation
from tests.records.life import RUN, TRUNK, a_record

finite = st.floats(allow_nan=False, allow_infinity=False)


def a_score(**changes: Any) -> Evaluation:
    score = Evaluation(
        run_id=RUN,
        name="next_line",
        value=0.41,
        se=0.03,
        chance=0.25,
        items=256,
        metric="accuracy",
        definition="0123abcd",
        details={"logprob": -1.25, "margin": 0.07},
        finished="2026-11-22T02:00:04+00:00",
    )
    return replace(score, **changes)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "study" / TRUNK / RUN
    folder.mkdir(parents=True)
    (folder / "record.json").write_bytes(encode_record(a_record()))
    return folder


@settings(max_examples=40)
@given(
    name=st.text(min_size=1),
    value=finite,
    se=st.floats(0, 1e300),
    setting=st.dictionaries(st.text(), st.integers() | finite, max_size=2),
    details=st.dictionaries(st.text(), finite, max_size=3),
)
def test_any_score_comes_back_bit_for_bit(**changes: Any) -> None:
    score = a_score(**changes)
    data = encode_evaluation(score)
    assert decode_evaluation(data) == score
    assert encode_evaluation(decode_evaluation(data)) == data


def test_a_score_is_written_once_and_the_record_stays(run: Path) -> None:
    before = (run / "record.json").read_bytes()
    made: list[bool] = []
    racers = [
        threading.Thread(target=lambda i=i: made.append(commit_evaluation(run, a_score(value=i / 10))))
        for i in range(6)
    ]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert sorted(made) == [False] * 5 + [True]
    kept = load_evaluation(run, a_score().file)
    assert commit_evaluation(run, a_score(value=0.9)) is False
    assert load_evaluation(run, a_score().file) == kept
    assert (run / "record.json").read_bytes() == before
    assert [path.name for path in (run / EVALUATIONS).iterdir()] == [a_score().file]


def test_every_setting_and_definition_has_a_file_of_its_own(run: Path) -> None:
    scores = [
        a_score(),
        a_score(setting={"quantise": 4}),
        a_score(setting={"prune": 0.5}),
        a_score(definition="other"),
        a_score(name="next.line"),
        a_score(name="next/../line"),
    ]
    assert all(commit_evaluation(run, score) for score in scores)
    assert {path.name for path in (run / EVALUATIONS).iterdir()} == {score.file for score in scores}
    study = read_study(run.parents[1])
    assert sorted(study.evaluations, key=lambda s: s.file) == sorted(scores, key=lambda s: s.file)
    assert not study.damaged_evaluations


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda data: data[: len(data) // 2], "not JSON"),
        (lambda data: data.replace(b"0.41", b"0.91"), "sha256"),
        (lambda data: data.replace(b'"schema":1', b'"schema":2'), "sha256"),
        (lambda data: encode_evaluation(a_score(run_id="run-2")), "is of run run-2"),
        (lambda data: encode_evaluation(a_score(setting={"prune": 0.5})), "lies as"),
    ],
)
def test_a_damaged_score_is_counted_set_aside_and_made_again(run: Path, damage: Any, reason: str) -> None:
    commit_evaluation(run, a_score())
    path = run / EVALUATIONS / a_score().file
    path.write_bytes(damage(path.read_bytes()))

    study = read_study(run.parents[1])
    assert study.evaluations == ()
    assert [reason in why for why in study.damaged_evaluations.values()] == [True]
    assert not study.damaged, "a damaged score is no damaged run"

    assert load_evaluation(run, a_score().file) is None
    study = read_study(run.parents[1])
    assert not study.damaged_evaluations
    assert [reason in why for why in study.quarantined.values()] == [True]
    assert commit_evaluation(run, a_score())


def test_every_flipped_byte_is_noticed() -> None:
    data = encode_evaluation(a_score())
    for place in range(len(data)):
        flipped = bytearray(data)
        flipped[place] ^= 1
        with pytest.raises(DamagedRecord):
            decode_evaluation(bytes(flipped))


def test_numbers_that_are_none_are_refused(run: Path) -> None:
    for changes in ({"value": math.nan}, {"se": math.inf}, {"se": -1.0}, {"items": 0}):
        with pytest.raises(ValueError, match="next_line"):
            a_score(**changes)
    with pytest.raises(ValueError, match="folder given"):
        commit_evaluation(run, a_score(run_id="another"))


def test_a_file_name_stays_inside_its_folder() -> None:
    for name in ("../../x", "/etc/passwd", "a\0b", "…", "con", "x" * 500):
        file = evaluation_file(name, {}, "d")
        assert "/" not in file
        assert "\0" not in file
        assert len(file) < 100
