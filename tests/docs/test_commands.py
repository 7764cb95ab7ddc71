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
    """What the parser of a command says; None of one that takes no arguments.

    Raises:
        SystemExit: from the parser, for arguments that it refuses.
    """
    try:
        if program == "scaling":
            main(words)
        else:
            importlib.import_module(program).main(words)
    except Parsed as found:
        return found.asked
    return None


@each_page
def test_every_command_is_one(page: Path, only_parsed: None, capsys: pytest.CaptureFixture[str]) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
    for program, words in commands(page):
        line = " ".join([program, *words])
        if program == "make":
            assert set(words) <= set(targets), f"{line}: no such target"
            continue
        if program == "scaling" and words[0] not in VERBS:
            assert words[0].startswith("-"), f"{line}: no such command"
            continue
        if program != "scaling":
            module = importlib.util.find_spec(program)
            assert module is not None, f"{line}: no such module"
            if module.submodule_search_locations is not None:
                program += ".__main__"
            if not words:
                continue
        try:
            asked = parse(program, words)
        except SystemExit as error:
            pytest.fail(f"{line}\n{capsys.readouterr().err}") if error.code else None
        else:
            assert asked is not None, f"{line}: was not parsed"


def studies(page: Path) -> list[list[str]]:
    """The overrides of every `scaling plan` and `scaling run` of a page that names or describes a study."""
    found = []
    for program, words in commands(page):
        if program == "scaling" and words[0] in ("plan", "run"):
            overrides = [w for w in words[1:] if not w.startswith("-") and "=" in w]
            if overrides and overrides not in found:
                found.append(overrides)
    return found


@each_page
def test_every_study_composes(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unknown studies, keys, values and files are refused. What a page calls a file lies in the folder."""
    asked = studies(page)
    if not asked:
        pytest.skip("no study on this page")
    monkeypatch.setattr(compose, "compose", remembered)
    save_files(page, tmp_path)
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    monkeypatch.chdir(tmp_path)
    for overrides in asked:
        for one in compose.one_study_each(overrides):
            composed = compose.compose_study(one, Sources.here(None, None))
            assert composed.jobs, overrides


def save_files(page: Path, folder: Path) -> None:
    """Save the blocks of a page that are called after files, and studies of several pages that are needed."""
    for block in blocks(page):
        if block.file is not None:
            path = folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)


@each_page
def test_every_block_says_what_it_is(page: Path) -> None:
    for block in blocks(page):
        assert block.language in LANGUAGES, f"{block}: {block.language or 'no language'}"


@each_page
def test_what_is_pasted_means_the_same_in_bash_and_zsh(page: Path) -> None:
    """No comment, which an interactive zsh takes for words; no glob, brace, placeholder or `$` unquoted."""
    lines = [(str(block), line) for block in blocks(page) for line in lines_of(block)]
    for where, line in lines:
        bare = unquoted(line)
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
            if not key.endswith((".py", ".yaml", ".csv", ".Optimizer")):
                assert is_key(key.rstrip(".")) or own_size(key), f"{name_of(page)}: no key {key}"
    for name, extras in re.findall(r"'(\.|scaling-harness)\[([\w,-]+)\]'", page.read_text()):
        assert set(extras.split(",")) <= project["optional-dependencies"].keys(), f"{name}[{extras}]"


def own_size(key: str) -> bool:
    """Whether a key is a size that the example of a family of one's own has registered."""
    return key in ("model.state", "model.gate")
