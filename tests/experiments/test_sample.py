from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from experiments.cli import main
from experiments.commands.sample import sample
from scaling.capability.finished import Subject, open_finished
from scaling.capability.generate import translate
from scaling.models import FAMILIES

Runs = dict[str, Path]


def cache_of(runs: Runs) -> str:
    return str(runs["decoder"].parents[2] / "cache")


def say(capsys: pytest.CaptureFixture[str], runs: Runs, *words: str) -> tuple[int, str, str]:
    code = main(["sample", *words, "--cache", cache_of(runs)])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def subject(one_of_each: Runs) -> Subject:
    return open_finished(one_of_each["encoder_decoder"], cache=cache_of(one_of_each)).subject


@pytest.mark.parametrize("family", FAMILIES)
def test_a_finished_run_of_any_family_says_something(
    family: str, one_of_each: Runs, capsys: pytest.CaptureFixture[str]
) -> None:
    prompt = "item 3 has [MASK][MASK]lue 7" if family == "masked" else "item 3 has value"
    words = [str(one_of_each[family]), "--prompt", prompt, "--tokens", "40"]
    code, out, _ = say(capsys, one_of_each, *words)
    assert code == 0
    if family == "masked":
        assert out.startswith("item 3 has ")
        assert out.endswith("lue 7\n")
        assert len(out.encode()) >= len("item 3 has value 7\n")
        return
    assert out.startswith(prompt)
    assert len(out) > len(prompt) + 10
    _, again, _ = say(capsys, one_of_each, *words, "--json")
    told = json.loads(again)
    assert prompt + told["text"] + "\n" == out  # the seed decides
    assert (told["family"], told["run"]) == (family, one_of_each[family].name)


def test_a_run_is_found_by_its_id(
    one_of_each: Runs, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = one_of_each["lstm"]
    home = folder.parents[3]
    home.joinpath("runs").symlink_to(folder.parents[2], target_is_directory=True)
    monkeypatch.chdir(home)
    assert say(capsys, one_of_each, folder.name, "--tokens", "3")[0] == 0
    code, _, err = say(capsys, one_of_each, "lstm-none")
    assert code == 2
    assert "lstm-none: no finished run. Name its folder, runs/STUDY/TRUNK/RUN, or its id" in err


@pytest.mark.parametrize(
    ("family", "words", "message"),
    [
        ("masked", ["--prompt", "item"], r"put [MASK] into the prompt"),
        ("masked", ["--prompt", "[MASK]" * 33], "33 tokens do not fit the model's context of 32"),
        ("lstm", ["--beam", "3"], "--beam: only an encoder_decoder is searched; this is a causal model"),
        ("decoder", ["--tokens", "-1"], "--tokens: 0 or more; got -1"),
        ("encoder_decoder", ["--beam", "3", "--temperature", "1"], "beam: at least 1, and 1 when drawing"),
    ],
)
def test_what_a_model_cannot_do_is_refused(
    family: str, words: list[str], message: str, one_of_each: Runs, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = say(capsys, one_of_each, str(one_of_each[family]), *words)
    assert code == 2
    assert message in err


def test_a_model_of_pairs_translates_and_does_not_repeat_its_prompt(subject: Subject) -> None:
    """The separator begins the target, and neither is in the text. It is drawn only when asked."""
    dataset = subject.dataset
    pairs = dataclasses.replace(dataset, layout=dataset.layout._replace(separator=ord("|")))
    asked = dataclasses.replace(subject, dataset=pairs)
    source, begin = torch.tensor([list(b"item 3")]), torch.tensor([[ord("|")]])
    for beam in (1, 4):
        expected = translate(subject.model, source, begin, 20, beam=beam, end=0)
        assert sample(asked, "item 3", 20, beam=beam) == dataset.decode(expected[0])


def test_a_model_of_numbers_has_no_text(subject: Subject) -> None:
    numbers = dataclasses.replace(subject, dataset=dataclasses.replace(subject.dataset, tokenizer=None))
    with pytest.raises(ValueError, match="corpus 'text' is synthetic: its models cannot produce text"):
        sample(numbers, "1", 3)
