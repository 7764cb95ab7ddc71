"""Text to token ids and back: raw bytes, or byte-level BPE trained on the training split."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

BYTES = 256  # the vocabulary that means raw bytes
SAMPLE_BYTES = 8_000_000  # part of the training split that BPE is trained on: about 6 s
MIN_FREQUENCY = 2  # a pair seen once is no pattern
CACHED_WORDS = 300_000  # about 50 MB

END_NAME = "<|endoftext|>"  # of the end of a document, for libraries that want a name

_SPACE, _BEYOND_ASCII = " \t\n\r\f\v", "\u0080-\U0010ffff"
# GPT-2's pattern with every class spelled out and all beyond ASCII taken as letters: so it means the same to
# Python's `re` and to the library. BPE never merges across the words it cuts.
WORDS = (
    rf"'(?:[sdmt]|ll|ve|re)| ?[A-Za-z{_BEYOND_ASCII}]+| ?[0-9]+| ?[^{_SPACE}A-Za-z0-9{_BEYOND_ASCII}]+"
    rf"|[{_SPACE}]+(?![^{_SPACE}])|[{_SPACE}]+"
)
_find_words = re.compile(WORDS).findall
_END = ""  # no word is empty


def check_vocab(vocab: int) -> None:
    """
    Raises:
        ValueError: for a vocabulary that no tokenizer here has.
    """
    if vocab < BYTES:
        raise ValueError(
            f"vocab: {vocab} is too small. Legal: 256 for raw bytes, or 257 and more for byte-level BPE "
            "(256 bytes, the end of a document, then merges)."
        )


def tokenizer_settings(vocab: int) -> dict[str, Any]:
    """What, beside the text, decides the tokenizer of this vocabulary; plain JSON.

    Raises:
        ModuleNotFoundError: when the vocabulary needs a package that is not installed.
    """
    if vocab == BYTES:
        return {"kind": "bytes"}
    version = _tokenizers().__version__
    words = hashlib.sha256(WORDS.encode()).hexdigest()[:16]
    return {"kind": "byte-level BPE", "sample_bytes": SAMPLE_BYTES, "words": words, "tokenizers": version}


class ByteTokenizer:
    """One id a byte. NUL, which no kept document holds, ends a document."""

    vocab = BYTES
    end = 0
    dtype = np.dtype("<u2")

    @cached_property
    def table(self) -> tuple[bytes, ...]:
        return (b"", *(bytes([i]) for i in range(1, BYTES)))

    @property
    def digest(self) -> str:
        return "bytes"

    def encode_documents(self, texts: Sequence[bytes]) -> NDArray[np.unsignedinteger[Any]]:
        """Ids of whole documents, each followed by `end`, joined: (n,) uint16."""
        return np.frombuffer(b"".join(t + b"\0" for t in texts), dtype=np.uint8).astype(self.dtype)

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def decode(self, ids: Iterable[int]) -> str:
        return decode(self.table, ids)

    def to_library(self) -> Any:
        """The same ids as a `tokenizers.Tokenizer`, the end of a document as a special token."""
        library = _tokenizers()
        ids = {character: byte for character, byte in _byte_of_character().items() if byte != self.end}
        model = library.Tokenizer(library.models.BPE(vocab={END_NAME: self.end, **ids}, merges=[]))
        model.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        model.decoder = library.decoders.ByteLevel()
        model.add_special_tokens([END_NAME])
        return model


class BpeTokenizer:
    """Byte-level BPE. Ids 0 … vocab-2 are the `tokenizers` model's own; vocab-1 ends a document.

    The end is not a special token of the model, so text that happens to spell one is only text.

    Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.2, as in the
    `tokenizers` library; the splitting pattern differs as said at `WORDS`.
    """

    def __init__(self, state: bytes) -> None:
        self.state = state
        model = json.loads(state)["model"]
        pieces = sorted(model["vocab"], key=model["vocab"].__getitem__)
        bytes_of = _byte_of_character()
        self.table = (*(bytes(bytes_of[c] for c in piece) for piece in pieces), b"")
        self.vocab = len(self.table)
        self.end = self.vocab - 1
        self.dtype = np.dtype("<u2" if self.vocab <= 2**16 else "<u4")
        learned = json.dumps([pieces, model["merges"]], separators=(",", ":"))
        self.digest = hashlib.sha256(learned.encode()).hexdigest()
        self._ids_of: dict[str, list[int]] = {}

    @cached_property
    def _library(self) -> Any:
        return _tokenizers().Tokenizer.from_str(self.state.decode())

    def encode_documents(self, texts: Sequence[bytes]) -> NDArray[np.unsignedinteger[Any]]:
        """Ids of whole documents, each followed by `end`, joined: (n,) uint16 or uint32.

        The library sees each distinct word once, on however many threads: the ids are those it gives to whole
        documents, in a third of the time.
        """
        words: list[str] = []
        for text in texts:
            words += _find_words(text.decode())
            words.append(_END)
        if len(self._ids_of) > CACHED_WORDS:
            self._ids_of.clear()
        self._ids_of[_END] = [self.end]
        unknown = [word for word in dict.fromkeys(words) if word not in self._ids_of]
        for word, encoding in zip(unknown, self._library.encode_batch_fast(unknown), strict=True):
            self._ids_of[word] = encoding.ids
        ids = itertools.chain.from_iterable(map(self._ids_of.__getitem__, words))
        return np.fromiter(ids, dtype=self.dtype)

    def encode(self, text: str) -> list[int]:
        return list(self._library.encode(text).ids)

    def decode(self, ids: Iterable[int]) -> str:
        return decode(self.table, ids)

    def to_library(self) -> Any:
        """The same ids as a `tokenizers.Tokenizer`, the end of a document as a special token."""
        model = _tokenizers().Tokenizer.from_str(self.state.decode())
        model.add_special_tokens([END_NAME])
        return model


Tokenizer = ByteTokenizer | BpeTokenizer


def train_bpe(sample: Iterable[bytes], vocab: int) -> BpeTokenizer:
    """Train byte-level BPE of exactly `vocab` ids, the end of a document included.

    Deterministic: ties between pairs are broken by their ids, whatever the number of threads.

    Raises:
        ValueError: when the sample has too few pairs that occur twice to fill the vocabulary.
        ModuleNotFoundError: without the `tokenizers` package.
    """
    library = _tokenizers()
    model = library.Tokenizer(library.models.BPE())
    model.pre_tokenizer = library.pre_tokenizers.Sequence(
        [
            library.pre_tokenizers.Split(library.Regex(WORDS), behavior="isolated"),
            library.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    model.decoder = library.decoders.ByteLevel()
    trainer = library.trainers.BpeTrainer(
        vocab_size=vocab - 1,
        min_frequency=MIN_FREQUENCY,
        show_progress=False,
        initial_alphabet=library.pre_tokenizers.ByteLevel.alphabet(),
    )
    model.train_from_iterator((text.decode() for text in sample), trainer)
    if model.get_vocab_size() != vocab - 1:
        raise ValueError(
            f"vocab: the training text supports a BPE vocabulary of at most {model.get_vocab_size() + 1}, "
            f"not {vocab}: no further pair of tokens occurs twice. Ask for fewer, or give more text."
        )
    return BpeTokenizer(model.to_str().encode())


def decode(table: Sequence[bytes], ids: Iterable[int]) -> str:
    """Text of `ids`; an incomplete UTF-8 sequence at either end shows as U+FFFD."""
    return b"".join(table[int(i)] for i in ids).decode("utf-8", errors="replace")


def _byte_of_character() -> dict[str, int]:
    """The characters that byte-level BPE writes bytes as: itself where printable, else from U+0100 on.

    Source: `bytes_to_unicode` in the GPT-2 release (github.com/openai/gpt-2, src/encoder.py).
    """
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), 256)]
    others = [b for b in range(256) if b not in printable]
    return {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(others)}


def _tokenizers() -> Any:
    try:
        import tokenizers
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "a vocabulary other than 256 needs the package tokenizers: "
            "pip install 'scaling-harness[train]', or set vocab to 256 for raw bytes."
        ) from error
    return tokenizers
