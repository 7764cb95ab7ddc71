"""Tasks of your own: a JSONL file of prompts, choices and answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from scaling.capability.items import Item

KEYS = ("prompt", "choices", "answer")


def read_own(path: str) -> list[Item]:
    """Items of a file with one JSON object per line: {"prompt": text, "choices": [text, …], "answer":
    number}.

    The answer is counted from 0. Blank lines are skipped; further keys are left alone.

    Raises:
        FileNotFoundError: naming the file and the current folder.
        ValueError: naming file and line, and what is wrong with it.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise FileNotFoundError(f"tasks: no file {path!r}. Current folder: {Path.cwd()}.")
    items = []
    for number, line in enumerate(file.read_bytes().splitlines(), start=1):
        if line.strip():
            items.append(_read(line, f"{path}:{number}"))
    if not items:
        raise ValueError(f"{path}: holds no question. A line is {_example()}.")
    return items


def _read(line: bytes, where: str) -> Item:
    try:
        row = json.loads(line.decode())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: not JSON ({error}). A line is {_example()}.") from error
    missing = [key for key in KEYS if key not in row] if isinstance(row, dict) else list(KEYS)
    if missing:
        raise ValueError(f"{where}: no {' and no '.join(map(repr, missing))}. A line is {_example()}.")
    prompt, choices, answer = (row[key] for key in KEYS)
    if not isinstance(prompt, str):
        raise ValueError(f"{where}: 'prompt' is text; got {_shown(prompt)}.")
    if not (
        isinstance(choices, list) and len(choices) >= 2 and all(isinstance(c, str) and c for c in choices)
    ):
        raise ValueError(
            f"{where}: 'choices' is a list of two texts or more, none empty; got {_shown(choices)}."
        )
    if len(set(choices)) < len(choices):
        raise ValueError(f"{where}: 'choices' has the same text twice: {_shown(choices)}.")
    if not isinstance(answer, int) or isinstance(answer, bool) or not 0 <= answer < len(choices):
        raise ValueError(
            f"{where}: 'answer' is the index of the right choice, 0 to {len(choices) - 1}; "
            f"got {_shown(answer)}."
        )
    return Item(prompt, tuple(choices), answer)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _example() -> str:
    return '{"prompt": "2 + 2 = ", "choices": ["4", "5"], "answer": 0}'
