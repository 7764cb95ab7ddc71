"""Messages and codes that docs/troubleshooting.md explains stand in the source as they are quoted."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
SOURCES = [path for wing in ("scaling", "analysis", "experiments") for path in (ROOT / wing).rglob("*.py")]


def rows(section: str) -> list[str]:
    """The first cells of the table of a section."""
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return [line.split(" | ")[0].lstrip("| ") for line in text.splitlines() if line.startswith("| `")]


def said() -> str:
    """The text of the source, strings of several literals in one piece."""
    return re.sub(r"[\"']\s*\n\s*[rf]*[\"']", "", "\n".join(path.read_text() for path in SOURCES))


def test_every_message_is_one_that_is_printed() -> None:
    source = said()
    sections = ("Installation", "Asking for a study", "Training", "Reading a table")
    messages = [re.findall(r"`([^`]+)`", cell)[0] for section in sections for cell in rows(section)]
    assert len(messages) > 20
    for message in messages:
        for piece in filter(None, (part.strip(" .,;:") for part in message.split("…"))):
            assert piece in source, f"{message!r}: no message has {piece!r}"


def codes() -> Iterator[str]:
    """The codes of all warnings of fits."""
    for path in (ROOT / "analysis").rglob("*.py"):
        text = path.read_text()
        for node in ast.walk(ast.parse(text)) if "FitWarning(" in text else ():
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "FitWarning" and node.args:
                yield from (
                    leaf.value
                    for leaf in ast.walk(node.args[0])
                    if isinstance(leaf, ast.Constant) and isinstance(leaf.value, str)
                )


def test_every_warning_is_explained() -> None:
    explained = {code for cell in rows("Warnings of a fit") for code in re.findall(r"`([\w-]+)`", cell)}
    assert explained == set(codes())
