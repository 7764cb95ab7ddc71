"""The grammar of mappings and conditions: text to a tree of operations on columns, by recursive descent."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.table.raw import excerpt

COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")
FUNCTIONS = ("log", "ln", "log2", "log10", "exp", "sqrt", "abs", "min", "max")
_SEVERAL = ("min", "max")  # take two values or more
_INSTEAD = {"=": "==", "&": "and", "&&": "and", "|": "or", "||": "or", "^": "**", "!": "not", "<>": "!="}
_NUMBER = re.compile(r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII)
_WORD = re.compile(r"[^\W\d]\w*")
_SIGN = re.compile(r"\*\*|==|!=|<=|>=|<>|&&|\|\||[-+*/%<>(),=&|^!]")
_TEXT = re.compile(r"'([^']*)'|\"([^\"]*)\"")
TRUTH = {"true": True, "false": False}
_LONGEST, _DEEPEST = 1000, 40  # characters, and levels of nesting


class ExpressionError(ValueError):
    """A text that is no expression, with the position and what to write instead."""


@dataclass(frozen=True)
class Node:
    """A number, text, truth value or column (`value`), or an operation on `parts`."""

    kind: str  # number, text, truth, column, or the sign or name of the operation
    value: Any = None
    parts: tuple[Node, ...] = ()

    def columns(self) -> list[str]:
        """The columns that are read, in order, each once."""
        if self.kind == "column":
            return [self.value]
        return list(dict.fromkeys(name for part in self.parts for name in part.columns()))


def parse(text: str, names: Sequence[str], *, condition: bool) -> Node:
    """The tree of a mapping (arithmetic), or of a condition (comparisons joined by and, or, not).

    Raises:
        ExpressionError: with the position, what was expected there, and what may be written.
    """
    if text in names:
        return Node("column", text)
    if len(text) > _LONGEST:
        raise ExpressionError(f"an expression has at most {_LONGEST} characters; this one has {len(text)}.")
    parser = _Parser(text, names)
    root = parser.disjunction() if condition else parser.sum()
    if parser.peek():
        raise parser.error(f"did not expect {parser.peek()!r}")
    if not condition and _is_condition(root):
        raise parser.error("a mapping is a number: write a column, or arithmetic on columns")
    if condition and not _is_condition(root) and root.kind != "column":
        raise parser.error('a condition compares, as in lr < 1e-3 or size == "410M"')
    if not root.columns():
        raise parser.error(f"names no column; {_present(names)}")
    return root


class _Parser:
    """Recursive descent, one method per level of precedence, weakest first."""

    def __init__(self, text: str, names: Sequence[str]) -> None:
        self.text, self.at, self.depth = text, 0, 0
        self.names = sorted((n for n in names if n.strip()), key=len, reverse=True)

    def error(self, problem: str) -> ExpressionError:
        return ExpressionError(f"{problem}, at character {self.at + 1} of {excerpt(self.text)!r}.")

    def peek(self) -> str:
        """The sign or word that comes next, '' at the end."""
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1
        found = _SIGN.match(self.text, self.at) or _WORD.match(self.text, self.at)
        return found[0] if found else self.text[self.at : self.at + 1]

    def take(self, *signs: str) -> str:
        """Step over one of these, and say which; '' if something else comes."""
        found = self.peek()
        if found in _INSTEAD and found not in signs:
            raise self.error(f"write {_INSTEAD[found]!r}, not {found!r}")
        if found not in signs or not found:
            return ""
        self.at += len(found)
        return found

    def disjunction(self) -> Node:
        return self._joined(self.conjunction, "or")

    def conjunction(self) -> Node:
        return self._joined(self.negation, "and")

    def _joined(self, part: Callable[[], Node], word: str) -> Node:
        parts = [part()]
        while self.take(word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else Node(word, parts=tuple(map(self._condition, parts)))

    def negation(self) -> Node:
        if not self._is_column() and self.take("not"):
            return Node("not", parts=(self._condition(self._deeper(self.negation)),))
        return self.comparison()

    def comparison(self) -> Node:
        left = self.sum()
        if sign := self.take(*COMPARISONS):
            return Node(sign, parts=(left, self.sum()))
        negated = self.peek() == "not" and bool(self.take("not"))
        if self.take("in"):
            found = Node("in", parts=(left, *self._list()))
            return Node("not", parts=(found,)) if negated else found
        if negated:
            raise self.error("expected 'in' after 'not'")
        return left

    def sum(self) -> Node:
        node = self.product()
        while sign := self.take("+", "-"):
            node = self._apply(sign, node, self.product())
        return node

    def product(self) -> Node:
        node = self.sign()
        while sign := self.take("*", "/", "%"):
            node = self._apply(sign, node, self.sign())
        return node

    def sign(self) -> Node:
        if not self._is_column() and (sign := self.take("-", "+")):
            value = self._deeper(self.sign)
            return self._apply("-", Node("number", 0.0), value) if sign == "-" else value
        return self.power()

    def power(self) -> Node:
        base = self.atom()
        return self._apply("**", base, self._deeper(self.sign)) if self.take("**") else base

    def atom(self) -> Node:
        if name := self._is_column():
            self.at += len(name)
            return Node("column", name)
        if self.take("("):
            inner: Node = self._deeper(self.disjunction)
            self._expect(")")
            return inner
        if found := _NUMBER.match(self.text, self.at):
            if word := _WORD.match(self.text, found.end()):
                raise self.error(f'a text is written in quotes: "{found[0]}{word[0]}"')
            self.at = found.end()
            return Node("number", float(found[0]))
        if found := _TEXT.match(self.text, self.at):
            self.at = found.end()
            return Node("text", found[1] if found[1] is not None else found[2])
        if self.text.startswith("`", self.at):
            return self._backticked()
        return self._word()

    def _word(self) -> Node:
        word = self.peek()
        if not _WORD.fullmatch(word):
            raise self.error(
                f"expected a column, a number or '(', got {word!r}" if word else "ends too early"
            )
        if self.text[self.at + len(word) :].lstrip().startswith("("):
            if word not in FUNCTIONS:
                raise self.error(f"no function {word!r}; there are {', '.join(FUNCTIONS)}")
            self.at += len(word)
            parts = tuple(self._deeper(self._list))
            if (len(parts) < 2) if word in _SEVERAL else (len(parts) != 1):
                count = "two or more values" if word in _SEVERAL else "one value"
                raise self.error(f"{word} takes {count}, got {len(parts)}")
            return self._apply(word, *parts)
        if word.casefold() in TRUTH:
            self.at += len(word)
            return Node("truth", TRUTH[word.casefold()])
        near = difflib.get_close_matches(word, self.names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise self.error(
            f'no column {word!r}{hint} (a text is written in quotes: "{word}"); {_present(self.names)}'
        )

    def _backticked(self) -> Node:
        end = self.text.find("`", self.at + 1)
        name = self.text[self.at + 1 : end]
        if end < 0 or name not in self.names:
            raise self.error(f"no column {name!r} in backticks; {_present(self.names)}")
        self.at = end + 1
        return Node("column", name)

    def _list(self) -> list[Node]:
        self._expect("(")
        parts = [self.sum()]
        while self.take(","):
            parts.append(self.sum())
        self._expect(")")
        return parts

    def _is_column(self) -> str:
        """The longest column whose name stands here whole, or ''."""
        self.peek()
        for name in self.names:
            if not self.text.startswith(name, self.at) or _NUMBER.fullmatch(name):
                continue
            after = self.text[self.at + len(name) :]
            if (name[-1].isalnum() or name[-1] == "_") and re.match(r"\w", after):
                continue
            if name in ("and", "or", "not", "in") or (name in FUNCTIONS and after.lstrip().startswith("(")):
                continue
            return name
        return ""

    def _expect(self, sign: str) -> None:
        if not self.take(sign):
            raise self.error(f"expected {sign!r}, got {self.peek() or 'the end'!r}")

    def _deeper(self, part: Callable[[], Any]) -> Any:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise self.error(f"nested more than {_DEEPEST} deep")
        found = part()
        self.depth -= 1
        return found

    def _apply(self, sign: str, *parts: Node) -> Node:
        if any(_is_condition(part) or part.kind in ("text", "truth") for part in parts):
            raise self.error(f"{sign!r} takes numbers")
        return Node(sign, parts=parts)

    def _condition(self, node: Node) -> Node:
        if not _is_condition(node) and node.kind != "column":
            raise self.error("and, or and not join conditions, as in lr < 1e-3")
        return node


def _is_condition(node: Node) -> bool:
    return node.kind in (*COMPARISONS, "in", "and", "or", "not")


def _present(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, sorted(names)[:20]))
    return f"columns: {shown}{', …' if len(names) > 20 else ''}"
