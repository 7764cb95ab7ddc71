"""Damage to every file of a token cache: noticed, said and repaired; no number changes."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from scaling.data.corpora import open_dataset, reopen_dataset
from scaling.data.dataset import TokenDataset
from scaling.data.options import DataOptions
from tests.chaos.cache import cache_files, damages
from tests.chaos.table import Tally, scaled
from tests.data.conftest import write_documents

VOCAB = 300


def fate(
    options: DataOptions, cache: Path, first: TokenDataset, caplog: pytest.LogCaptureFixture
) -> str | None:
    """What is wrong with how a damaged cache is opened; None where the damage is noticed and repaired."""
    caplog.clear()
    kept = reopen_dataset(
        options, first.fingerprint, cache
    )  # as `scaling evaluate` does, which repairs nothing
    found = open_dataset(options, cache)
    for data in (found, kept):
        if data is None:
            continue
        assert isinstance(data, TokenDataset)
        if data.fingerprint != first.fingerprint:
            return f"another fingerprint, {data.fingerprint}"
        for split in ("train", "heldout"):
            if getattr(data, split).tolist() != getattr(first, split).tolist():
                return f"other tokens in {split}"
        if data.token_bytes.tolist() != first.token_bytes.tolist():
            return "other bytes for a token"
    return None if caplog.records else "nobody said so"


def attack(home: Path, number: int, tally: Tally, caplog: pytest.LogCaptureFixture) -> None:
    corpus, cache = write_documents(home / "corpus"), home / "cache"
    options = DataOptions("text", VOCAB, (f"{corpus}/*.txt",), heldout_fraction=0.2)
    first = open_dataset(options, cache)
    assert isinstance(first, TokenDataset)
    train, heldout = first.train.copy(), first.heldout.copy()  # the maps see what is written to their files
    first = TokenDataset(**{**vars(first), "train": train, "heldout": heldout})
    whole = {path: path.read_bytes() for path in cache_files(cache)}
    assert {path.name for path in whole} > {"train.bin", "heldout.bin", "tokenizer.json", "dataset.json"}
    with caplog.at_level(logging.WARNING):
        for what, path in damages(cache, number):
            wrong = fate(options, cache, first, caplog)
            if not wrong and {path: path.read_bytes() for path in cache_files(cache)} != whole:
                wrong = f"{path.name} is not what it was"
            tally.case(wrong and f"{what}: {wrong}")


def test_damage_to_a_token_cache_is_noticed_and_repaired(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tally = Tally()
    attack(tmp_path, 20, tally, caplog)
    assert not tally.failures
    assert tally.cases >= 18  # two bytes that are swapped may be the same


@pytest.mark.chaos
@pytest.mark.battery(8)
def test_no_damage_to_a_token_cache_is_silent(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, tally: Tally
) -> None:
    attack(tmp_path, scaled(230, least=20), tally, caplog)
    assert not tally.failures
    assert tally.cases >= scaled(200, least=15)
