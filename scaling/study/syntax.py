"""Syntax trees of source files: what they import, and their text without what computes nothing."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from functools import cache


@cache
def parse(source: bytes) -> ast.Module:
    return ast.parse(source)


@cache
def imports_of(source: bytes) -> list[tuple[int, str, list[str]]]:
    """(leading dots, module, names) of every import."""
    found: list[tuple[int, str, list[str]]] = []
    for node in _statements(parse(source)):
        if isinstance(node, ast.Import):
            found += [(0, alias.name, []) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append((node.level, node.module or "", [alias.name for alias in node.names]))
    return found


def _statements(node: ast.AST) -> Iterator[ast.stmt]:
    """Every statement below a node; expressions, nine tenths of a tree, hold none."""
    for field in ("body", "orelse", "finalbody", "handlers", "cases"):
        inner = getattr(node, field, ())
        for one in inner if isinstance(inner, list) else ():
            if isinstance(one, ast.stmt):
                yield one
            yield from _statements(one)


@cache
def text_of(source: bytes) -> str:
    """The syntax tree of a module in one line."""
    parts: list[str] = []
    write(parse(source), parts.append)
    return "".join(parts)


def write(node: object, put: Callable[[str], object]) -> None:
    """Serialise a syntax tree without places, docstrings and what is empty, which Python versions add to."""
    if isinstance(node, ast.AST):
        put(f"{type(node).__name__}(")
        for name in node._fields:
            value = getattr(node, name, None)
            if name == "body" and isinstance(value, list):
                value = _without_docstring(value)
            if value is not None and value != []:
                put(f"{name}=")
                write(value, put)
        put(")")
    elif isinstance(node, list):
        put("[")
        for item in node:
            write(item, put)
        put("]")
    else:
        put(f"{node!r},")


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0] if body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        return body[1:] if isinstance(first.value.value, str) else body
    return body
