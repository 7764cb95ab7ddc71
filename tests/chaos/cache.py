"""Damage to the files of a token cache, as disks and people do it."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

from scaling.data import tokenset


def cache_files(cache: Path) -> list[Path]:
    """Every file of a cache that a number depends on."""
    sets = [path for path in sorted(cache.glob("*-*-*/*")) if path.name != "lock"]
    return [*sets, *sorted(cache.glob("listings/*.json"))]


def damages(cache: Path, number: int, seed: int = 0) -> Iterator[tuple[str, Path]]:
    """So many cases, over all files in turn: each is damaged, said in words, and left to be found."""
    rng = random.Random(seed)
    files = cache_files(cache)
    for i in range(number):
        path = files[i % len(files)]
        before = path.read_bytes()
        kind, data = _damage(bytearray(before), rng)
        if data != before and not _means_the_same(path, data, before):
            path.write_bytes(data)
            tokenset._checked.clear()  # as a process that has not seen the file yet
            yield f"{path.name}: {kind}", path


def _means_the_same(path: Path, data: bytes, before: bytes) -> bool:
    """Whether only white space of JSON that carries the hash of its values has changed."""
    try:
        return path.name != "tokenizer.json" and bool(json.loads(data) == json.loads(before))
    except ValueError:
        return False


def _damage(data: bytearray, rng: random.Random) -> tuple[str, bytes]:
    at = rng.randrange(len(data))
    kind = rng.choice(["bit", "page", "cut", "longer", "swapped", "digit"])
    if kind == "bit":
        data[at] ^= 1 << rng.randrange(8)
    elif kind == "page":
        data[at : at + 4096] = bytes(len(data[at : at + 4096]))
    elif kind == "cut":
        del data[at:]
    elif kind == "longer":
        data += rng.randbytes(2)
    elif kind == "swapped":
        other = rng.randrange(len(data))
        data[at], data[other] = data[other], data[at]
    else:
        data[at] = ord("7") if data[at] != ord("7") else ord("1")
    return f"{kind} at byte {at}", bytes(data)
