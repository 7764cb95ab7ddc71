"""The page over all studies of a folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from analysis.report.index import ANSWER, study_lines, write_index
from analysis.table import load_runs
from experiments.cli import main
from tests.analysis.synthetic import write_study


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three studies: one with a report, one whose report is older than its runs, one without."""
    runs = tmp_path_factory.mktemp("runs")
    for name in ("fresh", "old", "bare"):
        write_study(runs / name)
    for name, digest in (("fresh", load_runs(runs / "fresh").data_hash), ("old", "0" * 64)):
        report = runs / name / "report"
        report.mkdir()
        (report / "index.html").write_text("<p>page</p>")
        told = {"answer": f"<b>{name}</b> holds.", "question": "?", "data_hash": digest, "equations": {}}
        (report / ANSWER).write_text(json.dumps(told))
    return runs


def test_every_study_is_a_line_with_what_to_do(folder: Path) -> None:
    lines = {line.name: line for line in study_lines(folder)}
    assert set(lines) == {"fresh", "old", "bare"}
    assert lines["fresh"].answer == "<b>fresh</b> holds."
    assert (lines["fresh"].link, lines["fresh"].note) == ("fresh/report/index.html", "")
    assert lines["fresh"].question == "How far does the law of the small runs reach?"
    assert (lines["fresh"].runs, lines["fresh"].date) == (30, "2026-11-02")
    assert lines["old"].note == f"the report is older than the runs: scaling report {folder / 'old'}"
    assert lines["bare"].note == f"no report yet: scaling report {folder / 'bare'}"
    assert (lines["bare"].answer, lines["bare"].link) == ("", "")


def test_the_page_links_and_escapes(folder: Path) -> None:
    page = write_index(study_lines(folder), folder)
    assert 'href="fresh/report/index.html"' in page
    assert "&lt;b&gt;fresh&lt;/b&gt; holds." in page
    assert "<b>fresh" not in page
    assert "<script" not in page


def test_the_command_writes_it_and_refuses_what_is_no_folder_of_studies(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "runs"
    shutil.copytree(folder, own)
    assert main(["index", str(own)]) == 0
    assert "3 studies; open" in capsys.readouterr().out
    assert (own / "index.html").is_file()
    assert main(["index", str(own), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["studies"]) == 3
    assert main(["index", str(tmp_path / "nothing")]) == 2
    assert main(["index", str(own / "fresh")]) == 2
    assert "holds no study" in capsys.readouterr().err
