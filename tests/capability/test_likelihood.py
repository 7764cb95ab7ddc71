"""Log-probabilities of answers: what the model says token by token, for every objective and tokenizer."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from scaling.capability.items import Item
from scaling.capability.likelihood import PASSES, Question, choice_log_probs, log_probs, read_item
from scaling.capability.score import binomial_se, score_choices
from scaling.data.dataset import Dataset
from scaling.models import FAMILIES
from tests.capability.conftest import open_code, untrained

ITEM = Item("def add(a, b):\n    return ", ("a + b\n", "sum\n", "b"), 0)


def token_by_token(subject: object, ids: list[int], start: int) -> float:
    """The definition, one token at a time, with no batch and no padding."""
    total = 0.0
    for place in range(start, len(ids)):
        if subject.objective == "causal":  # type: ignore[attr-defined]
            logits = subject.model(torch.tensor([ids[:place]]))[0, -1]  # type: ignore[attr-defined]
        elif subject.objective == "masked":  # type: ignore[attr-defined]
            shown = list(ids)
            for hidden in range(start + (place - start) % PASSES, len(ids), PASSES):
                shown[hidden] = 256
            logits = subject.model(torch.tensor([shown]))[0, place]  # type: ignore[attr-defined]
        else:
            cut = min(start - 1, subject.context // 2)  # type: ignore[attr-defined]
            inputs = torch.tensor([ids[:cut] or [0]]), torch.tensor([ids[cut:place]])
            logits = subject.model(*inputs)[0, -1]  # type: ignore[attr-defined]
        total += float(torch.log_softmax(logits.double(), -1)[ids[place]])
    return total


@pytest.mark.parametrize("family", list(FAMILIES))
def test_batches_give_what_single_tokens_give(family: str, code: Dataset) -> None:
    subject = untrained(code, family)
    long = "x" * 90 + "\n"
    items = [ITEM, Item(long, ("yes indeed\n", "no"), 1), Item("#", ("a",) * 2, 0)]
    found = choice_log_probs(subject, items)
    with torch.inference_mode():
        for item, row in zip(items, found, strict=True):
            for choice, value in zip(item.choices, row, strict=True):
                ids = list((item.prompt + choice).encode())
                assert value == pytest.approx(token_by_token(subject, ids, len(item.prompt)), abs=2e-4)


@pytest.mark.parametrize("family", ["decoder", "masked", "encoder_decoder"])
def test_a_prompt_that_does_not_fit_loses_its_beginning(family: str, code: Dataset) -> None:
    subject = untrained(code, family, context=32)
    far, near = Item("y" * 100 + "abc" * 10, ("1", "22"), 0), Item("z" * 50 + "abc" * 10, ("1", "22"), 0)
    one, other = choice_log_probs(subject, [far, near])
    assert one == pytest.approx(other)
    with pytest.raises(ValueError, match="an answer of 40 tokens"):
        choice_log_probs(subject, [Item("a", ("b" * 40, "c"), 0)])


def test_an_answer_without_a_prompt_begins_a_document(code: Dataset) -> None:
    subject = untrained(code, "decoder")
    alone = log_probs(subject, [Question(list(b"import os"), 0)])
    after_end = log_probs(subject, [Question([0, *b"import os"], 1)])
    assert alone == pytest.approx(after_end)


def test_choices_of_joined_tokens_share_their_prompt(code: Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "text"
    folder.mkdir()
    for i in range(40):
        (folder / f"{i}.txt").write_text(f"return self.value{i} in other; return self\n" * 30)
    dataset = open_code(folder, tmp_path / "cache", vocab=290)
    assert dataset.tokenizer is not None
    item = Item("    return se", ("lf.value", "t other", " in"), 0)
    questions = read_item(item, dataset.tokenizer, 128)
    assert len({tuple(q.ids[: q.start]) for q in questions}) == 1
    whole = [dataset.decode(q.ids) for q in questions]
    assert whole == [item.prompt + choice for choice in item.choices]
    assert questions[0].start < len(dataset.encode(item.prompt)), "'self' is one token, begun in the prompt"


def test_scores_by_hand() -> None:
    items = [Item("", ("ab", "abcd"), 0), Item("", ("ab", "cd"), 0), Item("", ("é", "cd"), 1)]
    log_p = [np.log([0.1, 0.05]), np.log([0.2, 0.2]), np.log([0.1, 0.3])]
    score = score_choices(items, log_p)  # per byte the first is wrong, the second is a tie, the third right
    assert score.value == pytest.approx(0.5)
    assert score.chance == pytest.approx(0.5)
    assert score.details["logprob"] == pytest.approx(np.mean([math.log(p) / 2 for p in (0.1, 0.2, 0.3)]))
    margins = [math.log(0.1) / 2 - math.log(0.05) / 4, 0.0, math.log(3) / 2]
    assert score.details["margin"] == pytest.approx(np.mean(margins))
    assert score.details["probability"] == pytest.approx((2 / 3 + 1 / 2 + 3 / 4) / 3)
    assert binomial_se(0.5, 100) == pytest.approx(0.05)
    assert 0 < binomial_se(1.0, 100) < 0.01
