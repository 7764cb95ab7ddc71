"""What every corpus is: a manifest to tell whether it changed, and documents in a stable order."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Document(NamedTuple):
    """One document. `key` names it inside its corpus and never holds an absolute path."""

    key: str
    text: bytes | None  # None: the file is there and could not be read


class FileStamp(NamedTuple):
    """A file is taken as unchanged while its name, size and modification time are."""

    name: str
    size: int  # [bytes]
    mtime_ns: int


@dataclass(frozen=True)
class Source:
    """A corpus that was found and not yet read.

    Attributes:
        name: the corpus, as in `CORPORA`.
        where: where it was looked for, in the words of an error message.
        manifest: the files behind it; an equal manifest means that nothing is read again.
        documents: starts one pass. Two passes give the same documents in the same order.
        settings: what else decides the documents, such as the field that text is read from; plain JSON.
        facts: what to tell a reader of a report about where the text came from; plain JSON.
    """

    name: str
    where: str
    manifest: tuple[FileStamp, ...]
    documents: Callable[[], Iterator[Document]]
    settings: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


def position(key: str, purpose: str) -> float:
    """A number in [0, 1) that depends on `key` alone, and independently for every `purpose`.

    With one purpose for the order of files and another for the split, the first files of a corpus are as
    likely to be held out as any others; so `limit_bytes` keeps the held-out fraction.
    """
    digest = hashlib.sha256(f"{purpose}:{key}".encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:6], "big") / 2**48  # 48 bits: exact in a double, so never 1.0
