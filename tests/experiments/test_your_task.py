"""Labelled files through the command line: from file to score to law by two commands."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.cli import main
from experiments.finetune.__main__ import summary, write
from scaling.capability import tune
from scaling.models import FAMILIES
from tests.capability.labels import questions, reviews, sentences, write_jsonl

DOCS = Path(__file__).parents[2] / "docs"
Runs = dict[str, Path]


@pytest.fixture
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tune, "FEWEST_STEPS", 4)
    monkeypatch.setattr(tune, "MOST_STEPS", 4)


@pytest.mark.usefixtures("few_steps")
def test_a_file_is_scored_with_every_option_and_becomes_a_table(
    one_of_each: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = one_of_each["decoder"].parents[1]
    path = write_jsonl(tmp_path / "reviews.jsonl", reviews(48))
    asked = ["evaluate", str(study), "--cache", str(study.parent / "cache"), "--workers", "1", "--seeds", "1"]
    asked += ["--tasks", f"classify:{path}", "--examples", "8,16", "--scratch", "--quantise", "4"]
    assert main([*asked, "--to", f"{tmp_path}/scores.csv"]) == 0
    said = capsys.readouterr().out
    assert "from scratch" in said
    assert re.search(r"true . said +neg +pos", said)
    assert main([*asked, "--json"]) == 0
    scores = [s for s in json.loads(capsys.readouterr().out)["scores"] if s["name"] == "reviews"]
    assert len(scores) == len(FAMILIES) * 2 * 2 * 2
    assert {tuple(sorted(s["confusion"])) for s in scores} == {("neg", "pos")}
    table = pd.read_csv(tmp_path / "scores.csv")
    own = table[table["task"] == "reviews"]
    assert set(own["start"]) == {"trained", "scratch"}
    assert set(own["examples"]) == {8, 16}
    assert set(own["bits"]) == {4, 32}
    assert own["loss"].notna().all()
    assert table["run_id"].is_unique
    assert main([*asked[:6], "--tasks", f"classify:{path}", "--lora", "2", "--seeds", "1"]) == 0
    assert "lora 2" in capsys.readouterr().out


def test_bad_input_trains_nothing(
    one_of_each: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = one_of_each["decoder"].parents[1]
    good = write_jsonl(tmp_path / "good.jsonl", reviews(48))
    bad = tmp_path / "bad.csv"
    bad.write_text("text,label\nfine,pos\nbroken,\n")
    before = sorted(study.rglob("evaluations/*"))
    for words, message in (
        (["--tasks", f"classify:{good},tag:{bad}"], "bad.csv:2: no 'tags'"),
        (["--tasks", f"classify:{bad}"], "bad.csv:3: 'label' is empty. A row has text,label."),
        (["--tasks", f"classify:{good}", "--examples", "x"], "--examples: whole numbers are needed"),
        (["--tasks", f"classify:{good}", "--examples", "9999"], "--examples 9999: task 'good' has 36 rows"),
        (["--tasks", f"recall:classify:{good}"], "a task 'recall' already exists"),
    ):
        assert main(["evaluate", str(study), "--cache", str(study.parent / "cache"), *words]) == 2
        assert message in capsys.readouterr().err
    assert sorted(study.rglob("evaluations/*")) == before


def test_bits_become_a_law_of_precision(
    one_of_each: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table that the command writes is one that the command reads; a study of sizes gives the law."""
    study = one_of_each["decoder"].parents[1]
    asked = ["evaluate", str(study), "--cache", str(study.parent / "cache"), "--workers", "1"]
    assert main([*asked, "--tasks", "none", "--quantise", "4,2", "--to", f"{tmp_path}/bits.csv"]) == 0
    capsys.readouterr()
    rows = pd.read_csv(tmp_path / "bits.csv").query("task == 'loss' and family == 'decoder'")
    assert set(rows["bits"]) == {32, 4, 2}
    more = []
    for n, params in enumerate(np.geomspace(1e4, 1e6, 6)):
        for tokens in np.geomspace(1e5, 1e7, 4):
            for bits in (32, 4, 3, 2):
                loss = (
                    1 + 20 * params**-0.3 + 40 * tokens**-0.3 + 3 * (tokens / params) ** 0.3 * np.exp(-bits)
                )
                one = rows.iloc[0].to_dict() | {
                    "params": params,
                    "tokens": tokens,
                    "bits": bits,
                    "loss": loss,
                }
                more.append(
                    one | {"run_id": f"r{len(more)}", "trunk_id": f"t{n}", "flops": 6 * params * tokens}
                )
    pd.DataFrame(more).to_csv(tmp_path / "more.csv", index=False)
    assert main(["fit", f"{tmp_path}/more.csv", "--law", "precision", "--resamples", "0", "--json"]) == 0
    (part,) = json.loads(capsys.readouterr().out)["parts"].values()
    assert part["laws"][0]["parameters"]["g"]["value"] == pytest.approx(1.0, rel=0.05)


def test_scores_become_laws_of_fine_tuning_and_transfer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = []
    for params in np.geomspace(1e4, 1e6, 5):
        for examples in (64, 256, 1024, 4096):
            loss = 0.2 + 6 * params**-0.1 * examples**-0.3
            rows.append(
                {"params": params, "tokens": 1e6, "examples": examples, "loss": loss, "start": "trained"}
            )
            rows[-1]["transferred"] = 2 * examples**0.2 * params**0.4
    table = pd.DataFrame(rows).assign(family="decoder", run_id=[f"r{i}" for i in range(len(rows))])
    table.to_csv(tmp_path / "scores.csv", index=False)
    for law, more, name, value in (
        ("finetune", [], "beta", 0.3),
        ("transferred", ["loss=transferred"], "alpha", 0.2),
    ):
        words = ["--columns", "examples=examples", *more, "--where", 'start == "trained"', "--resamples", "0"]
        assert main(["fit", f"{tmp_path}/scores.csv", "--law", law, *words, "--json"]) == 0
        (part,) = json.loads(capsys.readouterr().out)["parts"].values()
        assert part["laws"][0]["parameters"][name]["value"] == pytest.approx(value, rel=1e-3)


def test_what_pretraining_is_worth_is_read_off_the_curve_from_scratch() -> None:
    from analysis.table.scores import _examples_for

    needed = _examples_for(
        np.array([0.5, 0.25, 0.2, 1.0]), pd.Series([10, 100, 1000]), pd.Series([1.0, 0.5, 0.25])
    )
    assert needed == pytest.approx([100, 1000, np.nan, 10], nan_ok=True)


def test_the_page_names_every_task_and_option(capsys: pytest.CaptureFixture[str]) -> None:
    page = (DOCS / "your-task.md").read_text()
    with pytest.raises(SystemExit):
        main(["evaluate", "--help"])
    for option in re.findall(r"--(?:examples|lora|scratch|seeds|to)\b", capsys.readouterr().out):
        assert f"`{option}" in page
    for kind in ("classify", "tag", "answer", "write"):
        assert f"`{kind}:FILE`" in page


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_pretraining_beats_from_scratch_at_64_examples(family: str, tmp_path: Path) -> None:
    """The whole way, by commands, with an interval; of a masked model, only the loss is shown to be lower.

    What it says of a word that it sees is which word that is, not what belongs beside it.
    """
    tokens = 1.6e6 if family == "masked" else 4e5  # it predicts a seventh of what it reads
    write(tmp_path, files=20, rows=1024)
    settings = [
        f"model={family}",
        "model.params=2.5e4",
        f"data.paths=[{tmp_path}/text]",
        f"runs={tmp_path}/runs",
    ]
    settings += [f"cache={tmp_path}/cache", "tracking=off", "workers=1", f"budget.tokens={tokens:g}"]
    study = Path(__file__).parents[2] / "experiments" / "finetune" / "study.yaml"
    assert main(["run", f"study={study}", *settings]) == 0
    asked = [
        "--examples",
        "64",
        "--scratch",
        "--seeds",
        "8",
        "--cache",
        f"{tmp_path}/cache",
        "--workers",
        "1",
    ]
    told = ["--tasks", f"classify:{tmp_path}/labels.csv", "--to", f"{tmp_path}/scores.csv"]
    assert main(["evaluate", f"{tmp_path}/runs/finetune", *asked, *told]) == 0
    table = pd.read_csv(tmp_path / "scores.csv").set_index("start")
    lead = table["score"]["trained"] - table["score"]["scratch"]
    error = float(np.hypot(table["score_se"]["trained"], table["score_se"]["scratch"]))
    assert table["loss"]["trained"] < 0.8 * table["loss"]["scratch"]
    assert family == "masked" or lead - 1.96 * error > 0, (lead, error)


@pytest.mark.slow
@pytest.mark.parametrize("chinese", [False, True])
def test_three_small_data_sets_from_file_to_score(
    chinese: bool, one_of_each: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = one_of_each["decoder"].parents[1]
    made = {"classify": reviews, "tag": sentences, "answer": questions}
    tasks = [
        f"{kind}:{write_jsonl(tmp_path / f'{kind}.jsonl', make(200, 0, chinese))}"
        for kind, make in made.items()
    ]
    tasks = [f"own_{i}:{task}" for i, task in enumerate(tasks)]
    asked = ["evaluate", str(study), "--cache", str(study.parent / "cache"), "--tasks", ",".join(tasks)]
    assert main([*asked, "--examples", "64,128", "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)["scores"]
    assert len(scores) == 3 * 2 * len(FAMILIES)
    assert all(score["se"] > 0 for score in scores)


def test_the_kept_scores_give_the_table_of_the_study(capsys: pytest.CaptureFixture[str]) -> None:
    from experiments.finetune.__main__ import KEPT

    if not KEPT.is_file():
        pytest.skip("no kept scores")
    said = summary(pd.read_csv(KEPT))
    assert "pretrained" in said
    assert said in (KEPT.parent / "README.md").read_text()
