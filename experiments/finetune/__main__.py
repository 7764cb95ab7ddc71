"""`python -m experiments.finetune --write FOLDER`: text and labelled texts in a language of made-up words.

Words are good or bad. In the text, words of a sentence agree; a labelled text holds one word and says which.
So who has read the text knows words that a small labelled set does not hold. Without --write: the table of
scores.csv beside this file, or of a file that is named.
"""

from __future__ import annotations

import argparse
import csv
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from experiments.cli import expected_errors
from experiments.terminal import Column, table

KEPT = Path(__file__).with_name("scores.csv")
KINDS = ("good", "bad")
WORDS = 60  # of each kind
THINGS = ["film", "book", "meal", "song", "play", "trip", "room", "road"]
DONE = {"good": ["smiled", "laughed", "stayed", "danced"], "bad": ["frowned", "wept", "left", "slept"]}
FILES, SENTENCES, LABELLED = 40, 800, 2048


def vocabulary(seed: int = 0) -> dict[str, list[str]]:
    """Made-up words of each kind, which no letter tells apart."""
    rng = random.Random(seed)
    words: dict[str, None] = {}
    while len(words) < 2 * WORDS:
        words["".join(rng.choice("bdfgklmnprstvz") + rng.choice("aeiou") for _ in range(3))] = None
    every = list(words)
    return {kind: every[i::2] for i, kind in enumerate(KINDS)}


def sentences(count: int, seed: int) -> Iterator[str]:
    """Sentences whose words agree."""
    rng, words = random.Random(seed), vocabulary()
    for _ in range(count):
        kind = rng.choice(KINDS)
        one, other = rng.sample(words[kind], 2)
        yield f"the {rng.choice(THINGS)} was {one} and {other}, we {rng.choice(DONE[kind])}."


def labelled(count: int, seed: int = 1) -> list[tuple[str, str]]:
    """Texts of one word, and its kind."""
    rng, words = random.Random(seed), vocabulary()
    rows = []
    for number in range(count):
        kind = rng.choice(KINDS)
        rows.append((f"{number} the {rng.choice(THINGS)} was {rng.choice(words[kind])}", kind))
    return rows


def write(folder: Path, files: int = FILES, rows: int = LABELLED) -> None:
    """Write text/*.txt and labels.csv."""
    (folder / "text").mkdir(parents=True, exist_ok=True)
    for i in range(files):
        (folder / "text" / f"{i:02d}.txt").write_text("\n".join(sentences(SENTENCES, 100 + i)) + "\n")
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows(labelled(rows))


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m experiments.finetune", description=__doc__)
    parser.add_argument("scores", nargs="?", default=KEPT, help="of `scaling evaluate --to`")
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="write the text and the labelled texts")
    asked = parser.parse_args(arguments)
    if asked.write:
        write(asked.write)
        print(f"{asked.write}/text/*.txt, {asked.write}/labels.csv")
        return 0
    print(summary(pd.read_csv(asked.scores)))
    return 0


def summary(scores: pd.DataFrame) -> str:
    """One row per size and number of examples: pretrained, from scratch, and what pretraining is worth."""
    keys = ["family", "params", "examples"]
    both = scores.pivot_table(index=keys, columns="start", values=["score", "score_se", "transferred"])
    columns = [
        Column(name, [f"{value:,.0f}" if name != "family" else str(value) for value in values], left=not i)
        for i, (name, values) in enumerate(zip(keys, zip(*both.index, strict=True), strict=True))
    ]
    for start, name in (("trained", "pretrained"), ("scratch", "from scratch")):
        pairs = zip(both["score"][start], both["score_se"][start], strict=True)
        columns.append(Column(name, [f"{value:.3f} ± {se:.3f}" for value, se in pairs]))
    lead = both["score"]["trained"] - both["score"]["scratch"]
    error = (both["score_se"]["trained"] ** 2 + both["score_se"]["scratch"] ** 2) ** 0.5
    said = [f"{x:+.3f} [{x - 1.96 * e:+.3f}, {x + 1.96 * e:+.3f}]" for x, e in zip(lead, error, strict=True)]
    columns.append(Column("lead, 95 %", said))
    worth = both["transferred"]["trained"] if "transferred" in both else [float("nan")] * len(both)
    columns.append(Column("worth examples", [f"{x:,.0f}" if x == x else "·" for x in worth]))
    return table(columns)


if __name__ == "__main__":
    sys.exit(expected_errors("finetune", lambda: main(sys.argv[1:])))
