"""Which documents of a corpus are kept, and in which split; one pass, the same every time."""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from scaling.data.source import Source, position

RULE = 1  # part of every fingerprint: raise it when a change below moves or drops a document
SPLITS: tuple[Split, ...] = ("train", "heldout")
Split = Literal["train", "heldout"]


@dataclass
class Tally:
    """What one pass found, dropped and kept; and `content`, a hash of what was kept, in order."""

    found: int = 0
    found_bytes: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    documents: Counter[str] = field(default_factory=Counter)
    kept_bytes: Counter[str] = field(default_factory=Counter)
    least_fraction: float = 1.0  # that holds out a document of those kept
    limited: bool = False  # stopped at limit_bytes, with documents left unread
    _content: Any = field(default_factory=hashlib.sha256)

    @property
    def content(self) -> str:
        return str(self._content.hexdigest())

    def keep(self, split: Split, text: bytes, digest: bytes) -> None:
        self.documents[split] += 1
        self.kept_bytes[split] += len(text)
        self._content.update(split.encode() + digest)

    def to_facts(self) -> dict[str, Any]:
        return {
            "found": {"documents": self.found, "bytes": self.found_bytes},
            "dropped": {reason: self.dropped[reason] for reason in DROPPED},
            "documents": {split: self.documents[split] for split in SPLITS},
            "bytes": {split: self.kept_bytes[split] for split in SPLITS},
            "limited": self.limited,
        }


DROPPED = {
    "unreadable": "could not be read",
    "empty": "empty",
    "not_utf8": "not UTF-8",
    "nul": "with a NUL byte",
    "duplicate": "exact duplicates",
}


def split_documents(
    source: Source, *, heldout_fraction: float, limit_bytes: int | None, tally: Tally
) -> Iterator[tuple[Split, str, bytes]]:
    """(split, key, text) of every document that is kept; `tally` counts the others by reason.

    - Dropped: what cannot be read, is empty, is not UTF-8, or holds a NUL byte. NUL ends a document where the
      vocabulary is raw bytes; it is refused for every vocabulary, so that all have the same text.
    - Dropped: an exact copy of a document that came before, so no text is in both splits.
    - Held out: by a hash of the key, about `heldout_fraction` of the documents, whatever else the corpus
      holds. A document never changes sides when others come or go.
    - The pass ends with the document that brings the kept text to `limit_bytes`, both splits together.
    """
    seen: set[bytes] = set()
    for key, text in source.documents():
        tally.found += 1
        tally.found_bytes += len(text or b"")
        reason = _unusable(text)
        if text is None or reason:
            tally.dropped[reason] += 1
            continue
        digest = hashlib.sha256(text).digest()
        if digest in seen:
            tally.dropped["duplicate"] += 1
            continue
        seen.add(digest)
        place = position(key, "split")
        tally.least_fraction = min(tally.least_fraction, place)
        split: Split = "heldout" if place < heldout_fraction else "train"
        tally.keep(split, text, digest)
        yield split, key, text
        if limit_bytes is not None and tally.kept_bytes.total() >= limit_bytes:
            tally.limited = True
            return


def _unusable(text: bytes | None) -> str:
    if text is None:
        return "unreadable"
    if not text:
        return "empty"
    if b"\0" in text:
        return "nul"
    try:
        text.decode()
    except UnicodeDecodeError:
        return "not_utf8"
    return ""


class Sample:
    """The documents of a stream whose keys hash lowest, as many as fit into `limit_bytes`, or one.

    One pass in bounded memory, and the same documents whatever order they come in.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.bytes = 0
        self._heap: list[tuple[float, str, bytes]] = []  # highest position first
        self._bound = 1.0  # the lowest position that did not fit; nothing from there on can

    def add(self, key: str, text: bytes) -> None:
        place = position(key, "sample")
        if place >= self._bound:
            return
        heapq.heappush(self._heap, (-place, key, text))
        self.bytes += len(text)
        while self.bytes > self.limit_bytes and len(self._heap) > 1:
            place, _, text = heapq.heappop(self._heap)
            self._bound = -place
            self.bytes -= len(text)

    def texts(self) -> Iterator[bytes]:
        return (text for _, _, text in sorted(self._heap))
