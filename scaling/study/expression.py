"""Arithmetic on names, as `12*depth*width**2`: parsed as Python's grammar, evaluated by hand, never `eval`.

Everything is a float, so that no text can grow without bound.
"""

from __future__ import annotations

import ast
import difflib
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

LONGEST = 1000  # characters

_BINARY: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_FUNCTIONS: dict[str, Callable[..., float]] = {
    "min": min,
    "max": max,
    "abs": abs,
    "sqrt": math.sqrt,
    "log": math.log,
    "log2": math.log2,
    "log10": math.log10,
    "exp": math.exp,
    "round": round,
    "floor": math.floor,
    "ceil": math.ceil,
}


class ExpressionError(ValueError):
    """A text that is no arithmetic, or one that has no value."""


def names_in(text: str) -> list[str]:
    """Return the names that an expression reads, each once.

    Raises:
        ExpressionError: for what is no arithmetic.
    """
    tree = _parse(text)
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    found = (n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and id(n) not in called)
    return list(dict.fromkeys(found))


def evaluate(text: str, values: Mapping[str, Any]) -> float:
    """Return the value of an expression, a finite number.

    Raises:
        ExpressionError: for what is no arithmetic, a name that `values` lacks or that is not a number, and
        for a
            value that is not finite.
    """
    tree = _parse(text)
    try:
        found = float(_value(tree, values, text))
    except ExpressionError:
        raise
    except (ArithmeticError, ValueError, TypeError) as error:
        raise ExpressionError(f"{text!r} has no value here: {error}.") from error
    if not math.isfinite(found):
        raise ExpressionError(f"{text!r} is {found} here; a finite number is needed.")
    return found


def unknown_name(name: str, known: Iterable[str]) -> str:
    """Return the sentence about a name that is not known: the nearest one, and all."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, 1)
    return f"no name {name!r}{f'; did you mean {near[0]!r}?' if near else ''} There are {', '.join(known)}"


def _parse(text: str) -> ast.expr:
    if len(text) > LONGEST:
        raise ExpressionError(f"an expression has at most {LONGEST} characters; this one has {len(text)}.")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        _check(tree, text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        if isinstance(error, ExpressionError):
            raise
        raise ExpressionError(f"{text!r} is not arithmetic: {getattr(error, 'msg', error)}.") from error
    return tree


def _check(node: ast.expr, text: str) -> None:
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        _check(node.left, text)
        _check(node.right, text)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        _check(node.operand, text)
    elif isinstance(node, ast.Call):
        name = node.func.id if isinstance(node.func, ast.Name) else ast.unparse(node.func)
        if name not in _FUNCTIONS or node.keywords:
            raise ExpressionError(f"{text!r}: no function {name!r}; there are {', '.join(_FUNCTIONS)}.")
        for argument in node.args:
            _check(argument, text)
    elif not isinstance(node, ast.Name) and not _is_number(node):
        raise ExpressionError(
            f"{text!r}: {ast.unparse(node)!r} is neither a number, a name nor arithmetic on them."
        )


def _is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) in (int, float)


def _value(node: ast.expr, values: Mapping[str, Any], text: str) -> float:
    if isinstance(node, ast.BinOp):
        left, right = (_value(part, values, text) for part in (node.left, node.right))
        return _BINARY[type(node.op)](left, right)
    if isinstance(node, ast.UnaryOp):
        value = _value(node.operand, values, text)
        return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.Call):
        assert isinstance(node.func, ast.Name)
        return _FUNCTIONS[node.func.id](*(_value(part, values, text) for part in node.args))
    if isinstance(node, ast.Name):
        if node.id not in values:
            raise ExpressionError(f"{text!r}: {unknown_name(node.id, values)}.")
        found = values[node.id]
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise ExpressionError(f"{text!r}: {node.id} is {found!r}, which is not a number.")
        return float(found)
    assert isinstance(node, ast.Constant)
    return float(node.value)  # type: ignore[arg-type]
