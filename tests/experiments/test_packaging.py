"""What is installed, and what is said where something is not."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from experiments.cli import VERBS, main
from experiments.extras import EXTRAS

ROOT = Path(__file__).parents[2]
WITHOUT = """
import sys
from importlib.abc import MetaPathFinder

class Missing(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in MISSING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

MISSING = set(sys.argv[1].split(","))
sys.meta_path.insert(0, Missing())
from experiments.cli import main
for line in sys.argv[2:]:
    words = line.split()
    try:
        code = main(words)
    except SystemExit as end:
        code = end.code
    print(f"\\nexit {code}", file=sys.stderr)
"""


def test_a_command_that_needs_more_says_what_installs_it(tmp_path: Path) -> None:
    """Of the base install: each verb helps, works, or says one sentence."""
    asked = [f"{verb} --help" for verb in VERBS]
    asked += ["run study=smoke", "plan study=smoke", "run model.params=1e4", "sample x", "export x --to y"]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, ",".join(EXTRAS), *asked],
        env={"PYTHONPATH": str(ROOT), "PATH": "", "HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    parts = re.split(r"\nexit (\w+)\n", done.stderr)
    said = dict(zip(asked, zip(parts[::2], parts[1::2], strict=False), strict=True))
    for line, (errors, code) in said.items():
        if code != "0":
            sentence = rf"\s*scaling {line.split()[0]}: needs the package \w+: "
            assert re.fullmatch(sentence + r"pip install 'scaling-harness\[\w+\]'\.\s*", errors), (
                line,
                errors,
            )
    for line in ("run study=smoke", "plan study=smoke", "sample x", "export x --to y"):
        assert said[line][1] == "2"
        assert "'scaling-harness[train]'" in said[line][0]
    for verb in ("fit", "report", "forecast", "status", "verify", "export", "new"):
        assert said[f"{verb} --help"][1] == "0", verb


def test_every_extra_is_known_to_the_messages() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(EXTRAS.values()) == set(project["optional-dependencies"]) - {"dev", "browser", "docs"}
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"version: {project['version']}" in citation
    assert f"## {project['version']}" in (ROOT / "CHANGELOG.md").read_text()


def test_an_extra_of_hydra_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("hydra")
    assert main(["plan", "hydra/launcher=joblib", "model.params=1e4", "budget.tokens=1e5"]) == 2
    assert "pip install 'scaling-harness[joblib]'" in capsys.readouterr().err


def test_new_writes_a_study_that_plans(
    tiny_study: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["new", "mine"]) == 0
    path = tmp_path / "conf" / "study" / "mine.yaml"
    assert str(path.relative_to(tmp_path)) in capsys.readouterr().out
    settings = [
        w for w in tiny_study if w.startswith(("data", "cache", "training.threads", "training.warmup"))
    ]
    assert main(["plan", *settings, "study=mine"]) == 0
    said = capsys.readouterr().out
    assert re.match(r"mine: \S+ FLOP, about .*: 24 runs on 6 trunks\nHow does the loss fall", said)
    # What stands in comments is accepted as well, each alone.
    text = path.read_text()
    for number, match in enumerate(re.finditer(r"^( *)# ([a-z_.]+:? .*|[a-z_.]+: .*)$", text, re.M)):
        if not re.match(r"[a-z_.]+: ", match[2]):
            continue
        key = match[2].partition(":")[0]
        other = re.sub(rf"^ *{re.escape(key)}: .*\n", "", text[: match.start()], flags=re.M)
        changed = other + match[1] + match[2] + text[match.end() :]
        (tmp_path / f"mine{number}.yaml").write_text(changed)
        assert main(["plan", f"study=./mine{number}.yaml", "--cfg", "job", "-p", "name"]) == 0, match[2]
    assert number >= 8
    assert main(["new", "mine"]) == 2
    assert "mine.yaml: already exists" in capsys.readouterr().err
    for name, message in (("a b", "scaling new a-b"), ("demo", "study demo comes with the harness")):
        assert main(["new", name]) == 2
        assert message in capsys.readouterr().err


def test_contributing_names_what_is_there() -> None:
    """Every file that the ten lines send a reader to."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    named = re.findall(r"`((?:scaling|analysis|conf|tests|docs|experiments)/[\w/.]*)`", text)
    assert len(named) > 25
    assert [path for path in named if "NAME" not in path and not (ROOT / path).exists()] == []
    sections = re.split(r"^## ", text, flags=re.M)[1:]
    kinds = ("family", "optimizer", "law", "figure", "task", "launcher", "record")
    added = [section.split("\n")[0].split()[-1] for section in sections if section.startswith("Add ")]
    assert added == list(kinds)
    assert "scaling.launch.job" in text


@pytest.mark.parametrize("name", ["no", "2025_01_15", "1e5", "NULL", "0x1f"])
def test_a_name_that_is_no_text_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["new", name]) == 2
    assert f"Try: scaling new study-{name}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_study_that_another_process_holds_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    from experiments.cli import expected_errors
    from scaling.records.storage import LockedError

    def held() -> int:
        raise LockedError("runs/a/lock is held by another process")

    assert expected_errors("import", held) == 2
    assert capsys.readouterr().err == "scaling import: runs/a/lock is held by another process\n"
