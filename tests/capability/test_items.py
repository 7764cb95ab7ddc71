"""Items: real, answerable, the same every time, and no answer where a model that knows nothing would look."""

from __future__ import annotations

import re
import warnings
from collections import Counter

import numpy as np
import pytest

from scaling.capability.items import WINDOW, Item, heldout_documents
from scaling.capability.score import score_choices
from scaling.capability.tasks import TASKS, Choices, define
from scaling.data.corpora import open_dataset
from scaling.data.dataset import Dataset
from scaling.data.options import DataOptions
from tests.capability.conftest import Oracle, is_python, untrained

CHOICE = [name for name, task in TASKS.items() if task.needs == "likelihood"]


@pytest.fixture(scope="session")
def items(code: Dataset) -> dict[str, tuple[Item, ...]]:
    return {name: made(name, code) for name in CHOICE}


def made(name: str, dataset: Dataset) -> tuple[Item, ...]:
    questions = TASKS[name].make(dataset, None)  # type: ignore[arg-type]
    assert isinstance(questions, Choices)
    return questions.items


@pytest.mark.parametrize("name", CHOICE)
def test_items_are_held_out_distinct_balanced_and_fit_the_window(
    name: str, items: dict[str, tuple[Item, ...]], code: Dataset
) -> None:
    text = "\n".join(heldout_documents(code))
    counts = Counter(item.answer for item in items[name])
    assert len(items[name]) >= 200
    assert set(counts) == set(range(len(items[name][0].choices)))
    assert max(counts.values()) - min(counts.values()) <= 1
    for item in items[name]:
        assert len(set(item.choices)) == len(item.choices)
        assert max(len((item.prompt + choice).encode()) for choice in item.choices) <= WINDOW
        assert (item.prompt + item.choices[item.answer]).rstrip("\n") in text


def test_the_same_text_gives_the_same_items(code: Dataset, items: dict[str, tuple[Item, ...]]) -> None:
    for name in CHOICE:
        assert made(name, code) == items[name]
    digests = {define(Choices(found)) for found in items.values()}
    assert len(digests) == len(CHOICE)


def test_well_formed_pairs_differ_in_one_token_and_only_the_real_one_parses(
    items: dict[str, tuple[Item, ...]],
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for item in items["well_formed"]:
            right, wrong = item.choices[item.answer], item.choices[1 - item.answer]
            assert is_python(right)
            assert not is_python(wrong)
            assert len(right.encode()) == len(wrong.encode())


def test_variables_of_a_misuse_item_stand_before_the_same_rest(items: dict[str, tuple[Item, ...]]) -> None:
    for item in items["variable_misuse"]:
        names = [re.match(r"\w+", choice) for choice in item.choices]
        rests = {choice[name.end() :] for choice, name in zip(item.choices, names, strict=True) if name}
        assert len(rests) == 1
        assert names[item.answer][0] in re.findall(r"\w+", item.prompt)  # type: ignore[index]


def test_a_name_to_recall_is_in_the_prompt_and_the_others_are_as_long(
    items: dict[str, tuple[Item, ...]],
) -> None:
    for item in items["recall"]:
        assert [choice in item.prompt for choice in item.choices].count(True) == 1
        assert item.choices[item.answer] in item.prompt
        assert len({len(choice) for choice in item.choices}) == 1


@pytest.mark.parametrize("name", CHOICE)
def test_an_untrained_model_guesses_and_an_oracle_does_not(
    name: str, items: dict[str, tuple[Item, ...]], code: Dataset, oracle: Oracle
) -> None:
    """An untrained model has whims, one a seed: the error is over two seeds."""
    scores = [Choices(items[name]).score(untrained(code, "lstm", seed)) for seed in range(2)]
    values = np.array([score.value for score in scores])
    error = max(float(values.std(ddof=1)), scores[0].se) / np.sqrt(len(values))
    assert abs(values.mean() - scores[0].chance) < 4.5 * error

    told = score_choices(items[name], [oracle.choices(item) for item in items[name]])
    assert told.value > told.chance + 3 * told.se
    assert told.details["logprob"] > max(score.details["logprob"] for score in scores)
    assert told.details["probability"] > told.chance


def test_text_that_gives_too_few_items_is_refused_by_name(open_prose: Dataset) -> None:
    with pytest.raises(ValueError, match="task 'well_formed': the held-out text gives 0 items"):
        made("well_formed", open_prose)


@pytest.fixture
def open_prose(tiny_corpus: object, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    cache = tmp_path_factory.mktemp("cache")
    return open_dataset(DataOptions("text", 256, (str(tiny_corpus),), heldout_fraction=0.2), cache)
