"""A small corpus that every test of this wing may write, and the options that read it."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from scaling.data.corpora import open_dataset
from scaling.data.dataset import Dataset
from scaling.data.options import DataOptions

WORDS = ["the", "loss", "falls", "as", "model", "and", "data", "grow,", "never", "below", "entropy\n"]


def write_documents(folder: Path, count: int = 40, seed: int = 0) -> Path:
    """`count` distinct .txt files of a few hundred words."""
    random_ = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        words = random_.choices(WORDS, k=random_.randrange(100, 300))
        (folder / f"{i:03d}.txt").write_text(f"document {i} é\n" + " ".join(words))
    return folder


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_documents(tmp_path / "corpus")


Opener = Callable[..., Dataset]


@pytest.fixture
def open_text(tmp_path: Path) -> Opener:
    """Opens local text in a cache of this test: `open_text(path, vocab=256, …)`."""

    def open_(
        *paths: Path | str, vocab: int = 256, heldout_fraction: float = 0.2, **options: object
    ) -> Dataset:
        asked = DataOptions(
            "text",
            vocab,
            tuple(map(str, paths)),
            heldout_fraction=heldout_fraction,
            **options,  # type: ignore[arg-type]
        )
        return open_dataset(asked, tmp_path / "cache")

    return open_
