"""What docs/your-model.md says can be typed."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

import scaling
from experiments.cli import main
from scaling.records.record import find_record_files

PAGE = Path(__file__).parents[2] / "docs" / "your-model.md"
SMALL = ["budget.tokens=[2e3,4e3]", "model=my_gru", "model.params=8e3"]


def written(kind: str, name: str) -> str:
    block = rf"```{kind}\n((?:# @package _global_\n)?# {re.escape(name)}\n.*?)```"
    (text,) = re.findall(block, PAGE.read_text(), re.S)
    return str(text)


def test_the_page_goes_from_a_file_to_a_finished_run(
    tiny_study: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my_model.py").write_text(written("python", "my_model.py"))
    (tmp_path / "my_study.yaml").write_text(written("yaml", "my_study.yaml"))
    monkeypatch.chdir(tmp_path)
    assert main(["check", "my_model.py", "--seconds", "20"]) == 0
    capsys.readouterr()
    little = [o for o in tiny_study if not o.startswith(("name", "question", "model", "budget", "runs"))]
    assert main(["plan", "study=./my_study.yaml", *little, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["runs"]
    assert Counter(row["family"] for row in rows) == {"my_gru": 9, "decoder": 9}
    result = scaling.run_study("./my_study.yaml", [*little, *SMALL])
    assert len(result.records.done) == 2
    assert "[2/2] my_gru" in capsys.readouterr().out
    (run, _) = find_record_files(Path("runs/my_study"))
    cache = next(o for o in tiny_study if o.startswith("cache=")).removeprefix("cache=")
    assert (
        main(["sample", str(run.parent), "--extension", "my_model.py", "--tokens", "5", "--cache", cache])
        == 0
    )
