"""How a column writes its numbers: decimal mark, thousands separators, size suffixes.

One cell cannot tell: `4,943` is 4943 in one country and 4.943 in the next. So a style is accepted for a whole
column, on what all its cells and the other columns of the file show; a cell that does not fit the style of
its column is a reason, and so is a column that the file leaves ambiguous. Nothing is guessed in silence.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from analysis.table.columns import COUNTS
from analysis.table.decorations import undecorate

Role = Literal["size", "count", "real"]

# Suffixes of these can mean one thing only. `k` of a vocabulary or a context is as often 1024 as 1000.
_SIZES = (
    *("params", "params_active", "params_matmul", "params_total", "tokens", "tokens_unique"),
    *("flops", "flops_6nd"),
)
_POWERS = {"k": 3, "thousand": 3, "m": 6, "million": 6, "b": 9, "bn": 9, "g": 9, "billion": 9}
_POWERS |= {"t": 12, "tn": 12, "trn": 12, "trillion": 12, "mn": 6, "mm": 6, "mln": 6, "bln": 9}
_POWERS |= {"mio": 6, "mrd": 9, "mds": 9}
_SUFFIXED = re.compile(
    rf"(?P<mantissa>.*[0-9][.,]?)\s*(?P<suffix>{'|'.join(sorted(_POWERS, key=len, reverse=True))})?\.?"
    r"\s*(?:params?\.?|parameters?|tokens?|toks?\.?|flops?)?",
    re.ASCII | re.IGNORECASE,
)
_EXPONENT = r"(?:[eE][+-]?[0-9]+)?"
_GROUP = r"[+-]?[1-9][0-9]{0,2}"  # no number is grouped behind a leading zero
_MARKS = " \u00a0\u2009\u202f'’_"  # group digits and nothing else, so they need no evidence
# Tried in this order. ASCII only: float() would also take 'nan', 'infinity' and digits of other scripts.
_FORMS: dict[str, re.Pattern[str]] = {
    name: re.compile(pattern, re.ASCII)
    for name, pattern in {
        "whole": rf"[+-]?[0-9]+{_EXPONENT}",
        "point or dots": rf"{_GROUP}\.[0-9]{{3}}",
        "point": rf"[+-]?(?:[0-9]+\.[0-9]*|\.[0-9]+){_EXPONENT}",
        "comma or commas": rf"{_GROUP},[0-9]{{3}}",
        "commas": rf"{_GROUP}(?:(?:,[0-9]{{3}}){{2,}}(?:\.[0-9]+)?|,[0-9]{{3}}\.[0-9]+)",
        "comma": rf"[+-]?(?:[0-9]+,[0-9]+|,[0-9]+){_EXPONENT}",
        "dots": rf"{_GROUP}(?:(?:\.[0-9]{{3}}){{2,}}(?:,[0-9]+)?|\.[0-9]{{3}},[0-9]+)",
        "marks": rf"{_GROUP}(?:([{_MARKS}])[0-9]{{3}}(?:\1[0-9]{{3}})*)(?:[.,][0-9]+)?",
    }.items()
}
_SURE = re.compile(rf"[+-]?(?:[0-9]+|[0-9]*\.[0-9]{{4,}}){_EXPONENT}", re.ASCII)  # of one form only
_LONGEST = 60  # characters of a size; more are text, and cost time quadratic in their number
_SAMPLE = 2000  # cells of a column that vote on the decimal mark of a file


def role_of(name: str) -> Role:
    """What kind of number one of our columns holds: a size (takes suffixes), another count, or a real."""
    return "size" if name in _SIZES else "count" if name in COUNTS else "real"


def form_of(text: str) -> str:
    """The form in which a text writes a number, "" if in none."""
    if not text or text[0] not in "+-.,0123456789":
        return ""
    return next((name for name, pattern in _FORMS.items() if pattern.fullmatch(text)), "")


def is_number(text: str) -> bool:
    """Whether a text is a number in some style, alone or with a size suffix."""
    return bool(form_of(_mantissa(text)) or form_of(_mantissa(undecorate(text, False)[0])))


def decimal_mark(columns: Mapping[str, Sequence[Any]], delimiter: str) -> str:
    """The decimal mark of a file's text: "." or ",", or "" where its columns do not tell.

    Columns vote with the cells that can be read in one way only. Where none can, a file that is delimited by
    commas has decimal points, and one delimited by semicolons has decimal commas: that is why it is.

    Args:
        delimiter: between the cells, "" for formats that have none.
    """
    votes: Counter[str] = Counter()
    open_commas = marks = False
    for cells in columns.values():
        texts = [undecorate(cell.strip(), False)[0] for cell in cells[:_SAMPLE] if isinstance(cell, str)]
        forms = Counter(form_of(_mantissa(text)) for text in texts if "," in text or "." in text)
        votes[_own_mark(forms, "") if 2 * forms[""] <= forms.total() else ""] += 1
        votes["."] += any(isinstance(cell, float) and not cell.is_integer() for cell in cells[:_SAMPLE])
        open_commas |= forms["comma or commas"] > 0
        marks |= any(form_of(_mantissa(text)) == "marks" for text in texts)
    if votes["."] != votes[","]:
        return "." if votes["."] > votes[","] else ","
    if not votes["."] and not open_commas:
        return "."
    if not votes["."] and marks:  # thousands are parted by something else, so a comma is for decimals
        return ","
    return {",": ".", ";": "" if votes["."] else ","}.get(delimiter, "")


@dataclass
class Column:
    """Texts of one column that hold something, by position, and the values they turn out to have."""

    texts: dict[int, str]
    natives: Mapping[int, float]  # cells that came as numbers
    role: Role
    mark: str
    values: dict[int, float] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)
    styles: dict[int, str] = field(default_factory=dict)  # in what a cell was not plain

    def read(self) -> None:
        """Fill in values, reasons and styles."""
        dressed = {i: undecorate(text, self.role != "real") for i, text in self.texts.items()}
        bare = {i: text for i, (text, _) in dressed.items()}
        parts = {i: _split(text) if self.role == "size" else (text, 0) for i, text in bare.items()}
        forms = {i: form_of(mantissa) for i, (mantissa, _) in parts.items()}
        reading = _Reading.of(forms, parts, self.mark, self.natives.values(), self.role)
        for i, (mantissa, power) in parts.items():
            # The mantissa of 1.234M need not be whole, so it settles nothing.
            clean, style = reading.plain(mantissa, forms[i], "real" if power else self.role)
            if not style and "e" in clean.casefold() and power:
                clean, style = "", "not a number: {}"
            if not clean:
                self.reasons[i] = style.format(shorten(self.texts[i]))
                continue
            self.values[i] = float(f"{clean}e{power}" if power else clean)  # 4.1 * 1e6 is not 4.1e6
            if not style and not power and mantissa != bare[i]:
                style = "without its unit"
            if style or dressed[i][1]:
                self.styles[i] = "; ".join(filter(None, (dressed[i][1], style)))
        self._check_suffixes({i for i in self.values if parts[i][1]})

    def _check_suffixes(self, suffixed: set[int]) -> None:
        """Refuse cells without the suffix of the others, or alone with one, unless their sizes agree."""
        if not suffixed:
            return
        bare = {i: value for i, value in {**self.values, **self.natives}.items() if i not in suffixed}
        rule = len(suffixed) >= len(bare)
        if bare:
            among = [abs(self.values[i]) for i in suffixed] if rule else [abs(v) for v in bare.values()]
            low, high = min(among) / 10, max(among) * 10
            few = not rule and len(suffixed) < max(3, (len(suffixed) + len(bare)) // 10)
            for i in bare if rule else suffixed:
                if few or not low <= abs(self.values.get(i, self.natives.get(i, 0.0))) <= high:
                    said = "has no size suffix, and the others have" if rule else "has a size suffix, alone"
                    text = shorten(self.texts.get(i, self.natives.get(i)))
                    self.reasons[i] = f"not a number: {text} {said}; write the count in digits"
                    self.values.pop(i, None)
        for i in suffixed:
            self.styles[i] = "; ".join(filter(None, (self.styles.get(i), "suffixes k, M, B, T")))

    def note(self) -> str:
        """One sentence with an example of each style that was read, or "" if all cells are plain."""
        first: dict[str, int] = {}
        for i in sorted(set(self.styles) & set(self.values)):
            first.setdefault(self.styles[i], i)
        said = [f"{self.texts[i]} as {_say(self.values[i])} ({style})" for style, i in first.items()]
        return f"read {', '.join(said)}" if said else ""


@dataclass(frozen=True)
class _Reading:
    """Which of the forms of a column are believed."""

    forms: Counter[str]
    mark: str
    grouped: bool
    large: bool  # whole numbers of 1000 and more

    @classmethod
    def of(
        cls,
        forms: Mapping[int, str],
        parts: Mapping[int, tuple[str, int]],
        mark: str,
        natives: Collection[float],
        role: Role,
    ) -> _Reading:
        found = Counter(forms.values())
        found["whole"] += len(natives)
        own = _own_mark(found, mark)
        # One cell with separators among many large numbers without is a slip, not the style of the column;
        # so is one among many small numbers, as of losses, which no separator is expected in.
        ungrouped = sum(abs(value) >= 1000 for value in natives) + sum(
            forms[i] in ("whole", "point") and re.match(r"[+-]?[0-9]{4}", mantissa) is not None
            for i, (mantissa, _) in parts.items()
        )
        if role == "real":
            ungrouped = max(ungrouped, (found.total() - found[""]) // 2)
        either = "comma or commas" if own == "." else "point or dots"
        styled = found["commas"] + found["dots"] + found["marks"] + found[either]
        large = any(value >= 1000 and float(value).is_integer() for value in natives) or any(
            forms[i] == "whole" and len(mantissa.lstrip("+-0")) > 3 for i, (mantissa, _) in parts.items()
        )
        return cls(found, own, styled >= ungrouped, large)

    def plain(self, text: str, form: str, role: Role) -> tuple[str, str]:
        """A number as float() takes it, and its style if not plain; or "" and the reason, with {} in it."""
        comma, forms = self.mark == ",", self.forms
        if form == "comma or commas":
            proven = forms["comma"] + forms["dots"] if comma else forms["commas"]
            sure = proven or (role == "real" if comma else role != "real")
            if not self.mark or not sure:
                return "", _unclear(text, ",")
            form = "comma" if comma else "commas"
        elif form == "point or dots":
            # A count has no fraction, so 5.760 may well be 5760, unless others have fractions too.
            # So may 3.200 of a real among whole numbers of thousands.
            plain = role == "real" and not self.large
            sure = (forms["dots"] or role != "real") if comma else (forms["point"] or plain)
            if not self.mark or not sure:
                return "", _unclear(text, ".")
            form = "dots" if comma else "point"
        if form == "whole" or (form == "point" and not comma):
            return text, ""
        if form == "comma" and comma:
            return text.replace(",", "."), "decimal comma"
        if form in ("commas", "dots", "marks"):
            fits = form == "marks" or (form == "dots") == comma
            if fits and self.grouped:
                return _ungroup(text, form), "thousands separators"
            return "", "not a number: {}; the rest of the column is written without such separators"
        if form in ("comma", "point"):
            return "", f"not a number: {{}}; the column has decimal {'commas' if comma else 'points'}"
        if text.endswith("%"):
            return "", "a percentage, not a number: {}"
        return "", "not a number: {}"


def shorten(cell: Any) -> str:
    """A cell as a message shows it."""
    text = repr(cell)
    return text if len(text) <= 40 else text[:37] + "…"


def _own_mark(forms: Mapping[str, int], mark: str) -> str:
    """The decimal mark that the cells of one column show; that of the file where they show none."""
    points = forms["point"] + forms["commas"]
    commas = forms["comma"] + forms["dots"]
    if points or commas:
        if points >= commas:
            return "."
        readable = sum(number for form, number in forms.items() if form)
        agree = commas + forms["comma or commas"] + (forms["point or dots"] if forms["dots"] else 0)
        return "," if mark == "," or 2 * agree >= readable else "."
    return mark


def _ungroup(text: str, form: str) -> str:
    if form == "commas":
        return text.replace(",", "")
    if form == "dots":
        return text.replace(".", "").replace(",", ".")
    return re.sub(f"[{_MARKS}]", "", text).replace(",", ".")


def _unclear(text: str, mark: str) -> str:
    whole, point = text.replace(mark, ""), text.replace(mark, ".")
    return f"not clear: {{}} is {whole} or {point}; write it as one of the two"


def _split(text: str) -> tuple[str, int]:
    """Mantissa and power of ten of a size such as '125M', '7 B' or '300B tokens'."""
    found = _SUFFIXED.fullmatch(text) if len(text) <= _LONGEST else None
    if found is None:
        return text, 0
    return found["mantissa"].strip(), _POWERS.get((found["suffix"] or "").casefold(), 0)


def _mantissa(text: str) -> str:
    return _split(text)[0] if text[-2:].strip(".").isalpha() else text


def _say(value: float) -> str:
    short = f"{value:g}"
    text = short if abs(value) >= 1e6 and float(short) == value else repr(value).removesuffix(".0")
    return re.sub(r"e\+0?", "e", text)


def all_plain(texts: Iterable[str], role: Role) -> bool:
    """Decide whether every text is a number that can be read in one way only, as float() reads it."""
    forms = {
        ("point" if "." in text else "whole") if _SURE.fullmatch(text) else form_of(text) for text in texts
    }
    return forms <= {"whole", "point"} or (role == "real" and forms <= {"point", "point or dots"})
