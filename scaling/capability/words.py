"""Words of any language, for scores of written text: Chinese and others without spaces go by characters."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

# Han, kana, Thai, Lao, Burmese, Khmer and Tibetan: written without spaces between words.
_ALONE = re.compile(
    "[\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003ffff]"
)
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_ARTICLES = frozenset({"a", "an", "the"})


def unspaced(text: str) -> bool:
    """Whether most letters are of a language that is written without spaces."""
    letters = sum(character.isalpha() for character in text)
    return 2 * len(_ALONE.findall(text)) > letters


def split_words(text: str) -> list[str]:
    """Words at spaces; each character of a language without spaces is a word."""
    return _ALONE.sub(lambda match: f" {match[0]} ", text).split()


def words_to_compare(text: str) -> list[str]:
    """Words in lower case, without punctuation."""
    kept = (" " if unicodedata.category(c)[0] in "PS" else c for c in text.lower())
    return split_words("".join(kept))


def normalise(text: str) -> list[str]:
    """Words of an answer as SQuAD compares them: lower case, no punctuation, no articles.

    Source: Rajpurkar et al. 2016 (arXiv:1606.05250), section 6.1, and its evaluation script, which takes
    ASCII punctuation out; here that of every language. Chinese by characters as in Cui et al. 2019
    (arXiv:1810.07366), section 4.
    """
    kept = "".join(c for c in text.lower() if unicodedata.category(c)[0] != "P" and c not in "$+<=>^`|~")
    return [word for word in split_words(kept) if word not in _ARTICLES]


def bleu_tokens(texts: Sequence[str]) -> str:
    """The tokens of sacrebleu that fit the language of these texts."""
    whole = "".join(texts)
    if not unspaced(whole):
        return "13a"
    return "zh" if 2 * len(_HAN.findall(whole)) > len(_ALONE.findall(whole)) else "char"
