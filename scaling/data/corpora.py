"""The corpora by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from scaling.data.huggingface import huggingface
from scaling.data.pairs import pair_files
from scaling.data.python_source import python_source
from scaling.data.source import Source
from scaling.data.text import text_files
from scaling.data.truth.sources import SOURCES


@dataclass(frozen=True)
class Options:
    """Where a corpus is to look; each reads what it understands."""

    paths: tuple[str, ...] = ()
    field: str = "text"
    subset: str | None = None
    split: str = "train"
    revision: str | None = None


def _python_source(options: Options) -> Source:
    if options.paths:
        raise ValueError(
            f"corpus 'python_source' takes no paths; got {list(options.paths)}. "
            "For text of your own, use corpus 'text'."
        )
    return python_source()


CORPORA: dict[str, Callable[[Options], Source]] = {
    "python_source": _python_source,
    "text": lambda options: text_files(options.paths, options.field),
    "pairs": lambda options: pair_files(options.paths, options.field),
    "huggingface": lambda options: huggingface(
        options.paths, options.field, options.subset, options.split, options.revision
    ),
}


def find_source(corpus: str, options: Options) -> Source:
    """
    Raises:
        ValueError: for a name that is not in `CORPORA`, or options that the corpus cannot use.
        FileNotFoundError: for paths that name nothing.
    """
    if corpus not in CORPORA:
        raise ValueError(f"no corpus {corpus!r}. There are: {', '.join(sorted([*CORPORA, *SOURCES]))}.")
    return CORPORA[corpus](options)
