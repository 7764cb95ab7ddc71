"""Which tokens are asked for: one frozen value, from a config to `open_dataset` and into every spec."""

from __future__ import annotations

from dataclasses import dataclass

MOST_HELDOUT = 0.5  # of the documents: a fraction that is held out is below it


@dataclass(frozen=True)
class DataOptions:
    """A corpus, its tokenizer and its split; each corpus reads what it understands.

    Attributes:
        corpus: a name in `scaling.data.corpora`.
        vocab: 256 for raw bytes, or more for byte-level BPE of exactly that vocabulary.
        paths: `text` and `pairs`: files, folders or globs. `huggingface`: one hub name or local folder.
        field: the field or column that holds the text, in .jsonl, .parquet and `huggingface`; of `pairs`, the
            two fields of .jsonl, as in "source,target".
        limit_bytes: stop after so much kept text, both splits together.
        heldout_fraction: expected fraction of the documents that is held out.
        subset: `huggingface`: the configuration of a data set that has several.
        split: `huggingface`: the split to read; the held-out documents are taken from it too.
        revision: `huggingface`: branch, tag or commit.
        settings: numbers that decide a generated corpus, sorted by name; text has none.
        train_tokens: only the first so many tokens of the training split, to study their repetition; the
            held-out split and the fingerprint stay what they are.
        mixture: the domains of corpus `mixture`; none of any other.
    """

    corpus: str
    vocab: int
    paths: tuple[str, ...] = ()
    field: str = "text"
    limit_bytes: int | None = None
    heldout_fraction: float = 0.02
    subset: str | None = None
    split: str = "train"
    revision: str | None = None
    settings: tuple[tuple[str, float], ...] = ()
    train_tokens: int | None = None
    mixture: tuple[Domain, ...] = ()


@dataclass(frozen=True)
class Domain:
    """One corpus of a mixture.

    Attributes:
        weight: its share of the rows; the weights of a mixture need not sum to 1.
        max_epochs: how often each of its tokens may be seen; then the others take its share. None: any.
        options: which tokens; the vocabulary is that of the mixture.
    """

    name: str
    weight: float
    max_epochs: float | None
    options: DataOptions
