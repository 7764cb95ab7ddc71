"""Token sets built once and found again by the content they came from.

    <cache>/<corpus>-<vocab>-<key>/      key: hash of the kept text in order, the split and tokenizer settings
    <cache>/listings/<hash>.json         a request and the stamps of its files → the set that answers it

A listing lets a finished set be opened without reading the corpus; any change of a name, size or modification
time leads to another listing, and so to a fresh look at the text.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scaling.data.options import MOST_HELDOUT
from scaling.data.source import Source
from scaling.data.split import DROPPED, RULE, Sample, Split, Tally, split_documents
from scaling.data.tokenizer import (
    BYTES,
    SAMPLE_BYTES,
    ByteTokenizer,
    Tokenizer,
    tokenizer_settings,
    train_bpe,
)
from scaling.data.tokenset import DamagedSet, TokenSet, json_digest, open_set, write_set
from scaling.records.reading import read_json
from scaling.records.storage import Lock, LockedError, sweep_temps, write_json

POLL_SECONDS = 0.1
PATIENCE = 3.0  # seconds of reading before a word is said about it

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What is asked of a source."""

    source: Source
    vocab: int
    heldout_fraction: float
    limit_bytes: int | None
    tokenizer: Tokenizer | None = None  # None: one of its own
    heldout_only: bool = False  # the training split may be empty

    @property
    def tokens(self) -> Any:
        """What says which tokenizer it is, or how one is made."""
        if self.tokenizer is None:
            return tokenizer_settings(self.vocab)
        return {"given": self.tokenizer.digest}

    def documents(self, tally: Tally) -> Iterator[tuple[Split, str, bytes]]:
        return split_documents(
            self.source, heldout_fraction=self.heldout_fraction, limit_bytes=self.limit_bytes, tally=tally
        )

    @property
    def listing(self) -> str:
        asked = {
            "rule": RULE,
            "corpus": self.source.name,
            "vocab": self.vocab,
            "heldout_fraction": self.heldout_fraction,
            "limit_bytes": self.limit_bytes,
            "settings": self.source.settings,
            "files": [list(stamp) for stamp in self.source.manifest],
        }
        if self.tokenizer is not None:
            asked["tokenizer"] = self.tokenizer.digest
        return f"listings/{json_digest(asked)[:32]}.json"


def find_or_build(request: Request, cache: Path) -> tuple[TokenSet, dict[str, Any]]:
    """The finished set that answers a request, and the facts about the text in it.

    Of several processes that ask at once, one builds and the others wait for it. A damaged set is built
    again.

    Raises:
        ValueError: when the corpus leaves one of the splits empty.
        RuntimeError: when documents change while they are read.
    """
    listing = cache / request.listing
    found = _follow(listing, cache)
    if found is not None:
        return found
    tokenizer = request.tokens
    logger.info("%s: reading %d files", request.source.name, len(request.source.manifest))
    tally, sample = _survey(request)
    key = json_digest(
        {"rule": RULE, "content": tally.content, "vocab": request.vocab, "tokenizer": tokenizer}
    )
    folder = cache / f"{request.source.name}-{request.vocab}-{key[:16]}"
    with ExitStack() as held:
        _enter_when_free(held, Lock(folder / "lock"))
        try:
            made = open_set(folder)
        except (FileNotFoundError, DamagedSet) as error:
            if isinstance(error, DamagedSet):
                logger.warning("%s; building it again", error)
            sweep_temps(folder)
            made = _build(request, folder, tally, sample)
    facts = {**tally.to_facts(), "tokenizer": tokenizer, "source": request.source.facts}
    answer = {"set": folder.name, "facts": facts}
    write_json(listing, {**answer, "sha256": json_digest(answer)})
    return made, facts


def _follow(listing: Path, cache: Path) -> tuple[TokenSet, dict[str, Any]] | None:
    try:
        answer = read_json(listing)
        if answer.pop("sha256") != json_digest(answer):
            raise ValueError("its content does not match its sha256")
        return open_set(cache / answer["set"]), answer["facts"]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:  # a DamagedSet is a ValueError
        logger.warning("%s: not usable (%s); reading the text again", listing, error)
        return None


def _survey(request: Request) -> tuple[Tally, Sample]:
    """Read everything once: which documents there are, and what BPE would be trained on."""
    tally, sample = Tally(), Sample(SAMPLE_BYTES)
    begin, said = time.monotonic(), False
    for split, key, text in request.documents(tally):
        if not said and time.monotonic() - begin > PATIENCE:
            said = True
            logger.warning(
                "%s: reading its text, once: %.0f MB so far. data.limit_bytes=3e7 takes less",
                request.source.name,
                tally.found_bytes / 1e6,
            )
        if split == "train" and request.vocab != BYTES and request.tokenizer is None:
            sample.add(key, text)
    name, kept = request.source.name, tally.documents.total()
    if not kept:
        dropped = [
            f"{tally.dropped[reason]:,} {words}" for reason, words in DROPPED.items() if tally.dropped[reason]
        ]
        raise ValueError(
            f"corpus {name!r} is empty: of {tally.found:,} documents none is kept"
            f"{': ' if dropped else ''}{', '.join(dropped)}. Looked in {request.source.where}."
        )
    if not tally.documents["heldout"]:
        raise ValueError(_nothing_held_out(request, tally))
    if not tally.documents["train"] and not request.heldout_only:
        raise ValueError(
            f"corpus {name!r}: all of its {kept:,} document{'s' * (kept > 1)} are held out at "
            f"data.heldout_fraction={request.heldout_fraction:g}: none is left to train on. "
            "Lower it, or give more documents."
        )
    return tally, sample


def _nothing_held_out(request: Request, tally: Tally) -> str:
    """Why no document is held out, and what to do: a hash of its name decides about each."""
    kept, least = tally.documents.total(), math.ceil(1e3 * tally.least_fraction) / 1e3 + 1e-3
    where = f"corpus {request.source.name!r}"
    if tally.limited:
        return (
            f"{where}: data.limit_bytes={request.limit_bytes} keeps {kept:,} document{'s' * (kept > 1)} and "
            "holds out none. Raise it, or set it to null for the whole corpus."
        )
    if kept == 1:
        return (
            f"{where}: one document, of which no part can be held out. Give more documents: several files, "
            "rows of a .jsonl file, or one plain file of more than 64 KiB, which is cut into parts."
        )
    asked = f"data.heldout_fraction={request.heldout_fraction:g}"
    said = f"{where}: none of its {kept:,} documents is held out at {asked}"
    if least < MOST_HELDOUT:
        return f"{said}. Use data.heldout_fraction={least:.3f}, or give more documents."
    return f"{said}, nor would one be at any legal fraction. Give more documents."


def _build(request: Request, folder: Path, tally: Tally, sample: Sample) -> TokenSet:
    started = time.perf_counter()
    tokenizer: Tokenizer
    if request.tokenizer is not None:
        tokenizer = request.tokenizer
    elif request.vocab == BYTES:
        tokenizer = ByteTokenizer()
    else:
        logger.info("training byte-level BPE of %d on %.1f MB", request.vocab, sample.bytes / 1e6)
        tokenizer = train_bpe(sample.texts(), request.vocab)
    write_set(folder, tokenizer, _again(request, tally), tally.content)
    logger.info("tokenised %.1f MB in %.1f s", tally.kept_bytes.total() / 1e6, time.perf_counter() - started)
    return open_set(folder)


def _again(request: Request, before: Tally) -> Iterator[tuple[Split, bytes]]:
    """The second pass; raises before the set is finished where it is not a repetition of the first."""
    tally = Tally()
    for split, _, text in request.documents(tally):
        yield split, text
    if tally.content != before.content:
        raise RuntimeError(
            f"corpus {request.source.name!r}: documents changed while they were read "
            f"({before.documents.total():,} kept at first, then {tally.documents.total():,}). Try again."
        )


def _enter_when_free(held: ExitStack, lock: Lock) -> None:
    told = False
    while True:
        try:
            held.enter_context(lock)
            return
        except LockedError as error:
            if not told:
                logger.info("waiting for another process that builds the same data: %s", error)
            told = True
            time.sleep(POLL_SECONDS)
