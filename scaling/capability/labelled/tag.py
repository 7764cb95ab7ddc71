"""`tag:FILE`: rows of `tokens` and `tags`; entity F1, where an entity must be right from start to end."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scaling.capability.finished import Subject
from scaling.capability.labelled.rows import Bad, cell_of, shown
from scaling.capability.labelled.tuning import Array, Labelled, Outcome, Tuned
from scaling.capability.reader import Inputs, Reader
from scaling.capability.words import unspaced


class Sentence(NamedTuple):
    """Tokens and a BIO tag of each."""

    tokens: tuple[str, ...]
    tags: tuple[str, ...]


def read_sentence(cells: dict[str, Any]) -> Sentence:
    """
    Raises:
        Bad: for a row without tokens, or tags that do not fit them.
    """
    tags = _words(cells, "tags")
    tokens = _words(cells, "tokens")
    text = cells["tokens"]
    if len(tokens) != len(tags) and isinstance(text, str) and len("".join(tokens)) == len(tags):
        tokens = list("".join(tokens))  # of a language without spaces, each character
    if not tokens:
        raise Bad("'tokens' is empty")
    if len(tokens) != len(tags):
        raise Bad(f"{len(tokens)} tokens, but {len(tags)} tags")
    for tag in tags:
        if tag != "O" and not (tag[:2] in ("B-", "I-") and tag[2:]):
            raise Bad(f"unknown tag {tag!r}: a tag is O, B-TYPE or I-TYPE")
    return Sentence(tuple(tokens), tuple(tags))


def _words(cells: dict[str, Any], key: str) -> list[str]:
    """A list of words: as a list, as JSON in a cell, or with spaces between them."""
    value = cell_of(cells, key)
    if isinstance(value, str):
        if not value.lstrip().startswith("["):
            return value.split()
        try:
            value = json.loads(value)
        except ValueError as error:
            raise Bad(f"{key!r} begins like a JSON list and is none ({error})") from error
    if not isinstance(value, list | tuple) or not all(isinstance(word, str) and word for word in value):
        raise Bad(f"{key!r} is a list of words, none empty; got {shown(value)}")
    return list(value)


def entities(tags: Sequence[str]) -> set[tuple[str, int, int]]:
    """(type, begin, end) of every entity; an I without a B of its type before it begins one.

    Source: conlleval of Tjong Kim Sang & De Meulder 2003 (CoNLL-2003), as seqeval counts by default.
    """
    found: set[tuple[str, int, int]] = set()
    begin, kind = 0, ""
    for place, tag in enumerate([*tags, "O"]):
        mark, _, of = tag.partition("-")
        if kind and (mark != "I" or of != kind):
            found.add((kind, begin, place))
            kind = ""
        if mark != "O" and not kind:
            begin, kind = place, of
    return found


class _Piece(NamedTuple):
    """As many tokens of a sentence as a model reads at once."""

    inputs: Inputs
    ends: list[int]  # where the last id of each token stands
    sentence: int
    first: int  # number of its first token


@dataclass(frozen=True)
class Tag(Labelled[Sentence]):
    """Sentences with tags. One longer than the context is read in pieces."""

    metric = "entity F1"
    main = "f1"

    @property
    def kinds(self) -> list[str]:
        """Every tag, in order."""
        return sorted({tag for row in (*self.train, *self.test) for tag in row.tags})

    def check(self) -> None:
        super().check()
        if self.kinds == ["O"]:
            raise ValueError(f"task {self.name!r}: every tag is O; entities are tagged B-TYPE, I-TYPE.")

    def tune(self, subject: Subject, seed: int) -> nn.Module:
        rows = self.chosen(seed)
        reader = Reader(self.tuning.prepare(subject, seed), len(self.kinds), self.tuning.lora)
        pieces = _pieces(subject, rows)
        numbers = {tag: i for i, tag in enumerate(self.kinds)}
        tags = [
            [numbers[tag] for tag in rows[p.sentence].tags[p.first : p.first + len(p.ends)]] for p in pieces
        ]

        def loss(chosen: Sequence[int]) -> Tensor:
            logits = _of_tokens(reader, [pieces[i] for i in chosen])
            wanted = torch.tensor([tag for i in chosen for tag in tags[i]], device=logits.device)
            return F.cross_entropy(logits, wanted)

        self.tuning.run(list(reader.trained()), loss, len(pieces), subject.rate, seed)
        reader.model = self.tuning.finish(reader.model)
        return reader.eval()

    def ask(self, subject: Subject, model: Any) -> Outcome:
        pieces = _pieces(subject, self.test)
        logits: list[Tensor] = []
        for begin in range(0, len(pieces), 64):
            logits.append(_of_tokens(model, pieces[begin : begin + 64]))
        log_p = torch.log_softmax(torch.cat(logits).double(), -1).cpu().numpy()
        guesses: list[list[str]] = [[] for _ in self.test]
        losses: list[list[float]] = [[] for _ in self.test]
        place = 0
        for piece in pieces:
            tags = self.test[piece.sentence].tags[piece.first : piece.first + len(piece.ends)]
            for tag in tags:
                guesses[piece.sentence].append(self.kinds[int(log_p[place].argmax())])
                losses[piece.sentence].append(-float(log_p[place, self.kinds.index(tag)]))
                place += 1
        counts = [_counts(guess, row.tags) for guess, row in zip(guesses, self.test, strict=True)]
        return Outcome(np.array(counts, dtype=float), np.array([np.mean(each) for each in losses]))

    def tuned(self, reader: Reader) -> Tuned:
        return Tuned("tag", reader, tuple(self.kinds))

    def measures(self, counts: Array) -> dict[str, Array]:
        hits, guessed, true, right, tokens = counts.T
        return {
            "f1": 2 * hits / np.maximum(guessed + true, 1),
            "precision": hits / np.maximum(guessed, 1),
            "recall": hits / np.maximum(true, 1),
            "accuracy": right / tokens,
        }


def tag_text(tuned: Tuned, text: str) -> str:
    """A line a token: the token, a tab, its likeliest tag. Text without spaces goes by characters."""
    tokens = tuple("".join(text.split())) if unspaced(text) else tuple(text.split())
    if not tokens:
        return ""
    pieces = _pieces(tuned.reader.subject, [Sentence(tokens, ())])
    tags = [tuned.words[i] for i in _of_tokens(tuned.reader, pieces).argmax(dim=-1).tolist()]
    return "\n".join(f"{token}\t{tag}" for token, tag in zip(tokens, tags, strict=True))


def _counts(guess: Sequence[str], tags: Sequence[str]) -> list[int]:
    """Entities that are right, guessed and true; tokens that are right, and all."""
    said, true = entities(guess), entities(tags)
    return [
        len(said & true),
        len(said),
        len(true),
        sum(a == b for a, b in zip(guess, tags, strict=True)),
        len(tags),
    ]


def _pieces(subject: Subject, rows: Sequence[Sentence]) -> list[_Piece]:
    found = []
    for number, row in enumerate(rows):
        between = "" if unspaced("".join(row.tokens)) else " "
        ids: list[int] = []
        ends: list[int] = []
        first = 0
        for i, token in enumerate(row.tokens):
            own = subject.dataset.encode(between * (i > 0) + token)[-subject.context :]
            if ids and len(ids) + len(own) > subject.context:
                found.append(_piece(subject, ids, ends, number, first))
                ids, ends, first = [], [], i
            ids = ids + own
            ends = [*ends, len(ids) - 1]
        found.append(_piece(subject, ids, ends, number, first))
    return found


def _piece(subject: Subject, ids: list[int], ends: list[int], sentence: int, first: int) -> _Piece:
    """An encoder-decoder reads the piece on both sides: so its decoder sees what follows too."""
    inputs = (ids, ids) if subject.objective == "seq2seq" else (ids,)
    return _Piece(inputs, ends, sentence, first)


def _of_tokens(reader: Reader, pieces: Sequence[_Piece]) -> Tensor:
    """Logits (tokens, tags) of the tokens of all pieces in order, each read at its last id."""
    outputs = reader.of_each([piece.inputs for piece in pieces])
    rows = [i for i, piece in enumerate(pieces) for _ in piece.ends]
    return outputs[rows, [end for piece in pieces for end in piece.ends]]
