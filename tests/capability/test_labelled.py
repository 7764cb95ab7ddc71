"""Labelled files: read or refused by the line, split, learnt by every family, scored as the field scores."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scaling.capability import tune
from scaling.capability.finished import Subject
from scaling.capability.labelled.answer import compare_answers
from scaling.capability.labelled.read import read_labelled
from scaling.capability.labelled.tag import entities
from scaling.capability.labelled.tuning import Tuning
from scaling.capability.tasks import define, find_tasks
from scaling.capability.words import bleu_tokens, normalise, split_words
from scaling.data.dataset import Dataset
from scaling.models import FAMILIES
from tests.capability.conftest import open_code, untrained
from tests.capability.labels import pairs, questions, reviews, sentences, write_jsonl

MAKE: dict[str, Callable[..., list[dict[str, Any]]]] = {
    "classify": reviews,
    "tag": sentences,
    "answer": questions,
    "write": pairs,
}
ONE = Tuning(seeds=1)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("text")
    for i in range(8):
        (folder / f"{i}.txt").write_text("\n".join(row["text"] for row in reviews(80, i)))
    return open_code(folder, tmp_path_factory.mktemp("cache"))


@pytest.mark.parametrize("kind", MAKE)
def test_a_file_is_a_task_and_the_split_is_by_content(kind: str, tmp_path: Path) -> None:
    rows = MAKE[kind](100)
    path = write_jsonl(tmp_path / "mine.jsonl", rows)
    one, named = find_tasks([f"{kind}:{path}", f"other:{kind}:{path}"])
    assert (one.name, named.name) == ("mine", "other")
    questions = one.make(None, None)  # type: ignore[arg-type]
    before = define(questions)
    assert define(replace(questions, tuning=Tuning(examples=16))) == before, "a setting, not another task"
    write_jsonl(path, rows[::-1])
    again = read_labelled(kind, str(path))
    assert set(again.test) == set(questions.test), "the order of rows decides nothing"  # type: ignore[attr-defined]
    assert not set(again.test) & set(again.train)
    assert len(again.test) == pytest.approx(0.25 * len({*again.test, *again.train}), abs=8)
    write_jsonl(path, [*rows, rows[0]])
    assert define(read_labelled(kind, str(path))) != before
    shown = replace(again, tuning=Tuning(examples=16))
    assert shown.chosen(1) == replace(again, tuning=Tuning(examples=32)).chosen(1)[:16]
    assert shown.chosen(0) != shown.chosen(1)


def test_every_format_gives_the_same_rows(tmp_path: Path) -> None:
    """CSV and TSV with quotes and a line break in a cell, Parquet, and a folder of `datasets`."""
    import pandas as pd

    rows = [{**row, "text": f'{row["text"]},\n"quoted"'} for row in reviews(60, chinese=True)]
    table = pd.DataFrame(rows)
    wanted = read_labelled("classify", str(write_jsonl(tmp_path / "a.jsonl", rows)))
    table.to_csv(tmp_path / "b.csv", index=False)
    table.to_csv(tmp_path / "c.tsv", index=False, sep="\t", encoding="utf-8-sig")
    pytest.importorskip("pyarrow")
    table.to_parquet(tmp_path / "d.parquet")
    for name in ("b.csv", "c.tsv", "d.parquet"):
        found = read_labelled("classify", str(tmp_path / name))
        assert (found.train, found.test) == (wanted.train, wanted.test), name


def test_a_data_set_of_the_library_brings_its_split_and_its_label_names(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = reviews(48)
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])}
    )
    parts = {
        split: datasets.Dataset.from_list(part, features=features)
        for split, part in (("train", rows[:32]), ("test", rows[32:]))
    }
    datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "set"))
    found = read_labelled("classify", str(tmp_path / "set"))
    assert [row.text for row in found.test] == [row["text"] for row in rows[32:]]
    assert {row.label for row in found.train} == {"pos", "neg"}


def test_two_files_are_learnt_and_asked_and_never_share_a_text(tmp_path: Path) -> None:
    one = write_jsonl(tmp_path / "train.jsonl", reviews(40))
    other = write_jsonl(tmp_path / "test.jsonl", reviews(20, seed=7))
    found = read_labelled("classify", f"{one}+{other}")
    assert (len(found.train), len(found.test)) == (40, 20)
    write_jsonl(tmp_path / "test.jsonl", reviews(20))
    with pytest.raises(ValueError, match=r"20 of 40 rows of .* are held out too"):
        read_labelled("classify", f"{one}+{other}")


GOOD = {kind: make(1)[0] for kind, make in MAKE.items()}


@pytest.mark.parametrize(
    ("kind", "row", "message"),
    [
        ("classify", {"text": "x"}, "no 'label'; there is 'text'"),
        ("classify", {"text": "x", "label": None}, "'label' is missing"),
        ("classify", {"text": "x", "label": " "}, "'label' is empty"),
        ("classify", {"text": "", "label": "pos"}, "'text' is empty"),
        ("classify", {"text": 3, "label": "pos"}, "'text' is text; got 3"),
        ("tag", {"tokens": ["a"], "tags": ["PER"]}, "unknown tag 'PER': a tag is O, B-TYPE or I-TYPE"),
        ("tag", {"tokens": ["a"], "tags": ["B-"]}, "unknown tag 'B-'"),
        ("tag", {"tokens": ["a", "b"], "tags": ["O"]}, "2 tokens, but 1 tags"),
        ("tag", {"tokens": [], "tags": []}, "'tokens' is empty"),
        ("tag", {"tokens": ["a", 1], "tags": ["O", "O"]}, "'tokens' is a list of words"),
        ("answer", {**GOOD["answer"], "answers": []}, "'answers' is empty"),
        ("answer", {**GOOD["answer"], "answers": [""]}, "'answers' is empty"),
        ("answer", {**GOOD["answer"], "answers": {"text": [], "answer_start": []}}, "'answers' is empty"),
        (
            "answer",
            {**GOOD["answer"], "answers": "Atlantis"},
            "answer 'Atlantis' does not occur in the context",
        ),
        ("answer", {"context": "x", "answers": ["x"]}, "no 'question'"),
        ("write", {"source": "x"}, "no 'target'"),
        ("write", {"source": "x", "target": ""}, "'target' is empty"),
    ],
)
def test_a_bad_row_is_named(kind: str, row: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "mine.jsonl", [*MAKE[kind](30), row])
    with pytest.raises(ValueError, match=r"mine\.jsonl:31: ") as error:
        find_tasks([f"{kind}:{path}"])
    assert message in str(error.value)
    assert "A row has " in str(error.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"text": "x", "label": "y"}\n{"text": \n', r"a\.jsonl:2: not JSON"),
        ("a.jsonl", b'{"text": "x", "label": "y"}\n[1]\n', r"a\.jsonl:2: not a JSON object"),
        ("a.csv", b"text,label\nfine,pos\ncaf\xe9,neg\n", r"a\.csv:3: byte 0xe9 at column 4 is not UTF-8"),
        ("a.csv", "text,label\nx,y\n".encode("utf-16"), r"a\.csv:1: the file is UTF-16"),
        ("a.csv", b"text,label\na,b,pos\n", r"a\.csv:2: 3 cells under 2 column names \(text, label\)"),
        ("a.csv", b'text,label\nx,y\n"open,pos\n', r"a\.csv:3: not a row of cells"),
        (
            "a.jsonl",
            b'{"text": "' + b"x" * 10_000_000 + b'"}\n',
            r"a\.jsonl:1: a line of more than 1,048,576",
        ),
        ("a.parquet", b"PAR1", r"a\.parquet: not a Parquet file"),
        (
            "a.jsonl",
            b'{"text": "x", "label": "y"}\n',
            "gives 0 rows to learn from and 1 held out; at",
        ),
    ],
)
def test_a_bad_file_is_named(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        find_tasks([f"classify:{tmp_path / name}"])


def test_what_is_no_file_and_too_few_labels(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no file 'nowhere\.csv'"):
        find_tasks(["classify:nowhere.csv"])
    rows = [{**row, "label": "pos"} for row in reviews(40)]
    with pytest.raises(ValueError, match="every row has the label 'pos'; 2 labels are needed"):
        find_tasks([f"classify:{write_jsonl(tmp_path / 'a.jsonl', rows)}"])
    rows = [{**row, "tags": ["O"] * len(row["tokens"])} for row in sentences(80)]
    with pytest.raises(ValueError, match="every tag is O"):
        find_tasks([f"tag:{write_jsonl(tmp_path / 'b.jsonl', rows)}"])
    few = find_tasks([f"classify:{write_jsonl(tmp_path / 'c.jsonl', reviews(40))}"])[0]
    questions: Any = few.make(None, None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="--examples 1000: task 'c' has 30 rows to learn from"):
        replace(questions, tuning=Tuning(examples=1000)).check()
    with pytest.raises(ValueError, match="--lora: at least 1; got 0"):
        Tuning(lora=0)
    with pytest.raises(ValueError, match="needs generation, which a masked model cannot do"):
        find_tasks([f"write:{write_jsonl(tmp_path / 'd.jsonl', pairs(40))}"])[0].check("masked")


def test_entities_by_hand() -> None:
    tags = ["B-PER", "I-PER", "O", "I-LOC", "I-LOC", "B-LOC", "I-PER"]
    assert entities(tags) == {("PER", 0, 2), ("LOC", 3, 5), ("LOC", 5, 6), ("PER", 6, 7)}
    assert entities(["O"]) == set()


def test_tokens_without_spaces_are_characters(tmp_path: Path) -> None:
    rows = [
        {"tokens": "".join(row["tokens"]), "tags": " ".join(row["tags"])} for row in sentences(40, 0, True)
    ]
    found = read_labelled("tag", str(write_jsonl(tmp_path / "a.jsonl", rows)))
    assert all(len(row.tokens) == len(row.tags) for row in found.train)


def test_answers_and_words_by_hand() -> None:
    assert normalise("The cat, sat!") == ["cat", "sat"]
    assert normalise("北京，在北") == ["北", "京", "在", "北"]
    assert split_words("in 北京 now") == ["in", "北", "京", "now"]
    assert compare_answers("the Cat", ["cat."]) == (1.0, 1.0)
    assert compare_answers("a cat sat", ["cat", "dog"]) == (pytest.approx(2 / 3), 0.0)
    assert compare_answers("北京市", ["北京"]) == (pytest.approx(0.8), 0.0)
    assert (bleu_tokens(["the cat"]), bleu_tokens(["我们好"]), bleu_tokens(["すし です"])) == (
        "13a",
        "zh",
        "char",
    )


@pytest.mark.parametrize("chinese", [False, True])
@pytest.mark.parametrize("kind", ["classify", "tag", "answer"])
def test_a_model_learns_from_a_file(kind: str, chinese: bool, text: Dataset, tmp_path: Path) -> None:
    """From untrained weights and 225 rows; a model that was trained needs fewer."""
    path = write_jsonl(tmp_path / "mine.jsonl", MAKE[kind](300, 0, chinese))
    subject = untrained(text, "masked", context=64)
    before = {name: value.clone() for name, value in subject.model.state_dict().items()}
    score = replace(read_labelled(kind, str(path)), tuning=ONE).score(subject)
    assert score.value > 0.7
    assert score.details["low"] < score.value < score.details["high"] or score.value == 1
    assert score.details["task_loss"] > 0
    assert all(torch.equal(value, before[name]) for name, value in subject.model.state_dict().items())
    if kind == "classify":
        hits = sum(row.get(true, 0) for true, row in score.confusion.items())
        assert hits / score.items == pytest.approx(score.value)


@pytest.fixture
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tune, "FEWEST_STEPS", 6)
    monkeypatch.setattr(tune, "MOST_STEPS", 6)


@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize(
    "family",
    [
        name if name in ("decoder", "lstm") else pytest.param(name, marks=pytest.mark.slow)
        for name in FAMILIES
    ],
)
def test_every_family_takes_every_kind(family: str, text: Dataset, tmp_path: Path) -> None:
    """Fully, by an update of low rank, from scratch, and compressed; long rows too, in pieces."""
    subject = untrained(text, family, context=24)
    fresh = replace(subject, fresh=lambda: untrained(text, family, context=24).model.train())
    for kind in ("classify", "tag", "answer"):
        path = write_jsonl(tmp_path / f"{kind}.jsonl", MAKE[kind](40))
        questions = replace(read_labelled(kind, str(path)), tuning=Tuning(examples=16, seeds=1))
        plain = questions.score(subject)
        assert plain == questions.score(subject), "seeds decide everything"
        low = replace(questions, tuning=Tuning(examples=16, seeds=1, lora=2)).score(subject)
        assert low.details["task_loss"] != plain.details["task_loss"]
    for tuning in (Tuning(seeds=2, scratch=True), Tuning(seeds=1, compression={"quantise": 2})):
        assert 0 <= replace(questions, tuning=tuning).score(fresh).value <= 1


@pytest.mark.usefixtures("few_steps")
def test_only_the_update_of_low_rank_is_trained(text: Dataset) -> None:
    from scaling.models.derived import add_low_rank, restore

    for family in ("lstm", "decoder"):
        subject = untrained(text, family)
        model, ids = subject.model, torch.randint(256, (2, 16))
        before = model(ids)
        weights = add_low_rank(model, 2)
        assert sum(p.numel() for p in weights) < 0.3 * sum(p.numel() for p in subject.model.buffers())
        torch.testing.assert_close(model(ids), before)
        with torch.no_grad():
            for weight in weights:
                weight += 0.1
        moved = model(ids)
        assert not torch.allclose(moved, before)
        restore(model)
        torch.testing.assert_close(model(ids), moved)
        assert not next(iter(model.named_parameters()))[0].endswith("_of.up")


def test_texts_are_written_and_scored(text: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sacrebleu", reason="in the extra `tasks`")
    pytest.importorskip("torchmetrics", reason="in the extra `tasks`")
    monkeypatch.setattr(tune, "FEWEST_STEPS", 120)
    path = write_jsonl(tmp_path / "mine.jsonl", pairs(60))
    score = replace(read_labelled("write", str(path)), tuning=ONE).score(
        untrained(text, "decoder", context=32)
    )
    assert score.details["rouge_l"] > 0.3
    assert score.metric == "BLEU/100"
    long = write_jsonl(tmp_path / "long.jsonl", [{**row, "target": "x" * 40} for row in pairs(60)])
    with pytest.raises(ValueError, match="a target of 40 tokens does not fit the context of 32"):
        replace(read_labelled("write", str(long)), tuning=ONE).score(untrained(text, "decoder", context=32))


def test_the_error_holds_what_seeds_differ_by() -> None:
    from scaling.capability.labelled.tuning import Outcome, combine

    losses = np.ones(50)

    def share(counts: np.ndarray[Any, Any]) -> dict[str, Any]:
        return {"accuracy": counts[:, 0] / 50}

    right = [np.arange(50)[:, None] < k for k in (30, 40, 50)]
    one = combine([Outcome(right[0].astype(float), losses)], share)
    three = combine([Outcome(r.astype(float), losses) for r in right], share)
    assert one["accuracy"] == pytest.approx(0.6)
    assert one["accuracy_se"] == pytest.approx(np.sqrt(0.6 * 0.4 / 50), rel=0.1)
    assert three["accuracy"] == pytest.approx(0.8)
    assert three["accuracy_se"] > 0.2 / np.sqrt(3)
    assert three["seed_sd"] == pytest.approx(0.2)


def test_a_line_of_json_is_one_row(tmp_path: Path) -> None:
    """A separator of lines that only some readers know does not part a row."""
    rows = [{**row, "text": row["text"] + "\u2028more"} for row in reviews(40)]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
    assert len(read_labelled("classify", str(path)).train) == 30


def test_a_model_without_a_head_says_so(text: Dataset, tmp_path: Path) -> None:
    subject = Subject(torch.nn.Linear(2, 2), "causal", 8, text, 1e-2)
    path = write_jsonl(tmp_path / "a.jsonl", reviews(40))
    with pytest.raises(ValueError, match="needs a model with features"):
        replace(read_labelled("classify", str(path)), tuning=ONE).score(subject)
