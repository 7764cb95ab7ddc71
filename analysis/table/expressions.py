"""A small language for mappings and conditions: `log(ppl)`, `10**log_tokens`, `size == "410M" and lr < 1e-3`.

Its own parser and its own evaluation, never `eval`: names are columns of the table, calls are those listed,
and everything is a float, a text or a truth value, so no text can run code or grow without bound. A column is
written as it is called, spaces and all (`Model Size (M)*1e6`): the longest column that fits is meant;
backticks settle doubts.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.table.cells import Numbers, is_empty, read_numbers
from analysis.table.grammar import TRUTH, ExpressionError, Node
from analysis.table.grammar import parse as parse_tree
from analysis.table.numbers import Role

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Columns = Mapping[str, Sequence[Any]]

_APPLY: dict[str, Callable[..., Any]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "%": np.mod,
    "**": np.power,
    "log": np.log,
    "ln": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "exp": np.exp,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "min": np.minimum,
    "max": np.maximum,
}
_COMPARE: dict[str, Callable[..., Any]] = {
    "==": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}


@dataclass(frozen=True)
class Expression:
    """A parsed expression over columns."""

    text: str
    root: Node

    @property
    def columns(self) -> list[str]:
        """The columns that are read, each once."""
        return self.root.columns()

    @property
    def column(self) -> str | None:
        """The column, where the expression is one as it is."""
        return str(self.root.value) if self.root.kind == "column" else None

    def numbers(self, columns: Columns, *, role: Role = "real", decimal: str = ".") -> Numbers:
        """The value in each row (n,), NaN where a cell is empty, and why others could not be computed.

        Args:
            role: what the result is. Cells such as `21M` of a size are read under an expression too; a factor
                does not apply to them, for their suffix says the unit.
            decimal: the decimal mark of the source.
        """
        if self.column is not None:
            return read_numbers(columns[self.column], role=role, decimal=decimal)
        read = {name: read_numbers(columns[name], decimal=decimal) for name in self.columns}
        sizes = read.items() if role == "size" else ()
        suffixed = {name: _read_suffixes(columns[name], found, decimal) for name, found in sizes}
        values = {name: found.values for name, found in read.items()}
        reasons = {i: why for found in read.values() for i, why in found.reasons.items()}
        n = max(len(cells) for cells in values.values())
        with np.errstate(all="ignore"):
            result = np.broadcast_to(_arithmetic(self.root, values), (n,))
        if factor := _factor_of(self.root):
            own = suffixed.get(self.columns[0], {})
            result = result.copy()
            result[list(own)] = list(own.values())
        empty = np.isnan(list(values.values())).any(axis=0)
        for i in np.flatnonzero(~np.isfinite(result) & ~empty).tolist():
            cells = ", ".join(f"{name} {column[i]:g}" for name, column in values.items())
            reasons[i] = f"not a finite number: {self.text} where {cells}"
        notes = [note for found in read.values() for note in found.notes]
        for name, own in suffixed.items():
            if own:
                cell = str(columns[name][min(own)]).strip()
                unscaled = f", to which the factor {factor:g} is not applied" if factor else ""
                notes.append(f"{len(own)} cells such as {cell!r} state their own unit{unscaled}")
        return Numbers(np.where(np.isfinite(result), result, np.nan), reasons, notes)

    def holds(self, columns: Columns) -> tuple[Mask, Mask]:
        """Where the condition holds (n,), and where a cell it reads is empty; such a comparison is false.

        Raises:
            ExpressionError: where a column of text is compared with a number, or used as a truth value.
        """
        n = max((len(columns[name]) for name in self.columns), default=0)
        empty = np.zeros(n, dtype=bool)
        for name in self.columns:
            empty |= np.fromiter(map(is_empty, columns[name]), dtype=bool, count=n)
        with np.errstate(all="ignore"):
            return np.broadcast_to(_truth(self.root, columns, n), (n,)), empty


def parse(text: str, names: Sequence[str], *, condition: bool = False) -> Expression:
    """Parse a mapping, or a condition.

    Args:
        names: the columns that may be named.
        condition: comparisons joined by and, or, not; else arithmetic.

    Raises:
        ExpressionError: with the position, what was expected there, and what may be written.
    """
    text = text.strip()
    return Expression(text, parse_tree(text, names, condition=condition))


def scaled(column: str, factor: float) -> Expression:
    """A column times a factor."""
    if factor == 1.0:
        return Expression(column, Node("column", column))
    root = Node("*", parts=(Node("column", column), Node("number", factor)))
    return Expression(f"{column}*{factor:g}", root)


def _read_suffixes(cells: Sequence[Any], found: Numbers, decimal: str) -> dict[int, float]:
    """Read cells that are no plain numbers as sizes, `21M`, put them among the values, and return them."""
    rows = sorted(found.reasons)
    sizes = read_numbers([cells[i] for i in rows], role="size", decimal=decimal)
    own = {i: float(v) for i, v in zip(rows, sizes.values, strict=True) if np.isfinite(v)}
    for i, value in own.items():
        found.values[i] = value
        del found.reasons[i]
    return own


def _factor_of(root: Node) -> float:
    """The factor of `column*1e6` or `1e6*column`; 0 of every other expression."""
    kinds = [part.kind for part in root.parts]
    if root.kind != "*" or sorted(kinds) != ["column", "number"]:
        return 0.0
    return float(root.parts[kinds.index("number")].value)


def _arithmetic(node: Node, columns: Mapping[str, Array]) -> Any:
    if node.kind == "number":
        return np.float64(node.value)
    if node.kind == "column":
        return columns[node.value]
    first, *rest = (_arithmetic(part, columns) for part in node.parts)
    apply = _APPLY[node.kind]
    return functools.reduce(apply, rest, first) if rest else apply(first)


def _truth(node: Node, columns: Columns, n: int) -> Any:
    if node.kind == "column":
        return _compare("==", node, Node("truth", True), columns)
    if node.kind == "not":
        return ~_truth(node.parts[0], columns, n)
    if node.kind in ("and", "or"):
        join = np.logical_and if node.kind == "and" else np.logical_or
        return join.reduce([np.broadcast_to(_truth(part, columns, n), (n,)) for part in node.parts])
    if node.kind == "in":
        left, *others = node.parts
        return np.logical_or.reduce([_compare("==", left, other, columns) for other in others])
    left, right = node.parts
    return _compare(node.kind, left, right, columns)


def _compare(sign: str, left: Node, right: Node, columns: Columns) -> Any:
    """Compare as truth values, text or numbers, by what is written; two columns as numbers if both are."""
    kinds = {left.kind, right.kind}
    sides = (left, right)
    if "truth" in kinds:
        read: Callable[[Node, Columns], Any] = _truth_cells
    elif "text" in kinds or (kinds == {"column"} and not all(_numeric(columns[s.value]) for s in sides)):
        read = _text_cells
    else:
        read = _number_cells
    (a, no_a), (b, no_b) = (read(side, columns) for side in sides)
    return np.asarray(_COMPARE[sign](a, b), dtype=bool) & ~(no_a | no_b)


def _number_cells(node: Node, columns: Columns) -> tuple[Any, Any]:
    read = {}
    for name in node.columns():
        if not _numeric(columns[name]):
            text = next(str(cell) for cell in columns[name] if not is_empty(cell))
            raise ExpressionError(f"{name!r} holds text such as {text!r}; compare it with a text in quotes.")
        read[name] = read_numbers(columns[name]).values
    values = _arithmetic(node, read)
    return values, np.isnan(values)


def _text_cells(node: Node, columns: Columns) -> tuple[Any, Any]:
    if node.kind == "column":
        cells = columns[node.value]
        texts = np.array([_as_text(cell) for cell in cells], dtype=object)
        return texts, np.fromiter(map(is_empty, cells), dtype=bool, count=len(cells))
    if node.kind != "text":
        raise ExpressionError("a text is compared with a column or another text, not with a number.")
    return node.value, False


def _truth_cells(node: Node, columns: Columns) -> tuple[Any, Any]:
    if node.kind == "truth":
        return node.value, False
    if node.kind != "column":
        raise ExpressionError("true and false are compared with a column.")
    cells = [truth_of(cell) for cell in columns[node.value]]
    for cell, value in zip(columns[node.value], cells, strict=True):
        if value is None and not is_empty(cell):
            raise ExpressionError(f"{node.value!r} holds {cell!r}, neither true nor false; use ==.")
    return np.array([bool(cell) for cell in cells]), np.array([cell is None for cell in cells])


def truth_of(cell: Any) -> bool | None:
    """True or False of a cell that says so (true, False, 1, 0, yes, no), else None."""
    word = _as_text(cell).casefold()
    return {**TRUTH, "1": True, "0": False, "yes": True, "no": False}.get(word)


def _as_text(cell: Any) -> str:
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell).strip()


def _numeric(cells: Sequence[Any]) -> bool:
    """Whether most cells that say something are numbers."""
    values, reasons, _ = read_numbers(cells)
    return len(reasons) <= int(np.isfinite(values).sum())
