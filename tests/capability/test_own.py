"""Tasks of your own, and every way in which their file can be wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scaling.capability.tasks import TASKS, Choices, able_to, define, find_tasks

GOOD = {"prompt": "2 + 2 = ", "choices": ["4", "5", "22"], "answer": 0}


def write(path: Path, *rows: object) -> Path:
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows) + "\n")
    return path


def test_a_file_is_a_task_by_its_name_or_a_given_one(tmp_path: Path) -> None:
    path = write(tmp_path / "sums.jsonl", GOOD, "", {**GOOD, "answer": 2, "note": "kept out"})
    one, other = find_tasks([str(path), f"again:{path}"])
    assert (one.name, other.name) == ("sums", "again")
    questions = one.make(None, None)  # type: ignore[arg-type]
    assert isinstance(questions, Choices)
    assert [item.answer for item in questions.items] == [0, 2]
    before = define(questions)
    write(path, GOOD, {**GOOD, "answer": 1})
    assert define(find_tasks([str(path)])[0].make(None, None)) != before  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({**GOOD, "answer": 3}, "'answer' is the index of the right choice, 0 to 2; got 3"),
        ({**GOOD, "answer": -1}, "'answer' is the index"),
        ({**GOOD, "answer": True}, "'answer' is the index"),
        ({**GOOD, "answer": "4"}, "'answer' is the index"),
        ({"prompt": "x", "answer": 0}, "no 'choices'"),
        ({"text": "x"}, "no 'prompt' and no 'choices' and no 'answer'"),
        ({**GOOD, "choices": ["4"]}, "two texts or more"),
        ({**GOOD, "choices": ["4", ""]}, "none empty"),
        ({**GOOD, "choices": "45"}, "list of two texts"),
        ({**GOOD, "choices": ["4", "4"]}, "the same text twice"),
        ({**GOOD, "prompt": None}, "'prompt' is text; got None"),
        ('{"prompt": ', "not JSON"),
        ("[1]", "no 'prompt'"),
    ],
)
def test_a_bad_line_is_named(row: object, message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "mine.jsonl", GOOD, row)
    with pytest.raises(ValueError, match=r"mine\.jsonl:2: ") as error:
        find_tasks([str(path)])
    assert message in str(error.value)


def test_what_is_no_task_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no file 'nowhere\.jsonl'"):
        find_tasks(["nowhere.jsonl"])
    with pytest.raises(ValueError, match=r"no task 'next_lines'\. There are next_line,"):
        find_tasks(["next_lines"])
    with pytest.raises(ValueError, match="asked twice"):
        find_tasks(["recall", "recall"])
    with pytest.raises(ValueError, match="already exists"):
        find_tasks([f"recall:{write(tmp_path / 'x.jsonl', GOOD)}"])
    with pytest.raises(ValueError, match="holds no question"):
        find_tasks([str(write(tmp_path / "empty.jsonl", ""))])


def test_a_masked_model_is_asked_for_nothing_to_be_generated() -> None:
    assert "next_line" in able_to("masked")
    for task in TASKS.values():
        if task.needs == "generation":
            with pytest.raises(ValueError, match="a masked model cannot do"):
                task.check("masked")
            task.check("seq2seq")
