"""What people do with Hydra, through the door that they use: `scaling plan` and `scaling run`."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.cli import main
from scaling.records.record import read_study
from scaling.study.sources import config_folder

ROOT = Path(__file__).parents[2]
MINE = """\
# @package _global_
name: mine
question: own
data: {vocab: 256, context: 32}
budget: {tokens: [2e3, 5e3]}
hydra:
  sweeper: {params: {model.params: [5e3, 8e3]}}
"""


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of your own."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    return home


@pytest.fixture
def usual(tiny_study: list[str]) -> list[str]:
    """The tiny study without a name and sizes: what a study of your own says itself."""
    said = ("name=", "question=", "model.params=", "budget.", "data.vocab", "data.context")
    return [line for line in tiny_study if not line.startswith(said)]


def named(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The name of the study that these words ask for, and in which job of how many."""
    capsys.readouterr()
    assert main(["plan", *words, "--cfg", "job", "-p", "name"]) == 0
    return " ".join(line.split(":")[0] for line in capsys.readouterr().out.splitlines())


def write(path: Path, text: str = MINE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_study_of_one_s_own(
    elsewhere: Path, usual: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In ./conf, in a folder that is named, or as a path; its list of values is a sweep."""
    write(elsewhere / "conf" / "study" / "mine.yaml")
    other = write(tmp_path / "configs" / "study" / "other.yaml", MINE.replace("mine", "other"))
    beside = write(elsewhere / "beside.yaml", MINE.replace("mine", "beside"))
    write(other.with_name("based.yaml"), "# @package _global_\ndefaults: [other]\nname: based\n")
    flags = {
        "mine": ["study=mine"],
        "other": ["study=other", "--config-dir", str(tmp_path / "configs")],
        "beside": [f"study=./{beside.name}"],
        "based": [f"study={other.with_name('based.yaml')}"],
    }
    for name, words in flags.items():
        assert named(capsys, *usual, *words) == f"# job 1 of 2 {name}"
    searched = f"hydra.searchpath=[file://{tmp_path}/configs]"
    assert named(capsys, *usual, searched, "study=other", "model.params=5e3") == "other"
    assert main(["run", *usual, "study=mine", "--multirun", "model.params=5e3"]) == 0
    assert len(read_study(tmp_path / "runs" / "mine").done) == 2


def test_a_file_that_would_be_hidden_is_refused(
    elsewhere: Path, usual: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """By one of ours with its name; a copy of ours is the same."""
    path = write(elsewhere / "conf" / "study" / "smoke.yaml")
    assert main(["plan", *usual, "study=smoke"]) == 2
    assert f"smoke.yaml hides {path}. Name the one you mean, study={path}" in capsys.readouterr().err
    assert named(capsys, *usual, f"study={path}").endswith("mine")
    shutil.copy(config_folder() / "study" / "smoke.yaml", path)
    assert named(capsys, *usual, "study=smoke", "model.params=5e3") == "smoke"


def test_another_primary_config(
    elsewhere: Path, usual: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    write(
        elsewhere / "conf" / "base.yaml", "defaults: [config, _self_]\nname: based\nbudget: {tokens: 2e3}\n"
    )
    assert named(capsys, *usual, "-cn", "base", "model.params=5e3") == "based"
    write(elsewhere / "conf" / "bare.yaml", "name: bare\n")
    assert main(["plan", "--config-name", "bare", "model=decoder"]) == 2
    assert "scaling plan: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: mine\n", "begin the file with the line # @package _global_"),
        (
            "# @package _global_\ntraining: {lr: 3}\n",
            "training has no key lr; did you mean training.learning_rate?",
        ),
        ("# @package _global_\nname: [1\n", "mine.yaml"),
        ("# @package global\nname: mine\n", "begin the file with the line # @package _global_"),
        (
            "# @package _global_\ndata: text\n",
            "data: keys are needed here, not the single value text; write data: {corpus: text}",
        ),
        ("# @package _global_\nmodel: lstm\n", "defaults: [override /model: lstm]"),
        ("# @package _global_\nbudget: 1e5\n", "write budget: {tokens: 100000.0}"),
        ("# @package _global_\nbudget: [1e5, 2e5]\n", "write budget: {tokens: [100000.0, 200000.0]}"),
        (
            "# @package _global_\nmodel: {params: [1e4, 3e4]}\n",
            'hydra: {sweeper: {params: {model.params: "10000.0,30000.0"}}}\nor on the command line '
            "model.params=10000.0,30000.0",
        ),
        ("# @package _global_\nmodel: {params: '1e4,3e4'}\n", '{model.params: "1e4,3e4"}'),
        ("# @package _global_\nseed: [0, 1]\n", '{seed: "0,1"}'),
        (
            "# @package _global_\ntraining: {schedule: [trunk, cosine]}\n",
            '{training.schedule: "trunk,cosine"}',
        ),
        (
            "# @package _global_\nmodel.params: [1e4, 3e4]\n",
            "model.params: a file nests its keys; write model: {params: VALUE}",
        ),
        (
            "# @package _global_\ndata: {paths: books/*.txt}\n",
            "write data: {paths: [VALUE]} in a file, 'data.paths=[VALUE]' on the command line",
        ),
        ("# @package _global_\nname: a b\n", "name: 'a b' cannot be a folder's name"),
        (
            "# @package _global_\nhydra: {sweeper: {params: {modl.params: [1, 2]}}}\n",
            "did you mean model.params?",
        ),
    ],
)
def test_a_study_that_is_wrong_is_refused_in_words(
    elsewhere: Path, usual: list[str], text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(elsewhere / "mine.yaml", text)
    assert main(["plan", *usual, "model.params=5e3", "budget.tokens=2e3", "study=mine.yaml"]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "+" not in said.replace(str(elsewhere), "")  # Hydra's own advice let typos pass


@pytest.mark.parametrize("verb", ["run", pytest.param("plan", marks=pytest.mark.slow)])
def test_the_config_is_shown_and_nothing_else_happens(
    verb: str, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([verb, "study=smoke", "seed=3,4", "--cfg", "job", "training.clip=2.5"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("# job 1 of 8: model.params=6000.0 seed=3\nname: smoke\n")
    assert "clip: 2.5" in shown
    assert main([verb, "-c", "job", "-p", "training", "study=smoke"]) == 0
    assert "# @package training\nobjective: null\n" in capsys.readouterr().out
    assert main([verb, "--cfg", "all", "--resolve", "study=smoke"]) == 0
    assert "_target_: scaling.launch.local.LocalLauncher" in capsys.readouterr().out
    assert main([verb, "--cfg", "job", "study=smoke", "+training.lr=1"]) == 2
    write(elsewhere / "conf" / "study" / "mine.yaml")
    for words in (["--info", "searchpath"], ["-i"], ["--info", "defaults-tree"], ["--info", "config"]):
        assert main([verb, *words, "study=mine"]) == 0
    shown = capsys.readouterr().out
    assert str(elsewhere / "conf") in shown
    assert "study: mine" in shown
    assert not (elsewhere / "runs").exists()


def test_help_lists_what_may_be_chosen(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(elsewhere / "conf" / "study" / "mine.yaml")
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    said = capsys.readouterr().out
    assert "\nmodel: decoder, encoder_decoder" in said
    assert ", mine, " in next(line for line in said.splitlines() if line.startswith("study: "))
    assert "\nhydra/sweeper: basic, grid, optuna\n" in said
    for words in ([], ["--multirun"]):
        with pytest.raises(SystemExit):
            main(["run", *words])
        assert "name a study: study=NAME" in capsys.readouterr().err


def test_an_installed_package_finds_studies_too(elsewhere: Path, tmp_path: Path) -> None:
    """As a wheel lies in site-packages: its configs beside its modules, no checkout around it."""
    place = tmp_path / "site"
    for wing in ("scaling", "analysis", "experiments"):
        shutil.copytree(
            ROOT / wing, place / wing, ignore=shutil.ignore_patterns("__pycache__", "report", "*.csv")
        )
    shutil.copytree(ROOT / "conf", place / "scaling" / "conf")
    write(elsewhere / "conf" / "study" / "mine.yaml")
    code = "import sys; from experiments.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, "run", "study=mine", "--info", "searchpath"],
        capture_output=True,
        text=True,
        cwd=elsewhere,
        env={**os.environ, "PYTHONPATH": str(place)},
    )
    assert str(place / "scaling" / "conf") in done.stdout, done.stderr
    assert str(elsewhere / "conf") in done.stdout


def test_a_swept_name_and_a_swept_study_make_studies(
    elsewhere: Path, tiny_study: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = [*tiny_study, "name=${model.family}_s${seed}", "seed=0,1", "model.params=5e3", "budget.tokens=2e3"]
    assert main(["plan", *both]) == 0
    said = capsys.readouterr().out
    assert re.findall(r"^(\w+): \S+ FLOP, about .*: 1 run on 1 trunk$", said, re.M) == [
        "decoder_s0",
        "decoder_s1",
    ]
    assert said.count("Does it run?") == 2
    assert main(["run", *both]) == 0
    for seed in (0, 1):
        study = read_study(tmp_path / "runs" / f"decoder_s{seed}")
        assert [record.seed for record in study.done] == [seed]
        assert list(study.expected) == [record.run_id for record in study.done]
    for name in ("one", "two"):
        write(elsewhere / "conf" / "study" / f"{name}.yaml", MINE.replace("mine", name))
    here = [word for word in tiny_study if not word.startswith(("name=", "model.params="))]
    capsys.readouterr()
    assert main(["plan", "--json", *here, "study=one,two"]) == 0
    assert [plan["study"] for plan in json.loads(capsys.readouterr().out)] == ["one", "two"]
    assert main(["plan", *here, "study=one,two", "name=same"]) == 2
    assert "two of these studies have the folder" in capsys.readouterr().err


def test_a_plan_is_joined_and_replaced_when_asked(
    tiny_study: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = tmp_path / "runs" / "tiny"
    narrow = [*tiny_study, "model.params=5e3"]
    assert main(["run", *tiny_study, "max_flops=5e8"]) == 1  # pays for less than all
    assert len(read_study(study).expected) == 4
    missing = len(read_study(study).missing)
    assert missing >= 2
    said = capsys.readouterr().out
    assert f"leaves out {missing} runs: raise it to train the rest" in said
    assert "repeat the same command" not in said  # it would leave them out again
    assert main(["run", *narrow]) == 0
    assert len(read_study(study).expected) == 4
    assert "2 runs of other commands of study tiny are missing" in capsys.readouterr().out
    assert main(["run", *narrow, "seed=1", "budget.tokens=2e3"]) == 0
    assert len(read_study(study).expected) == 5
    (study / "plan.json").write_text("{")
    assert main(["run", *narrow]) == 0
    assert len(read_study(study).expected) == 2
    assert read_study(study).quarantined == {}  # of the study's own folder nothing is counted; it is kept
    assert (study / "quarantine" / "plan.json").read_text() == "{"
    assert main(["run", *tiny_study, "seed=0"]) == 0
    assert main(["run", *narrow, "--replace-plan"]) == 0
    assert len(read_study(study).expected) == 2
    assert len(read_study(study).done) == 5


def test_a_name_that_leads_out_leaves_no_trace(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also where Hydra's own launcher would make the folder."""
    for name in ("../../escaped", "a b", "..", ".x", "-x", "a/b", "ä", "x" * 81):
        words = [f"name='{name}'", "hydra/launcher=basic", "model.params=1e4", "budget.tokens=1e5"]
        assert main(["run", *words]) == 2
        assert "cannot be a folder's name" in capsys.readouterr().err
    assert list(elsewhere.iterdir()) == []
    assert not (elsewhere.parent / "escaped").exists()
