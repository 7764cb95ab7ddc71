"""Every command that a page prints goes through the real parser, every study through Hydra; none is run."""

from __future__ import annotations

import argparse
import importlib
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from experiments.cli import VERBS, main
from experiments.commands.new import write_study
from scaling.study import compose
from scaling.study.keys import is_key
from scaling.study.sources import Sources
from tests.composed import remembered
from tests.docs.pages import (
    LANGUAGES,
    OTHERS,
    PAGES,
    blocks,
    commands,
    lines_of,
    name_of,
    ours,
    spans,
    split_commands,
    unquoted,
)

ROOT = Path(__file__).parents[2]
each_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


class Parsed(Exception):
    """A command line that its parser has accepted."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self.asked = asked


@pytest.fixture
def only_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands end once their arguments are parsed."""

    def ending(parse: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            raise Parsed(parse(*arguments, **named))

        return call

    parser = argparse.ArgumentParser
    for name in ("parse_args", "parse_intermixed_args"):
        monkeypatch.setattr(parser, name, ending(getattr(parser, name)))


def parse(program: str, words: list[str]) -> argparse.Namespace | None:
    """What the parser of a command says; None where it refuses, or there is none."""
    try:
        if program == "scaling":
            main(words)
        else:
            module = importlib.import_module(program)
            if "argparse" not in vars(module):  # a package: its commands are in __main__
                module = importlib.import_module(f"{program}.__main__")
            assert "argparse" in vars(module), f"{program}: takes arguments without a parser"
            module.main(words)
    except Parsed as found:
        return found.asked
    except SystemExit:
        return None
    return None


@each_page
def test_every_command_is_one(page: Path, only_parsed: None, capsys: pytest.CaptureFixture[str]) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
    for program, words in commands(page):
        line = " ".join([program, *words])
        if program == "make":
            assert set(words) <= set(targets), f"{line}: no such target"
        elif program == "scaling" and len(words) == 1:  # a verb, as prose names it
            assert words[0] in VERBS or words[0].startswith("-"), f"{line}: no such command"
        elif program != "scaling" and not words:
            assert importlib.util.find_spec(program), f"{line}: no such module"
        else:
            asked = parse(program, words)
            assert asked is not None, f"{line}: {capsys.readouterr().err or 'was not parsed'}"


def studies(page: Path) -> list[list[str]]:
    """The overrides of every study that a page plans or runs, but for kept studies as they are."""
    found: list[list[str]] = []
    for program, words in commands(page):
        if program == "scaling" and words[0] in ("plan", "run"):
            overrides = [w for w in words[1:] if "=" in w and not re.search(r"=[A-Z]+(,|$)", w)]
            kept = len(overrides) == 1 and (ROOT / f"conf/study/{overrides[0][6:]}.yaml").exists()
            if overrides and not kept and overrides not in found:
                found.append(overrides)
    return found


@each_page
def test_every_override_names_what_there_is(page: Path) -> None:
    """Keys of the schema, and choices of groups that lie in conf/ or that the page itself shows."""
    shown = {Path(block.file).stem for block in blocks(page) if block.file} | {"mine", "next", "my_gru"}
    for overrides in studies(page):
        for word in overrides:
            key, _, value = word.partition("=")
            folder = ROOT / "conf" / key
            if folder.is_dir():
                for choice in value.split(","):
                    there = (folder / f"{choice}.yaml").exists() or (ROOT / choice).is_file()
                    known = there or Path(choice).stem in shown
                    assert known or choice == "best", f"{name_of(page)}: {word}"
            else:
                assert is_key(key) or key.lstrip("+").startswith("hydra."), f"{name_of(page)}: {word}"


FRONT = {"README.md", "docs/tutorial.md", "docs/guide.md"}  # what a stranger types first


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=name_of(page), marks=[] if name_of(page) in FRONT else [pytest.mark.slow])
        for page in PAGES
    ],
)
def test_every_study_composes(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first and the last job of each; what a page calls a file lies in the folder."""
    every = compose._compose_jobs
    monkeypatch.setattr(compose, "compose", remembered)
    monkeypatch.setattr(compose, "_compose_jobs", lambda jobs, *rest: every([jobs[0], jobs[-1]], *rest))
    (tmp_path / "empty").mkdir()
    for overrides in studies(page):
        own = any(re.match(r"study=(?!demo|smoke|families)|.*\./", word) for word in overrides)
        monkeypatch.chdir(
            tmp_path if own else tmp_path / "empty"
        )  # without files of its own, it is remembered
        if own and not Path("experiments").exists():
            Path("experiments").symlink_to(ROOT / "experiments")
            prepare(page)
        for one in compose.one_study_each(overrides):
            assert compose.compose_study(one, Sources.here(None, None)).jobs, overrides


def prepare(page: Path) -> None:
    """Save the files that a page shows, and stand-ins for those that its commands or `scaling new` write."""
    for block in blocks(page):
        if block.file is not None:
            Path(block.file).parent.mkdir(parents=True, exist_ok=True)
            Path(block.file).write_text(block.text)
    for _, words in commands(page):
        for written in re.findall(r"--to (\S+\.yaml)", " ".join(words)):
            Path(written).write_text("# @package _global_\nname: next\nbudget: {tokens: 1e5}\n")
    if not Path("conf/study/mine.yaml").exists():
        write_study("mine")


@each_page
def test_every_block_says_what_it_is(page: Path) -> None:
    for block in blocks(page):
        assert block.language in LANGUAGES, f"{block}: {block.language or 'no language'}"


@each_page
def test_what_is_pasted_means_the_same_in_bash_and_zsh(page: Path) -> None:
    """No comment, which an interactive zsh takes for words; no glob, brace, placeholder or `$` unquoted."""
    lines = [(str(block), line) for block in blocks(page) for line in lines_of(block)]
    for where, line in lines:
        bare = unquoted(line.replace("offline-run-*", ""))  # a glob that is meant
        assert not re.search(r"[\[\]?*{}<>#^()…]|(^|\s)[~=]|\$(?!OUT)|(^|\s)!", bare), f"{where}: {line}"
        inside = re.findall(r'"(?:\\.|[^"\\])*"', line)
        assert not any("!" in text for text in inside), f"{where}: a shell looks for history: {line}"
        for words in split_commands(line):
            assert ours(words) or words[0] in OTHERS or "=" in words[0], f"{where}: {line}"


@each_page
def test_bash_can_read_every_block(page: Path) -> None:
    text = "\n".join(block.text for block in blocks(page) if block.language == "bash")
    if text:
        done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


@each_page
def test_every_key_and_extra_that_is_named_exists(page: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    sections = "model|data|budget|optimizer|training|trainer"
    for span in spans(page):
        for key in re.findall(rf"(?<![\w./])(?:{sections})\.[a-z][\w.]*", span):
            if not key.endswith((".py", ".yaml", ".csv", ".md", ".pt2", ".Optimizer")):
                assert is_key(key.rstrip(".")) or own_size(key), f"{name_of(page)}: no key {key}"
    for name, extras in re.findall(r"'(\.|scaling-harness)\[([\w,-]+)\]'", page.read_text()):
        assert set(extras.split(",")) <= project["optional-dependencies"].keys(), f"{name}[{extras}]"


def own_size(key: str) -> bool:
    """Whether a key is a size that the example of a family of your own has registered."""
    return key in ("model.state", "model.gate")
