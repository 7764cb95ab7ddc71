"""The adapter for lm-eval: its answers by our own scores, and, where it is installed, a task through it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from scaling.capability.items import Item
from scaling.capability.likelihood import choice_log_probs
from scaling.capability.lm_eval import _Answers, adapt
from scaling.data.dataset import Dataset
from tests.capability.conftest import untrained

ROWS = [
    {"question": f"{a} + {b} =", "choices": [str(a + b), str(a * b + 7), "none"], "gold": i % 3}
    for i, (a, b) in enumerate((a, b) for a in range(1, 6) for b in range(1, 5))
]


def test_answers_are_those_of_the_scorer(code: Dataset) -> None:
    asked = {"until": [], "max_gen_toks": 3}
    subjects = (untrained(code, "decoder", seed) for seed in range(99))
    # Bytes that are no text do not come back from it: the first model that happens to write ASCII.
    subject = next(s for s in subjects if _Answers(s).write("import", asked).isascii())
    answers = _Answers(subject)
    (ours,) = choice_log_probs(subject, [Item("import", (" os", " sys\n"), 0)])
    pairs = answers.likelihoods([("import", " os"), ("import", " sys\n")])
    assert [total for total, _ in pairs] == pytest.approx(ours.tolist())
    written = answers.write("import", asked)
    assert answers.likelihoods([("import", written)])[0][1] is True
    assert answers.likelihoods([("import", "QQ")])[0][1] is False
    cut = answers.write("import", {**asked, "until": written[2]})
    assert cut == written[: written.index(written[2])]
    text = "x = 1\n" * 60  # three windows
    assert -answers.rolling(text) / len(text) == pytest.approx(math.log(256), rel=0.1)
    assert answers.rolling("ab") == pytest.approx(answers.likelihoods([("", "ab")])[0][0])


def test_empty_and_long_answers_are_read(code: Dataset) -> None:
    """No answer ends an evaluation; every token of a long one counts once, as in a whole text."""
    answers = _Answers(untrained(code, "decoder"))
    context = answers.subject.context
    assert answers.likelihoods([("x", ""), ("", ""), ("x", "y")])[:2] == [(0.0, True), (0.0, True)]
    (blank, _), (given, _) = answers.likelihoods([("x ", ""), ("x", " ")])
    assert blank == given < 0  # white space goes with what follows
    for extra in (-1, 0, 1, context // 2, 3 * context):
        text = "a b c\n" * context
        text = text[: context + extra]
        assert answers.likelihoods([("", text)])[0][0] == pytest.approx(answers.rolling(text))
        together = answers.likelihoods([("def f", text)])[0][0]
        assert together < answers.likelihoods([("def f", text[:5])])[0][0]
    letters = [("def f" + "(xyz)"[:i], "(xyz)"[i]) for i in range(5)]
    apart = sum(total for total, _ in answers.likelihoods(letters))
    assert answers.likelihoods([("def f", "(xyz)")])[0][0] == pytest.approx(apart)
    assert answers.rolling("") == 0.0
    windows = answers._roll(list(range(2 * context + 4)), 1)
    predicted = [i for ids, start in windows for i in ids[start:]]
    assert predicted == list(range(1, 2 * context + 4))
    assert {len(ids) for ids, _ in windows} == {context + 1}  # the last one reaches back


def test_text_is_written_as_asked(code: Dataset) -> None:
    answers = _Answers(untrained(code, "decoder"))
    context = answers.subject.context
    whole = answers.write("import", {"max_gen_toks": 4})
    assert answers.write("import", {"max_gen_toks": 4, "until": ["", "\0never"]}) == whole
    assert answers.write("import", {"max_new_tokens": 4, "until": None}) == whole
    assert answers.write("import", {"max_tokens": 4, "temperature": 0.0}) == whole
    long = "x = 1\n" * context
    room = context - 4
    assert answers.write(long, {"max_gen_toks": 4}) == answers.write(long[-room:], {"max_gen_toks": 4})
    assert isinstance(answers.write(long, {"max_gen_toks": 2 * context}), str)
    assert isinstance(answers.write("", {"max_gen_toks": 2, "temperature": 0.7}), str)


def test_a_model_that_is_not_causal_is_refused(code: Dataset) -> None:
    with pytest.raises(ValueError, match="this is a masked model"):
        adapt(untrained(code, "masked"))


def test_the_harness_runs_a_local_task_offline(code: Dataset, tmp_path: Path) -> None:
    pytest.importorskip("lm_eval", reason="in the extra `eval`, which `dev` leaves out for its size")
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    (tmp_path / "sums.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    (tmp_path / "sums.yaml").write_text(
        "task: sums\ndataset_path: json\n"
        f"dataset_kwargs: {{data_files: {{test: {tmp_path / 'sums.jsonl'}}}}}\n"
        "output_type: multiple_choice\ntest_split: test\ndoc_to_text: question\n"
        "doc_to_choice: choices\ndoc_to_target: gold\nmetric_list: [{metric: acc}, {metric: acc_norm}]\n"
    )
    subject = untrained(code, "decoder")
    manager = TaskManager(include_path=str(tmp_path), include_defaults=False)
    found = simple_evaluate(adapt(subject), tasks=["sums"], task_manager=manager, bootstrap_iters=0)
    items = [Item(str(row["question"]), tuple(f" {c}" for c in row["choices"]), row["gold"]) for row in ROWS]  # type: ignore[attr-defined, arg-type]
    ours = choice_log_probs(subject, items)
    right = [int(np.argmax(p)) == item.answer for p, item in zip(ours, items, strict=True)]
    assert found["results"]["sums"]["acc,none"] == pytest.approx(np.mean(right))
