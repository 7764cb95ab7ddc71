"""What the pages print: fenced blocks, commands, links, and files of their own."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
PAGES += [*sorted(ROOT.glob("docs/**/*.md")), *sorted(ROOT.glob("experiments/*/README.md"))]
# bash: lines to paste. console: `$ ` before each command, its output below. text: output, or a formula.
LANGUAGES = {"bash", "console", "text", "python", "pycon", "yaml", "toml"}
# Programs other than ours that a page may tell a reader to start.
OTHERS = {
    "python3",
    "pip",
    "wandb",
    "tensorboard",
    "curl",
    "git",
    "cd",
    ".",
    "eval",
    "ls",
    "sbatch",
    "stop_the_run",
}
_FENCE = re.compile(
    r"^(?P<indent> *)(?P<fence>```+)(?P<language>[^\n`]*)\n(?P<text>.*?)^(?P=indent)(?P=fence) *$",
    re.M | re.S,
)
_SPAN = re.compile(r"(?<!`)`(?!`)([^`]+)`(?!`)")


def name_of(page: Path) -> str:
    """The page's path in the repository."""
    return str(page.relative_to(ROOT))


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{name_of(self.page)}:{self.line}"

    @property
    def file(self) -> str | None:
        """The name in the first line, `# my_model.py`, of a block that a reader saves as a file."""
        first = "\n".join(self.text.splitlines()[:2])
        found = re.search(r"^# ([\w./-]+\.(?:py|yaml|toml))\b", first, re.M)
        return found[1] if found else None


def blocks(page: Path) -> list[Block]:
    """Every fenced block of a page."""
    text = page.read_text()
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, found["language"].strip(), dedent(found["text"]))
        for found in _FENCE.finditer(text)
    ]


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return _FENCE.sub("\n", page.read_text())


def spans(page: Path) -> list[str]:
    """Inline code, on one line each."""
    return [" ".join(span.split()) for span in _SPAN.findall(prose(page))]


def lines_of(block: Block) -> Iterator[str]:
    """The command lines of a block, continued lines joined."""
    text = block.text.replace("\\\n", " ")
    for line in text.splitlines():
        if block.language == "bash" and line.strip():
            yield line
        elif block.language == "console" and line.startswith("$ "):
            yield line[2:]


def split_commands(line: str) -> list[list[str]]:
    """The words of each command of a line; pipes and lists of commands are taken apart."""
    words = shlex.shlex(line, posix=True, punctuation_chars="|&;")
    words.whitespace_split, words.commenters = True, ""
    found: list[list[str]] = [[]]
    for word in words:
        if word and set(word) <= set("|&;"):
            found.append([])
        else:
            found[-1].append(word)
    return [command for command in found if command]


def ours(words: list[str]) -> tuple[str, list[str]] | None:
    """The program and arguments where a command is ours: `scaling`, `make`, or a module; else None."""
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    if words[0] in ("scaling", "make"):
        return words[0], words[1:]
    if words[0] in ("python", "torchrun") and "-m" in words:
        at = words.index("-m") + 1
        module, rest = words[at], words[at + 1 :]
        return ("scaling", rest) if module == "experiments.cli" else (module, rest)
    return None


def commands(page: Path) -> list[tuple[str, list[str]]]:
    """Each command of ours on a page with its arguments: in blocks, and in inline code that starts as one."""
    lines = [line for block in blocks(page) for line in lines_of(block)]
    lines += [s for s in spans(page) if re.match(r"(scaling [a-z]|python -m experiments|make [a-z])", s)]
    found = [ours(words) for line in lines for words in split_commands(line)]
    return [command for command in found if command is not None]


def unquoted(line: str) -> str:
    """What of a line no quotation marks or backslash protect."""
    return re.sub(r"\\.|'[^']*'|\"(?:\\.|[^\"\\])*\"", "", line)
