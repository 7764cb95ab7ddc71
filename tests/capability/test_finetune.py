"""Fine-tuning tasks: metrics by hand, items of the right split, a copy that learns, a model that stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from scaling.capability import classify, write
from scaling.capability.classify import Snippets, macro_f1
from scaling.capability.tasks import TASKS, find_tasks
from scaling.capability.write import BETWEEN, SOURCE, TARGET, Writing
from scaling.capability.writing import rouges, score_writing
from scaling.data.corpora import open_dataset
from scaling.data.dataset import Dataset
from scaling.data.options import DataOptions
from scaling.models import FAMILIES
from scaling.study.spec import DataSpec
from tests.capability.conftest import untrained


def test_metrics_by_hand() -> None:
    guesses, labels = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    assert macro_f1(guesses, labels, 3) == pytest.approx((2 / 3 + 4 / 5) / 2)


def test_rouge_by_hand() -> None:
    pytest.importorskip("torchmetrics", reason="in the extra `tasks`")
    found = rouges(["the cat sat", "b a", "x", "北京很大。"], ["The cat is sat down", "a b", "a", "北京大"])
    assert found["rouge_l"].tolist() == pytest.approx([2 * 3 / 8, 0.5, 0, 2 * 3 / 7])
    assert found["rouge_2"][0] == pytest.approx(2 * 1 / 6)


def test_bleu_is_sacrebleu() -> None:
    pytest.importorskip("torchmetrics", reason="in the extra `tasks`")
    sacrebleu = pytest.importorskip("sacrebleu", reason="in the extra `tasks`")
    written, wanted = ["Close the window, please.", "Good day"], ["Close the window please.", "Good morning"]
    score = score_writing(written, wanted)
    assert score.value == pytest.approx(
        sacrebleu.BLEU(effective_order=True).corpus_score(written, [wanted]).score / 100
    )
    assert score_writing(wanted, wanted).value == pytest.approx(1)
    assert score_writing(wanted, wanted).details["exact"] == 1


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, DataSpec]:
    """Two packages that one letter tells apart."""
    root = tmp_path_factory.mktemp("packages")
    rng = np.random.default_rng(0)
    for name, letters in (("upper", "ABCD"), ("lower", "abcd")):
        (root / name).mkdir()
        for i in range(40):
            (root / name / f"{i}.txt").write_text("".join(rng.choice(list(letters + " \n"), 1500)))
    return open_spec(root, tmp_path_factory.mktemp("cache"))


def open_spec(root: Path, cache: Path) -> tuple[Dataset, DataSpec]:
    dataset = open_dataset(DataOptions("text", 256, (str(root),), heldout_fraction=0.3), cache)
    spec = DataSpec(
        corpus="text",
        fingerprint=dataset.fingerprint,
        vocab=256,
        context=32,
        paths=(str(root),),
        heldout_fraction=0.3,
    )
    return dataset, spec


@pytest.mark.parametrize("family", list(FAMILIES))
def test_every_family_learns_to_classify(
    family: str, folders: tuple[Dataset, DataSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classify, "STEPS", 24)
    dataset, spec = folders
    snippets = TASKS["classify"].make(dataset, spec)
    assert isinstance(snippets, Snippets)
    assert snippets.classes == ("lower", "upper")
    few = Snippets(snippets.classes, snippets.train[:256], snippets.test[:64])
    subject = untrained(dataset, family, context=32)
    before = {name: value.clone() for name, value in subject.model.state_dict().items()}
    score = few.score(subject)
    assert score.value > 0.9
    assert score.chance == 0.5
    assert score.details["macro_f1"] == pytest.approx(score.value, abs=0.1)
    assert all(torch.equal(value, before[name]) for name, value in subject.model.state_dict().items())
    assert family != "lstm" or few.score(subject) == score, "a fixed seed"


def test_summaries_are_mined_from_functions_of_their_split(code: Dataset) -> None:
    with pytest.raises(ValueError, match="task 'summarise': the text holds"):
        TASKS["summarise"].make(code, None)  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_model_learns_to_write_after_a_source(
    folders: tuple[Dataset, DataSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "STEPS", 160)
    dataset, _ = folders
    pairs = tuple((f"{letter * 8}", letter.upper() * 3) for letter in "abcd" for _ in range(64))
    task = Writing(pairs, pairs[::64], BETWEEN, "\n")
    for family in ("decoder", "encoder_decoder"):
        subject = untrained(dataset, family, context=32)
        tuned = task._tuned(subject)
        assert task.write(tuned, [source for source, _ in task.test]) == [t for _, t in task.test]
    with pytest.raises(ValueError, match="needs a context of 15 tokens; this model has 8"):
        task._tuned(untrained(dataset, "decoder", context=8))
    assert SOURCE + len(BETWEEN) + TARGET + 1 <= 128


def test_tasks_that_a_corpus_or_an_objective_cannot_do_are_refused(
    folders: tuple[Dataset, DataSpec], tiny_corpus: Path, tmp_path: Path
) -> None:
    dataset, spec = folders
    with pytest.raises(ValueError, match="task 'translate': corpus 'text' has no pairs"):
        TASKS["translate"].make(dataset, spec)
    with pytest.raises(ValueError, match="task 'classify': corpus 'text' has 0 packages"):
        TASKS["classify"].make(*open_spec(tiny_corpus, tmp_path))
    for name in ("summarise", "translate"):
        with pytest.raises(ValueError, match="needs generation, which a masked model cannot do"):
            find_tasks([name])[0].check("masked")
