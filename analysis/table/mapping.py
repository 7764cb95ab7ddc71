"""Whose column is whose: the documented names, the few aliases that can mean one thing only, and mappings.

A mapping says `ours=theirs`, on the command line, in a dict or in a small YAML or JSON file. Theirs is a
column, or an expression that brings the numbers to our units: `params=Model Size (M)*1e6`, `loss=log(ppl)`.
"""

from __future__ import annotations

import difflib
import json
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from analysis.table.cells import Numbers
from analysis.table.columns import FLAGS, KNOWN, TEXTS, means, plain, without_embedding
from analysis.table.expressions import Expression, parse, scaled
from analysis.table.grammar import ExpressionError
from analysis.table.numbers import role_of
from analysis.table.raw import Raw
from analysis.table.suggest import Offer, same_numbers, suggest, why_not

Columns = Mapping[str, object] | Sequence[str] | str | Path

# Where two columns could be one of these, the choice changes a fit, so it is asked for.
_ASKED = ("params", "tokens", "tokens_unique", "flops", "loss", "status", "run_id", "trunk_id")


@dataclass(frozen=True)
class Origin:
    """Where one of our columns comes from: a column of the source as it is, or an expression over columns."""

    expression: Expression

    @classmethod
    def of(cls, column: str) -> Origin:
        """A column as it is."""
        return cls(scaled(column, 1.0))

    @property
    def column(self) -> str | None:
        """The column, where it is taken as it is."""
        return self.expression.column

    def numbers(self, ours: str, raw: Raw) -> Numbers:
        """The numbers of one of our columns in each row of the source."""
        return self.expression.numbers(raw.columns, role=role_of(ours), decimal=raw.decimal)

    def __str__(self) -> str:
        return repr(self.column) if self.column is not None else self.expression.text


@dataclass
class Resolved:
    """Our columns and where each comes from, and what the reader should know of that."""

    origins: dict[str, Origin]
    notes: list[str] = field(default_factory=list)


def parse_columns(columns: Columns | None, present: Sequence[str]) -> dict[str, Origin]:
    """An explicit mapping {ours: origin} from a dict, `ours=theirs` strings, or a YAML or JSON file.

    Raises:
        ValueError: a name that is not ours, a column that is not there, or a mapping that cannot be read.
    """
    mapping: dict[str, Origin] = {}
    for ours, theirs in _pairs(columns):
        if ours not in KNOWN:
            near = difflib.get_close_matches(ours, KNOWN, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"column mapping: {ours!r} is not a column of the table.{hint} "
                f"The columns are {', '.join(KNOWN)}."
            )
        if ours in mapping:
            raise ValueError(f"column mapping: {ours!r} is given twice, from {mapping[ours]} and {theirs!r}.")
        mapping[ours] = _origin(ours, theirs, present)
        if mapping[ours].column is None and ours in TEXTS:
            raise ValueError(
                f"column mapping: {ours!r} holds text and takes a column as it is; got {theirs!r}."
            )
    return mapping


def resolve(columns: Columns | None, raw: Raw) -> Resolved:
    """Find the origin of every column of ours that the source has: mapped, equal in name, or an alias.

    An alias is believed unless its values say otherwise: `L` may count layers, `D` may be a width.

    Raises:
        ValueError: when two columns could be the same one of ours, or the source has no loss, or nothing that
            the loss is a function of: naming the columns present and the mapping to type.
    """
    present = list(raw.columns)
    given = parse_columns(columns, present)
    found = Resolved(dict(given))
    refused: dict[str, str] = {}
    for ours in KNOWN:
        if ours not in found.origins:
            _find(ours, raw, found, refused)
    found.notes += [f"{reason}: not read as {ours}" for ours, reason in refused.items()]
    _add_budget(raw, found)
    if (
        "x" in present
        and "loss" in found.origins
        and not {"params", "tokens", "flops", "x"} & set(found.origins)
    ):
        found.origins["x"] = Origin.of("x")
    missing = _missing(found.origins, given, raw)
    if missing:
        raise ValueError(_no_column(missing, raw, found, refused))
    return found


def _find(ours: str, raw: Raw, found: Resolved, refused: dict[str, str]) -> None:
    taken = _taken(found.origins)
    candidates = []
    for name, cells in raw.columns.items():
        if name in taken or not (means(name, ours) or (ours == "status" and plain(name) in FLAGS)):
            continue
        reason = why_not(name, cells, ours, raw)
        if reason and plain(name) not in FLAGS:
            refused[ours] = reason
        elif not reason:
            candidates.append(name)
    if ours == "status":  # a column of states says more than one of truth values
        candidates = [name for name in candidates if plain(name) not in FLAGS] or candidates
    first = [name for name in candidates if plain(name) == ours] or candidates
    others = [
        n for n in candidates if n != first[0] and not same_numbers(raw.columns[n], raw.columns[first[0]])
    ]
    if others and ours in _ASKED:
        theirs = sorted(candidates, key=without_embedding, reverse=True)[0] if ours == "params" else first[0]
        hint = " N is without the embedding here." if without_embedding(theirs) else ""
        raise ValueError(
            f"{raw.source}: {ours!r} could be any of {', '.join(map(repr, candidates))}. "
            f"Say which one, e.g. --columns {_typed(ours, theirs)}.{hint}"
        )
    if others and plain(first[0]) != ours:
        found.notes.append(f"{ours} could be any of {', '.join(map(repr, candidates))}: none is used")
    elif candidates:
        found.origins[ours] = Origin.of(first[0])


def _add_budget(raw: Raw, found: Resolved) -> None:
    """Take a column `budget` for compute where it is about 6 N D; it may be one of tokens, or of money."""
    names = [name for name in raw.columns if plain(name) in ("budget", "c_budget")]
    if "flops" in found.origins or len(names) != 1 or not {"params", "tokens"} <= set(found.origins):
        return
    params, tokens = (found.origins[name].numbers(name, raw).values for name in ("params", "tokens"))
    budget = Origin.of(names[0]).numbers("flops", raw).values
    with np.errstate(all="ignore"):
        ratio = budget / (6 * params * tokens)
    ratio = ratio[np.isfinite(ratio)]
    if len(ratio) and 0.3 < np.median(ratio) < 3 and np.mean((ratio > 0.1) & (ratio < 10)) > 0.9:
        found.origins["flops"] = Origin.of(names[0])
        found.notes.append(f"{names[0]!r} is read as flops: it is about 6 N D")


def _missing(origins: Mapping[str, Origin], given: Mapping[str, Origin], raw: Raw) -> list[str]:
    """What a fit still needs: a loss, and something that it is a function of."""
    have = set(origins)
    missing = [] if "loss" in have else ["loss"]
    if "x" in have or {"params", "tokens"} <= have or {"params", "flops"} <= have:
        return missing
    if "flops" in have:  # (C, loss) is a compute frontier, if no column could be N or D
        taken = _taken(origins)
        others = "tokens" in have or suggest("params", raw, taken) or suggest("tokens", raw, taken)
        frontier = "flops" in given or not others
        return missing if frontier else ["params", *missing]
    if "params" not in have:
        missing.insert(0, "params")
    return missing if "tokens" in have else [*missing, "tokens (or flops)"]


def _no_column(missing: Sequence[str], raw: Raw, found: Resolved, refused: Mapping[str, str]) -> str:
    """Say what is missing, which columns may be it, and the mapping to type."""
    taken = _taken(found.origins)
    said, typed = [f"{raw.source}: no column for {', '.join(missing)}."], []
    said += [f"{refused[ours]}, so it was not read as {ours}." for ours in refused if _short(missing, ours)]
    for ours in [name.split()[0] for name in missing]:
        offers = suggest(ours, raw, taken)
        if ours == "params" and {"tokens", "flops"} <= set(found.origins):
            D, C = (_bracketed(found.origins[name].expression.text) for name in ("tokens", "flops"))
            offers.append(Offer(f"{C}/(6*{D})", (), "by C = 6 N D"))
        if offers:
            said.append(f"{ours} may be {'; '.join(f'{o.text} ({o.why})' for o in offers[:4])}.")
            typed.append(f"{ours}={offers[0].text}")
            taken = [*taken, *offers[0].columns]
    typed = typed or [f"{missing[0].split()[0]}=NAME"]
    said += [
        describe(list(raw.columns)),
        f"Map them, e.g. --columns {shlex.join(typed)} on the command line,",
    ]
    said.append(f"columns={typed!r} in Python, or a YAML file of `ours: theirs` lines;")
    said.append("an expression brings other units in: params=NAME*1e6, loss=log(NAME).")
    if "flops" in found.origins and "params" in missing:
        theirs = found.origins["flops"]
        said.append(
            f"For a law of compute alone, name it: --columns {_typed('flops', theirs.expression.text)}."
        )
    elif "loss" in found.origins and len(missing) > ("params" not in found.origins):
        known = [name for name in ("params", "tokens") if name in found.origins]
        one = found.origins[known[0]].expression.text if known else typed[0].partition("=")[2]
        said.append(f"For a curve of one input: --columns {_typed('x', one)}.")
    return " ".join(said)


def _taken(origins: Mapping[str, Origin]) -> list[str]:
    """Columns that one of ours says all of; those of `steps*batch` are still columns of their own."""
    read = [origin.expression.columns for origin in origins.values()]
    return [names[0] for names in read if len(names) == 1]


def _bracketed(text: str) -> str:
    return text if re.fullmatch(r"[\w. ]+", text) else f"({text})"


def _short(missing: Sequence[str], ours: str) -> bool:
    return any(ours in name for name in missing)


def _typed(ours: str, theirs: str) -> str:
    """A mapping as it is typed into a shell."""
    return shlex.quote(f"{ours}={theirs}")


def _origin(ours: str, theirs: object, present: Sequence[str]) -> Origin:
    """`Name`, an expression, or {"column": "Name", "factor": 1e6}."""
    if isinstance(theirs, Mapping):
        extra = sorted(set(theirs) - {"column", "factor"})
        if "column" not in theirs or extra:
            raise ValueError(f"column mapping: an entry is {{column, factor}}; got {dict(theirs)!r}.")
        column, factor = str(theirs["column"]), _factor(theirs.get("factor", 1.0), theirs)
        if column in present:
            return Origin(scaled(column, factor))
        theirs = column
    try:
        return Origin(parse(str(theirs), present))
    except ExpressionError as error:
        if plain(str(theirs)) and re.fullmatch(r"[\w ./-]+", str(theirs)):
            near = difflib.get_close_matches(str(theirs), present, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"column mapping: {ours}={theirs} names a column that is not there.{hint} {describe(present)}"
            ) from error
        raise ValueError(f"column mapping: {ours}={theirs}: {error}") from error


def describe(present: Sequence[str]) -> str:
    """The columns present, in one sentence of bounded length."""
    shown = ", ".join(repr(name) for name in present[:40])
    more = f" and {len(present) - 40} more" if len(present) > 40 else ""
    return f"Columns present: {shown or 'none'}{more}."


def _factor(value: Any, entry: object) -> float:
    try:
        factor = float(value)
    except (TypeError, ValueError):
        factor = 0.0
    if not 0.0 < factor < float("inf"):
        raise ValueError(f"column mapping: a factor is a positive number, as in NAME*1e6; got {entry!r}.")
    return factor


def _pairs(columns: Columns | None) -> Iterable[tuple[str, object]]:
    if columns is None:
        return []
    if isinstance(columns, Mapping):
        return [(str(ours), theirs) for ours, theirs in columns.items()]
    if isinstance(columns, str | Path):
        if Path(columns).suffix in (".yaml", ".yml", ".json"):
            return _pairs(_read_mapping(Path(columns)))
        columns = [str(columns)]
    pairs: list[tuple[str, object]] = []
    for text in columns:
        ours, equals, theirs = text.partition("=")
        if not equals or not theirs.strip():
            raise ValueError(f"column mapping: write ours=theirs, as in 'params=Model Size'; got {text!r}.")
        pairs.append((ours.strip(), theirs.strip()))
    return pairs


def _read_mapping(path: Path) -> Mapping[str, object]:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        body = json.loads(text)
    else:
        try:
            import yaml  # type: ignore[import-untyped]  # lazy: not in the base install
        except ImportError as error:
            raise ValueError(
                f"{path}: reading YAML needs `pip install pyyaml`; a .json file works without."
            ) from error
        try:
            body = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ValueError(f"{path}: not YAML: {error}") from error
    if not isinstance(body, Mapping):
        raise ValueError(f"{path}: a column mapping is `ours: theirs` lines; got {type(body).__name__}.")
    return body
