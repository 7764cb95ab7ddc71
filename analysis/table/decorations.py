"""What people write around a number: TeX, bold, footnote marks, an uncertainty, a power of ten written
out."""

from __future__ import annotations

import re

_MAY_BE = re.compile(r"[$\\*†‡§¶↓↑~≈∼×·⋅±(^=]|\+/?-|10\*\*|[xX] ?10|nats?\b|^'|^(ca|about|approx)\b")
_LONGEST = 80  # characters of a decorated number
_GUARD = re.compile(
    r"^=\"([^\"]*)\"$|^'(?=[0-9.+-])"
)  # what spreadsheets write so that a number stays as it is
_TEX = re.compile(r"\\(?:textbf|textit|emph|mathbf|bm|underline|num|text)\{([^{}]*)\}")
_TEX_SPACES = re.compile(r"\\[,;:! ]|(?<=\d)\{(,)\}")
_STARTS = frozenset("+-.0123456789")
_SIGNS = "*†‡§¶↓↑ "
_ABOUT = re.compile(r"([~≈∼]|(ca|about|approx)\.?\s)\s*")
_NUMBER = r"[+-]?[0-9][0-9.,]*(?:[eE][+-]?[0-9]+)?"
_ERROR = re.compile(
    rf"({_NUMBER})\s*(?:(?:±|\+/-|\+-|\\pm)\s*{_NUMBER}|(?<=[0-9])\s*\(\s*[0-9][0-9.,]*\s*\))(.*)", re.DOTALL
)
_POWER = re.compile(
    rf"(?:({_NUMBER})\s*(?:×|·|⋅|\*|x|X|\\times|\\cdot)\s*)?10\s*(?:\^|\*\*)\s*[{{(]?\s*([+-]?[0-9]+)\s*[}})]?"
)
_FACTOR = re.compile(rf"({_NUMBER})\s*[*×]\s*1[eE]\+?([0-9]+)")
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_RAISED = re.compile(r"(?<=10)[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_NATS = re.compile(r"(.*[0-9])\s*nats?(?:\s*(?:/|per)\s*token)?", re.IGNORECASE)


def undecorate(text: str, is_size: bool) -> tuple[str, str]:
    """A number without what stands round it, and in words what that was; most texts come back as they are.

    Args:
        is_size: a number of parameters or tokens, which has no uncertainty and no unit of a loss.
    """
    if len(text) > _LONGEST or not _MAY_BE.search(text):
        return text, ""
    said = []
    bare = strip_tex(_GUARD.sub(r"\1", text.strip()))
    if (clean := bare.strip(_SIGNS)) != text:
        said.append("without the signs round it")
    about = _ABOUT.match(clean)
    if about:
        clean, said = clean[about.end() :], ["approximate"]
    if not is_size and (found := _ERROR.fullmatch(clean)):
        clean, said = found[1] + found[2], ["without its uncertainty"]
    if not is_size and (found := _NATS.fullmatch(clean)):
        clean, said = found[1], [*said, "in nats"]
    raised = _RAISED.sub(lambda digits: "^" + digits[0].translate(_SUPERSCRIPTS), clean)
    if found := _POWER.fullmatch(raised) or _FACTOR.fullmatch(clean):
        clean, said = f"{found[1] or 1}e{found[2]}", ["a power of ten"]
    return (clean, "; ".join(said)) if said and clean[:1] in _STARTS else (text, "")


def strip_tex(text: str) -> str:
    """Text without the dollars, fonts and thin spaces of TeX."""
    bare = text.replace("$", "")
    while (inner := _TEX.sub(r"\1", bare)) != bare:
        bare = inner
    return _TEX_SPACES.sub(r"\1", bare).strip()
