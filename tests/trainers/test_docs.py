"""What docs/your-trainer.md says to type does what it says."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest
import yaml

from analysis import load_runs
from experiments.cli import main
from scaling.records.record import read_study
from scaling.study.plan import plan_study

PAGE = (Path(__file__).parents[2] / "docs" / "your-trainer.md").read_text()
SCRIPT = Path(__file__).with_name("tiny_train.py")


def snippets(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.S)


def first_command() -> str:
    (command,) = (text for text in snippets("bash") if text.startswith("scaling run trainer=command"))
    return command.replace("\\\n", "")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A working directory with a train.py; what keeps a study inside it."""
    monkeypatch.chdir(tmp_path)
    Path("train.py").write_text(SCRIPT.read_text())
    return [f"cache={tmp_path}/cache", "tracking=off"]


def test_the_first_command_runs(here: list[str]) -> None:
    words = shlex.split(first_command().replace("python train.py", f"{sys.executable} train.py"))[1:]
    assert main([*words, *here]) == 0
    table = load_runs("runs/mine")
    assert sorted(zip(table["params"], table["tokens"], strict=True)) == [
        (params, 256 * round(tokens / 256)) for params in (24576, 98304) for tokens in (1e5, 3e5)
    ]


def test_the_study_file_asks_for_the_same_runs(here: list[str]) -> None:
    (text,) = (text for text in snippets("yaml") if "# mine.yaml" in text)
    Path("mine.yaml").write_text(text)
    asked = plan_study([*shlex.split(first_command())[2:], *here])
    assert {r.id for _, r in plan_study(["study=./mine.yaml", *here]).runs} == {r.id for _, r in asked.runs}


def test_the_other_study_files_and_ladders_are_planned(here: list[str]) -> None:
    texts = [text for text in snippets("yaml") if "# mine.yaml" not in text]
    whole = next(text for text in texts if "name: nanogpt" in text)
    Path("nano.yaml").write_text(whole)
    plan = plan_study(["study=./nano.yaml", *here])
    assert len(plan.runs) == 6
    assert {int(dict(t.spec.told)["heads"]) for t in plan.trunks} == {1, 2, 4}  # type: ignore[attr-defined]
    (ladder,) = (yaml.safe_load(text)["trainer"] for text in texts if text.startswith("trainer:"))
    assert len(ladder["ladder"]) == 3


def test_the_loop_leaves_records(here: list[str]) -> None:
    (loop,) = (text for text in snippets("python") if "open_run" in text)
    for _ in range(2):
        exec(compile(loop, "loop", "exec"), {})
    assert len(read_study("runs/loop").done) == 6


def test_every_setting_that_the_page_names_is_one() -> None:
    from scaling.study.config import TrainerConfig

    named = set(re.findall(r"trainer\.([a-z]+)", PAGE)) | set(re.findall(r"trainer\.([a-z]+)\.", PAGE))
    assert named - {"train", "evaluate"} == set(TrainerConfig.__dataclass_fields__) - {"kind"}
