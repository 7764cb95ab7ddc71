"""Students and teachers, on facts whose exact teacher is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from experiments.cli import main
from scaling.data.truth.zipf_facts import ZipfFacts
from scaling.records.record import RunRecord, read_study
from scaling.training.objectives import distance

FACTS = ZipfFacts(base=16, digits=2, answers=16, exponent=0.7, noise=0.4)


def words(tmp_path: Path, name: str, width: int, tokens: int, *more: str) -> list[str]:
    return [
        *(
            "run",
            f"name={name}",
            f"runs={tmp_path}/runs",
            f"cache={tmp_path}/cache",
            "tracking=off",
            "workers=1",
        ),
        *("data=zipf_facts", "data.vocab=16", "data.context=2", "model.params=null", "model.depth=1"),
        "data.settings={base: 16, digits: 2, answers: 16, exponent: 0.7, noise: 0.4, world: 0}",
        *("training.sequences=128", "training.warmup_steps=8", "training.precision=float32"),
        *("training.threads=1", "training.curve_evaluations=0", "training.learning_rate=1e-2"),
        *(f"model.width={width}", f"budget.tokens={tokens}", *more),
    ]


def train(tmp_path: Path, name: str, width: int, tokens: int, *more: str) -> list[RunRecord]:
    assert main(words(tmp_path, name, width, tokens, *more)) == 0
    return list(read_study(tmp_path / "runs" / name).done)


def test_a_record_names_its_teacher_and_the_table_has_its_loss(tmp_path: Path) -> None:
    from analysis.table import load_runs

    (teacher,) = train(tmp_path, "teacher", 16, 4096)
    asked = [f"training.teacher={teacher.run_id},exact", "training.teacher_temperature=2"]
    students = train(tmp_path, "students", 8, 2560, *asked, "training.teacher_share=0.5")
    by_name = {record.spec["trunk"]["teacher"]: record for record in students}
    assert set(by_name) == {teacher.run_id, "exact"}
    assert by_name["exact"].spec["trunk"]["teacher_loss"] == pytest.approx(FACTS.floor)
    table = load_runs(tmp_path / "runs" / "students")
    told = dict(zip(table["teacher"], table["teacher_loss"], strict=True))
    assert told[teacher.run_id] == teacher.loss
    assert "teacher" not in teacher.spec["trunk"], "older ids stay as they are"
    (alone,) = train(tmp_path, "alone", 8, 2560)
    assert len({alone.loss, *(student.loss for student in students)}) == 3


@pytest.mark.slow
def test_a_distilled_student_beats_the_same_student_and_stays_above_the_floor(tmp_path: Path) -> None:
    """A quarter of the size, by more than the spread of seeds."""
    (teacher,) = train(tmp_path, "teacher", 32, 262144)
    seeds = "seed=0,1,2"
    alone = train(tmp_path, "alone", 16, 16384, seeds)
    student = train(tmp_path, "student", 16, 16384, seeds, f"training.teacher={teacher.run_id}")
    exact = train(tmp_path, "exact", 16, 16384, seeds, "training.teacher=exact")
    assert student[0].params < 0.3 * teacher.params
    losses = [np.array([record.loss for record in records]) for records in (alone, student, exact)]
    spread = max(each.std(ddof=1) for each in losses)
    assert losses[0].mean() - losses[1].mean() > 2 * spread
    assert min(each.min() for each in losses) > FACTS.floor


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["training.teacher=nobody"], "training.teacher: no finished run 'nobody'"),
        (["training.teacher_share=0.5"], "training.teacher_share: there is no teacher"),
        (
            ["training.teacher=exact", "training.teacher_share=0"],
            "training.teacher_share: above 0 and up to 1",
        ),
        (
            ["training.teacher=exact", "training.teacher_temperature=0"],
            "training.teacher_temperature: a positive",
        ),
        (["training.teacher=exact", "training.compile=true"], "training.teacher: not with training.compile"),
    ],
)
def test_what_cannot_teach_is_refused(
    more: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words(tmp_path, "x", 8, 2560, *more)) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_another_corpus_has_no_exact_teacher(
    tiny_study: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", *tiny_study, "training.teacher=exact"]) == 2
    assert "corpus 'text' has no exact predictions to learn from" in capsys.readouterr().err


def test_the_distance_is_least_at_the_teacher_and_softens_by_temperature() -> None:
    wanted = torch.randn(2, 3, 5)
    targets = torch.tensor([[0, 1, -1], [-1, -1, 2]])
    p = torch.softmax(wanted, -1)
    entropy = -(p * p.log()).sum(-1)[targets >= 0].sum()
    assert float(distance(wanted + 3, wanted, targets, 1.0)) == pytest.approx(float(entropy), rel=1e-5)
    other = torch.randn(2, 3, 5)
    assert distance(other, wanted, targets, 1.0) > entropy
    hot = distance(other, wanted, targets, 1e3) / 1e6
    assert float(hot) == pytest.approx(3 * np.log(5), rel=1e-2)


def test_the_exact_teacher_is_the_law_of_the_source() -> None:
    rows = np.concatenate(FACTS.heldout(2, 1, None))
    p = FACTS.exact_probabilities(rows[:, :2])[:, -1]
    losses, weights = FACTS.losses(np.log(np.maximum(p, 1e-300))[:, None], rows)
    assert float((losses * weights).sum() / weights.sum()) == pytest.approx(FACTS.floor)
