"""Links lead somewhere, paths and modules that are named exist, and snippets of Python call what there is."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import sys
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, blocks, name_of, prose, spans

each_page = pytest.mark.parametrize("page", PAGES, ids=name_of)
WINGS = "scaling|analysis|experiments"


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and the site make them."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", prose(page), re.M):
        plain = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower())
        found.add(plain.strip().replace(" ", "-"))
    return found


@each_page
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.is_file(), f"{name_of(page)}: {target}"
        assert not anchor or anchor in anchors(there), f"{name_of(page)}: {target} has no such heading"


@each_page
def test_every_path_that_is_named_exists(page: Path) -> None:
    for span in spans(page):
        for path in re.findall(
            rf"(?<![\w/.~-])(?:(?:{WINGS}|conf|tests|docs)/[\w./-]+\.(?:py|md|yaml|csv|txt))", span
        ):
            own = path.startswith("conf/study/") or "NAME" in path
            assert own or (ROOT / path).exists() or (page.parent / path).exists(), f"{name_of(page)}: {path}"


@each_page
def test_every_module_that_is_named_exists(page: Path) -> None:
    for span in spans(page):
        for dotted in re.findall(rf"(?<![\w./-])(?:{WINGS})(?:\.[A-Za-z_]\w*)+", span):
            assert resolves(dotted), f"{name_of(page)}: {dotted}"


def resolves(dotted: str) -> bool:
    """Whether a dotted name is a module or something in one; where it needs an extra, its text is read."""
    parts = dotted.split(".")
    for number in range(len(parts), 0, -1):
        path = ROOT.joinpath(*parts[:number])
        if not (path.is_dir() or path.with_suffix(".py").is_file()):
            continue
        try:
            found = importlib.import_module(".".join(parts[:number]))
        except ModuleNotFoundError:
            return all(name in path.with_suffix(".py").read_text() for name in parts[number:])
        for name in parts[number:]:
            if not hasattr(found, name):
                return False
            found = getattr(found, name)
        return True
    return False


def sources(page: Path) -> list[str]:
    """The Python of a page, sessions without their prompts and outputs."""
    found = []
    for block in blocks(page):
        if block.language == "python":
            found.append(block.text)
        elif block.language == "pycon":
            lines = [line[4:] for line in block.text.splitlines() if line.startswith((">>> ", "... "))]
            found.append("\n".join(lines))
    return found


@each_page
def test_python_calls_what_there_is(page: Path) -> None:
    """Imports of ours resolve, and calls of our functions have arguments that these take."""
    ours: dict[str, object] = {}
    for source in sources(page):
        tree = ast.parse(source)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module and re.match(WINGS, node.module):
                for alias in node.names:
                    assert resolves(f"{node.module}.{alias.name}"), f"{name_of(page)}: {alias.name}"
                    module = sys.modules.get(node.module)  # None where it needs an extra
                    ours[alias.asname or alias.name] = getattr(module, alias.name, None)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    if re.fullmatch(WINGS, alias.name):
                        ours[alias.name] = importlib.import_module(alias.name)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and (called := looked_up(node.func, ours)) is not None:
                names = {keyword.arg: None for keyword in node.keywords if keyword.arg}
                inspect.signature(called).bind_partial(*node.args, **names)


def looked_up(node: ast.expr, ours: dict[str, object]) -> object:
    """The function of ours that a call names; None where it is none of ours."""
    if isinstance(node, ast.Name):
        found = ours.get(node.id)
    elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ours:
        found = getattr(ours[node.value.id], node.attr)
    else:
        return None
    return found if callable(found) else None
