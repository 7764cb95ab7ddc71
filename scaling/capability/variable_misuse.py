"""*Variable misuse*: which of four variables of a function stands here?

Source: Allamanis et al. 2018 (arXiv:1711.00740), section 2, the task; here the rest of the line is given with
each variable, so that a model that reads forwards can weigh it.
"""

from __future__ import annotations

import ast
import random
import re
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

LONGEST = 20  # characters of a name


def variable_misuse(dataset: Dataset) -> list[Item]:
    """Four choices: a name and the rest of its line. The right name and a wrong one are in the prompt."""
    return gather("variable_misuse", heldout_documents(dataset), _find)


def _find(number: int, text: str, rng: random.Random) -> Iterator[Draft]:
    tree = parses(text)
    if tree is None:
        return
    lines = text.split("\n")
    functions = [f for f in ast.walk(tree) if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef)]
    places: list[tuple[ast.Name, list[str]]] = []
    for function in functions:
        names = {node.arg for node in ast.walk(function) if isinstance(node, ast.arg)}
        uses = [node for node in ast.walk(function) if isinstance(node, ast.Name)]
        names |= {node.id for node in uses if isinstance(node.ctx, ast.Store)}
        known = sorted(name for name in names if 1 < len(name) <= LONGEST and name.isascii())
        if len(known) < 4:
            continue
        places += [(node, known) for node in uses if isinstance(node.ctx, ast.Load) and node.id in known]
    for node, known in rng.sample(places, len(places)):
        draft = _draft(lines, node, known, rng) if node.lineno <= len(lines) else None
        if draft is not None:
            yield draft


def _draft(lines: list[str], node: ast.Name, known: list[str], rng: random.Random) -> Draft | None:
    line = lines[node.lineno - 1].encode()
    head, rest = line[: node.col_offset].decode(), line[node.end_col_offset :].decode()
    prompt = ending(
        "\n".join([*lines[max(0, node.lineno - WINDOW) : node.lineno - 1], head]), WINDOW - ANSWER
    )
    seen = set(re.findall(r"\w+", prompt))
    others = [name for name in known if name != node.id]
    if node.id not in seen or not seen & set(others) or size(rest) + LONGEST >= ANSWER:
        return None
    rng.shuffle(others)
    # Of nearly the length of the right one, and those that can be seen first: they are the temptation.
    others.sort(key=lambda name: (name not in seen, abs(len(name) - len(node.id))))
    return Draft(prompt, f"{node.id}{rest}\n", tuple(f"{name}{rest}\n" for name in others[:3]))
