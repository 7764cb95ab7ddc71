"""A fitted law as an equation: MathML with its numbers for the page, and one line of text to copy.

A formula is what a law prints: `L = E + A/N^alpha`, with juxtaposed factors, `^`, `/`, brackets, functions,
and definitions after commas.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from markupsafe import Markup, escape

_TOKEN = re.compile(r"\s*([A-Za-z_][A-Za-z_0-9]*[~']?|\d+(?:\.\d+)?(?:e[+-]?\d+)?|[-+/^()\[\]=,])")
_FUNCTIONS = ("ln", "exp", "log", "min", "max")
_LETTERS = {
    "alpha": "α",
    "beta": "β",
    "gamma": "γ",
    "delta": "δ",
    "eta": "η",
    "kappa": "κ",
    "rho": "ρ",
    "lambda": "λ",
    "mu": "μ",
    "sigma": "σ",
    "tau": "τ",
    "theta": "θ",
}
_CLOSED_BY = {"(": ")", "[": "]"}


def as_text(formula: str, values: Mapping[str, float]) -> str:
    """The formula with its parameters replaced by numbers, as a calculator takes them."""

    def number(match: re.Match[str]) -> str:
        name = match[0]
        if name not in values:
            return name
        text = f"{values[name]:.6g}"
        return f"({text})" if text.startswith("-") or "e" in text else text

    return re.sub(r"[A-Za-z_][A-Za-z_0-9]*'?", number, formula)


def as_latex(text: str) -> str:
    """What `as_text` returns as LaTeX mathematics; nothing in it can be a command."""
    plain = re.sub(r"[^\w\s.+/^()\[\]=,'-]", "", text)
    raised = re.sub(r"\^(\([^()]*\)|-?[\w.]+)", lambda power: f"^{{{power[1]}}}", plain)
    return re.sub(r"\b(exp|ln|log|min|max)\b", r"\\\1 ", raised.replace("_", r"\_"))


def as_mathml(formula: str, values: Mapping[str, float] | None = None) -> Markup:
    """The formula typeset; parameters in `values` by their numbers to four digits.

    A formula that follows no such grammar stands as it is written.
    """
    values = values or {}
    try:
        body = _Reader(formula, lambda name: values.get(name)).whole()
    except ValueError:
        return Markup("<code>{}</code>").format(as_text(formula, values))
    alt = formula if not values else as_text(formula, values)
    return Markup('<math display="block" alttext="{}"><mrow>{}</mrow></math>').format(alt, body)


@dataclass
class _Reader:
    """Reads a formula from left to right; every method consumes what it returns as MathML."""

    formula: str
    value: Callable[[str], float | None]
    tokens: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.tokens, place = [], 0
        text = self.formula.rstrip()
        while place < len(text):
            match = _TOKEN.match(text, place)
            if match is None:
                raise ValueError(f"cannot typeset {text[place:]!r}")
            self.tokens.append(match[1])
            place = match.end()

    def whole(self) -> Markup:
        out = self._sum()
        while self._next() in ("=", ","):
            sign = self.tokens.pop(0)
            space = Markup('<mspace width="1.2em"/>') if sign == "," else Markup("<mo>=</mo>")
            if self._next() == "" or not _starts(self._next()):
                raise ValueError("words")
            out += space + self._sum()
        if self.tokens:
            raise ValueError("words")
        return out

    def _next(self) -> str:
        return self.tokens[0] if self.tokens else ""

    def _sum(self) -> Markup:
        out = self._product()
        while self._next() in ("+", "-"):
            sign = "+" if self.tokens.pop(0) == "+" else "−"
            out += Markup("<mo>{}</mo>").format(sign) + self._product()
        return out

    def _product(self) -> Markup:
        out = self._power()
        while _starts(self._next()) or self._next() == "/":
            if self._next() == "/":
                self.tokens.pop(0)
                out = Markup("<mfrac><mrow>{}</mrow><mrow>{}</mrow></mfrac>").format(out, self._power())
            else:
                dot = Markup("<mo>·</mo>") if out.endswith("</mn>") else Markup("<mspace width='.15em'/>")
                out += dot + self._power()
        return out

    def _power(self) -> Markup:
        base = self._atom()
        while self._next() == "^":
            self.tokens.pop(0)
            sign = Markup("<mo>−</mo>") if self._next() == "-" else Markup()
            if sign:
                self.tokens.pop(0)
            grouped = self._next() == "("
            power = self._atom(bare=True)
            if not grouped and self._next() in _CLOSED_BY and power.endswith("</mo>"):
                power += self._atom()  # a function and its argument
            base = Markup("<msup><mrow>{}</mrow><mrow>{}{}</mrow></msup>").format(base, sign, power)
        return base

    def _atom(self, bare: bool = False) -> Markup:
        token = self.tokens.pop(0) if self.tokens else ""
        if token in _CLOSED_BY:
            inside = self._sum()
            if not self.tokens or self.tokens.pop(0) != _CLOSED_BY[token]:
                raise ValueError("unbalanced brackets")
            if bare:
                return inside
            pair = (token, _CLOSED_BY[token])
            return Markup("<mrow><mo>{}</mo>{}<mo>{}</mo></mrow>").format(pair[0], inside, pair[1])
        if token == "-":
            return Markup("<mo>−</mo>") + self._power()
        if not _starts(token):
            raise ValueError(f"no term: {token!r}")
        if token in _FUNCTIONS:
            return Markup("<mo>{}</mo>").format(token)
        return self._name(token)

    def _name(self, token: str) -> Markup:
        if token[0].isdigit():
            return Markup("<mn>{}</mn>").format(token)
        value = self.value(token)
        if value is not None:
            return number(value)
        stem, sub = re.fullmatch(r"([A-Za-z]+)_?(\d*.*)", token).groups()  # type: ignore[union-attr]
        letter = escape(_LETTERS.get(stem, stem))
        if not sub:
            return Markup("<mi>{}</mi>").format(letter)
        return Markup("<msub><mi>{}</mi><mi>{}</mi></msub>").format(letter, sub)


def number(value: float) -> Markup:
    """A number to four digits, by its power of ten where it is far from one."""
    text = f"{value:.4g}"
    if "e" not in text:
        return _signed(text)
    mantissa, power = text.split("e")
    return Markup("<mrow>{}<mo>·</mo><msup><mn>10</mn><mn>{}</mn></msup></mrow>").format(
        _signed(mantissa), str(int(power)).replace("-", "−")
    )


def _signed(text: str) -> Markup:
    if text.startswith("-"):
        return Markup("<mrow><mo>(</mo><mo>−</mo><mn>{}</mn><mo>)</mo></mrow>").format(text[1:])
    return Markup("<mn>{}</mn>").format(text)


def _starts(token: str) -> bool:
    return bool(token) and (token[0].isalnum() or token[0] == "_" or token in _CLOSED_BY)
