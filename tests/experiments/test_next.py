"""`scaling next`: words, JSON, and a study that `scaling plan` takes."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.cli import main
from experiments.commands.next import limits_of
from scaling.records.record import read_study
from scaling.study.plan import plan_study


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    N, D = (v.ravel() for v in np.meshgrid([5e3, 1.2e4, 3e4, 7e4], [2e5, 5e5, 1.2e6, 3e6]))
    loss = (1.2 + 12 * N**-0.35 + 60 * D**-0.4) * np.exp(0.004 * np.random.default_rng(0).standard_normal(16))
    path = tmp_path_factory.mktemp("next") / "t.csv"
    pd.DataFrame({"params": N, "tokens": D, "loss": loss}).to_csv(path, index=False)
    return path


def test_a_study_is_written_that_can_be_planned(
    small: Path, tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to = tmp_path / "more.yaml"
    asked = ["next", str(small), "--compute", "1e19", "--resamples", "60", "--to", str(to), "--base", "smoke"]
    assert main([*asked, "--device", "h100", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["files"][0] == str(to)
    assert told["price"]["basis"] == "assumed"
    assert told["cost"] <= told["spend"]
    usual = [
        f"runs={tmp_path}/runs",
        f"cache={tmp_path}/cache",
        f"data.paths=[{tiny_corpus}/*.txt]",
        "data.vocab=256",
    ]
    assert main(["plan", f"study={to}", *usual, "data=text", "data.heldout_fraction=0.2", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    sizes = {run["N"] for run in told["runs"]}
    planned = [run["params"] for run in plan["runs"]]
    assert all(min(abs(np.log(n / size)) for size in sizes) < 0.3 for n in planned)
    assert plan["study"] == "more"


def test_settings_of_a_study_that_has_a_file_alone_are_kept(
    small: Path, tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It was run by its path: without its file, the runs would be trained on another corpus in silence."""
    base = tmp_path / "own" / "arms.yaml"
    base.parent.mkdir()
    base.write_text(
        f"# @package _global_\nname: arms\nruns: {tmp_path}/runs\ncache: {tmp_path}/cache\n"
        "model: {params: 5e3}\nbudget: {tokens: [2e4]}\n"
        f"data: {{corpus: text, paths: ['{tiny_corpus}/*.txt'], vocab: 256, heldout_fraction: 0.2}}\n"
        "hydra: {sweeper: {params: {seed: '0,1', training.weight_decay: '0.1'}}}\n"
    )
    to = tmp_path / "more.yaml"
    asked = ["next", str(small), "--compute", "1e13", "--resamples", "60", "--to", str(to)]
    assert main(asked) == 2
    assert "Name the study that they are of, or its file: --base" in capsys.readouterr().err
    assert main([*asked, "--base", str(base), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    plan = plan_study([f"study={told['files'][0]}"])
    assert {trunk.spec.data.corpus for trunk in plan.trunks} == {"text"}
    assert {trunk.spec.weight_decay for trunk in plan.trunks} == {0.1}
    assert len(plan.runs) <= len(told["runs"])


def test_no_run_of_a_study_is_shorter_than_four_warm_ups() -> None:
    assert limits_of(None)[1] == 4 * 32 * 8 * 128
    buildable, shortest = limits_of("smoke")
    assert shortest == 4 * 4 * 8 * 64
    assert buildable is not None


def test_what_cannot_be_asked_is_refused(small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, message in (
        (["--compute", "1e15", "--run"], "--run trains the study that --to names"),
        (["--compute", "1e15", "--device", "b9000"], "'b9000' is not known"),
        (["--compute", "1e15", "--devices", "8"], "of which device?"),
        (["--compute", "1e15", "--arm", "lstm"], "'lstm' is none of them"),
    ):
        assert main(["next", str(small), "--resamples", "40", *words]) == 2
        assert message in capsys.readouterr().err


BASE = """
# @package _global_
name: tiny
question: Which size is best?
defaults:
  - override /data: text
tracking: "off"
workers: 1
data: {{paths: ["{corpus}/*.txt"], vocab: 256, context: 32, heldout_fraction: 0.2}}
budget: {{tokens: [4e3]}}
training: {{sequences: 4, warmup_steps: 3, threads: 1, precision: float32, evaluation_tokens: 2048}}
hydra: {{sweeper: {{params: {{model.params: "5e3,8e3"}}}}}}
"""


@pytest.mark.usefixtures("untimed")
def test_chosen_runs_are_written_trained_and_not_trained_again(
    tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    N, D = (v.ravel() for v in np.meshgrid([5e3, 7e3, 1e4], [4e3, 6e3, 9e3]))
    loss = (1.2 + 12 * N**-0.35 + 60 * D**-0.4) * np.exp(0.004 * np.random.default_rng(0).standard_normal(9))
    monkeypatch.chdir(tmp_path)
    pd.DataFrame({"params": N, "tokens": D, "loss": loss}).to_csv("t.csv", index=False)
    (tmp_path / "conf/study").mkdir(parents=True)
    (tmp_path / "conf/study/tiny.yaml").write_text(BASE.format(corpus=tiny_corpus))
    asked = [
        "next",
        "t.csv",
        "--compute",
        "1e11",
        "--spend",
        "6e8",
        "--resamples",
        "40",
        "--law",
        "chinchilla",
    ]
    assert main([*asked, "--to", "more.yaml", "--base", "tiny", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["runs"]
    assert main([*asked, "--to", "more.yaml", "--base", "tiny", "--run"]) == 0
    study = read_study(tmp_path / "runs" / "more")
    assert not study.missing
    wanted = {(round(run["N"]), round(run["D"] / 128) * 128) for run in told["runs"]}
    assert {record.tokens for record in study.done} == {tokens for _, tokens in wanted}
    assert 1 <= len(study.done) <= len(told["runs"])
    capsys.readouterr()
    assert main(["run", "study=./more.yaml"]) == 0
    assert "nothing to train" in capsys.readouterr().out
