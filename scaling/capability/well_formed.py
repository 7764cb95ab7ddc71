"""*Well-formed*: a real statement, or the same with one token changed so that Python cannot parse it?

The changed token is as long as the one it replaces, and is taken from the same statement: neither length nor
rare characters give it away.

Source: minimal pairs as in Warstadt et al. 2020 (arXiv:1912.00582), where a grammar makes the sentences.
"""

from __future__ import annotations

import ast
import io
import random
import tokenize
from collections import Counter
from collections.abc import Iterator

from scaling.capability.items import (
    ANSWER,
    WINDOW,
    Draft,
    Item,
    ending,
    gather,
    heldout_documents,
    parses,
    size,
)
from scaling.data.dataset import Dataset

TRIES = 20
_SIMPLE = (ast.Assign, ast.AugAssign, ast.Expr, ast.Return, ast.Raise, ast.Assert, ast.Import, ast.ImportFrom)


def well_formed(dataset: Dataset) -> list[Item]:
    """Two choices, of one length; the indentation is in the prompt."""
    return gather("well_formed", heldout_documents(dataset), _find)


def _find(number: int, text: str, rng: random.Random) -> Iterator[Draft]:
    lines = text.split("\n")
    rows = sorted(_statements(text))
    for row in rng.sample(rows, len(rows)):
        if row > len(lines):
            continue  # a form feed ends a line for Python, not here
        line = lines[row - 1].rstrip()
        statement = line.lstrip()
        if not 12 <= size(statement) < ANSWER or parses(statement) is None:
            continue
        broken = corrupt(statement, rng)
        if broken is None:
            continue
        before = "\n".join([*lines[max(0, row - WINDOW) : row - 1], line[: len(line) - len(statement)]])
        yield Draft(ending(before, WINDOW - ANSWER), f"{statement}\n", (f"{broken}\n",))


def _statements(text: str) -> set[int]:
    """Numbers of lines that are one simple statement each."""
    tree = parses(text)
    rows: list[int] = []
    for node in ast.walk(tree) if tree else ():
        text_only = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if isinstance(node, _SIMPLE) and node.lineno == node.end_lineno and not text_only:
            rows.append(node.lineno)
    return {row for row, count in Counter(rows).items() if count == 1}


def corrupt(statement: str, rng: random.Random) -> str | None:
    """`statement` with one token replaced by another of its tokens, so that it no longer parses."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(statement).readline))
    except (tokenize.TokenError, SyntaxError):
        return None
    words = [t for t in tokens if t.string.strip() and t.start[0] == 1]
    for _ in range(TRIES):
        old = rng.choice(words)
        fitting = sorted(
            {t.string for t in words if size(t.string) == size(old.string) and t.string != old.string}
        )
        if not fitting:
            continue
        broken = statement[: old.start[1]] + rng.choice(fitting) + statement[old.end[1] :]
        if parses(broken) is None:
            return broken
    return None
