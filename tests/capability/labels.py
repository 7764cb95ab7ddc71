"""Small labelled data in two languages, and text without labels in which the same words go together."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

GOOD = ["lovely", "bright", "warm", "brave", "gentle", "funny", "clever", "fresh"]
BAD = ["dull", "cold", "weak", "bitter", "boring", "cruel", "sloppy", "stale"]
THINGS = ["film", "book", "meal", "song", "play", "trip"]
PEOPLE = ["Anna", "Boris", "Clara", "David", "Emma", "Felix"]
PLACES = ["Oslo", "Rome", "Lima", "Cairo", "Delhi", "Quito"]
# 好 / 坏 in words of one character, and names of two.
GOOD_ZH, BAD_ZH = "好美妙棒", "坏差糟烂"
PEOPLE_ZH, PLACES_ZH = ["王芳", "李明", "张伟", "刘洋"], ["北京", "上海", "广州", "南京"]


def reviews(count: int, seed: int = 0, chinese: bool = False) -> list[dict[str, Any]]:
    """Texts whose adjective says their label."""
    rng = random.Random(seed)
    rows = []
    for i in range(count):
        good = i % 2 == 0
        if chinese:
            word = rng.choice(GOOD_ZH if good else BAD_ZH)
            text = f"这{rng.choice('部本首场')}作品第{rng.randrange(1000)}次看很{word}"
        else:
            word = rng.choice(GOOD if good else BAD)
            text = f"no {rng.randrange(1000)}: the {rng.choice(THINGS)} was {word}"
        rows.append({"text": text, "label": "pos" if good else "neg"})
    return rows


def sentences(count: int, seed: int = 0, chinese: bool = False) -> list[dict[str, Any]]:
    """Who lives where, with the tags of both."""
    rng = random.Random(seed)
    rows = []
    for _ in range(count):
        if chinese:
            who, where, number = rng.choice(PEOPLE_ZH), rng.choice(PLACES_ZH), str(rng.randrange(100))
            tokens = [*who, "住", "在", *where, *number]
            tags = ["B-PER", "I-PER", "O", "O", "B-LOC", "I-LOC", *["O"] * len(number)]
        else:
            tokens = [rng.choice(PEOPLE), "Smith", "lives", "in", rng.choice(PLACES), str(rng.randrange(100))]
            tags = ["B-PER", "I-PER", "O", "O", "B-LOC", "O"]
        rows.append({"tokens": tokens, "tags": tags})
    return rows


def questions(count: int, seed: int = 0, chinese: bool = False) -> list[dict[str, Any]]:
    """Where somebody lives: the answer follows a word of the context."""
    rng = random.Random(seed)
    rows = []
    for i in range(count):
        if chinese:
            where = rng.choice(PLACES_ZH)
            context, question = f"{i}号{rng.choice(PEOPLE_ZH)}住在{where}", "在哪"
        else:
            where = rng.choice(PLACES)
            context, question = f"{i}: {rng.choice(PEOPLE)} is in {where} now", "where?"
        rows.append({"context": context, "question": question, "answers": [where]})
    return rows


def pairs(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """A place, and the first letter of it three times."""
    rng = random.Random(seed)
    rows = []
    for i in range(count):
        where = rng.choice(PLACES)
        rows.append({"source": f"{i} {where}", "target": where[0] * 3})
    return rows


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path
