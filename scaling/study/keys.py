"""Which keys the schema has, and which one was meant."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Iterator
from dataclasses import is_dataclass
from enum import Enum
from functools import cache
from typing import Any

from scaling.study.config import RateRule, RunConfig, schema

SAME = {  # other people's names for ours
    "batch": "training.sequences",
    "batch_size": "training.sequences",
    "steps": "budget.tokens",
    "max_steps": "budget.tokens",
    "epochs": "budget.tokens",
    "warmup": "training.warmup_steps",
    "opt": "optimizer.name",
    "optim": "optimizer.name",
    "grad_clip": "training.clip",
    "seq_len": "data.context",
    "vocab_size": "data.vocab",
}
# Names of registries, as completion shows them: to look them up there would import PyTorch. A test compares.
NAMED = {
    "training.schedule": ("trunk", "cosine", "linear", "inverse_sqrt", "power"),
    "training.cooldown_shape": ("sqrt", "linear", "cosine"),
    "optimizer.name": ("adamw", "muon", "sgd", "adafactor", "schedule_free"),
}
REPEATS = ("repeat", "repeats", "repeat_num", "seeds", "num_seeds", "n_seeds", "replicates", "trial")


def sections() -> frozenset[str]:
    """The first-level keys that hold others, and so may be chosen as a config group: model, data, …"""
    return frozenset(name for name, kind in _fields(RunConfig) if is_dataclass(kind) or _of_dict(kind))


def is_key(key: str) -> bool:
    """Whether the schema has this dotted key."""
    kind: Any = schema()
    for name in key.split("."):
        kind = _inside(kind, name)
        if kind is None:
            return False
    return True


def lies_in_dict(key: str) -> bool:
    """Whether a key of a section is, or is inside of, a dict of the schema, whose entries a person names."""
    kind: Any = RunConfig
    names = key.split(".")
    for name in names[:2]:
        kind = _inside(kind, name)
    return len(names) > 1 and typing.get_origin(kind) is dict and names[0] != "rates"


def choices(key: str) -> list[str]:
    """The values that a key can have where there are only a few: of an Enum, or true and false; else none."""
    if key in NAMED:
        return list(NAMED[key])
    whole: Any = RunConfig
    for name in key.split("."):
        whole = _inside(whole, name)
    found: list[str] = []
    for kind in (whole, *typing.get_args(whole)):  # an optional one is a union with None
        if isinstance(kind, type) and issubclass(kind, Enum):
            found += [member.name for member in kind]
        elif kind is bool:
            found += ["true", "false"]
        elif kind is type(None):
            found.append("null")
    return found if len(found) > 1 else []


def explain_unknown(key: str) -> str:
    """One sentence about a key that the schema does not have, with the nearest one that it has."""
    section, _, name = key.rpartition(".")
    start = f"{section} has no key {name}" if section and is_key(section) else f"no key {key}"
    if name in REPEATS:
        return f"{start}; for repeats sweep seed=0,1,2"
    if section.startswith("rates."):
        rule = [n for n, _ in _fields(RateRule)]
        family = section.removeprefix("rates.")
        if name in NAMED["optimizer.name"]:
            shown = f"'rates={{{family}.{name}: {{{rule[0]}: VALUE}}}}'"
            return f"{start}; the rule of one optimizer is set as {shown}"
        close = difflib.get_close_matches(name, rule, 1)
        return f"{start}; did you mean {close[0]}?" if close else f"{start}; there are {', '.join(rule)}"
    near = nearest(key)
    if near is not None:
        return f"{start}; did you mean {near}?"
    beside = [k.rpartition(".")[2] for k in all_keys() if k.rpartition(".")[0] == section]
    known = beside or ["study", *(name for name, _ in _fields(RunConfig))]
    return f"{start}; there are {', '.join(known)}"


def nearest(key: str) -> str | None:
    """The key of the schema that was most likely meant: the same name elsewhere, an abbreviation, a typo."""
    section, _, name = key.rpartition(".")
    if name in SAME:
        return SAME[name]
    # Of equals, one in the section that was named comes first.
    others = [*(k for k in all_keys() if k != section), "study"]
    known = sorted(others, key=lambda k: (k.rpartition(".")[0] != section, k.count(".")))
    last = {k: k.rpartition(".")[2] for k in known}
    for fits in (
        lambda k: last[k] == name,
        lambda k: "".join(word[0] for word in last[k].split("_")) == name and len(name) > 1,
        lambda k: k in difflib.get_close_matches(key, known, 1, 0.8),
        lambda k: last[k] in difflib.get_close_matches(name, list(last.values()), 1, 0.75),
        lambda k: len(name) > 3 and name in last[k],
        lambda k: k in difflib.get_close_matches(key, known, 1, 0.6),
    ):
        found = next(filter(fits, known), None)
        if found is not None:
            return found
    return None


def all_keys() -> tuple[str, ...]:
    """Every key of the schema that has a name of its own, sections included."""
    kind: Any = schema()
    return _all_keys(kind)


@cache
def _all_keys(kind: type) -> tuple[str, ...]:
    return tuple(_walk(kind, ""))


def _walk(kind: type, prefix: str) -> Iterator[str]:
    for name, inner in _fields(kind):
        yield prefix + name
        if isinstance(inner, type) and is_dataclass(inner):
            yield from _walk(inner, f"{prefix}{name}.")


@cache
def _fields(kind: type) -> tuple[tuple[str, Any], ...]:
    return tuple(typing.get_type_hints(kind).items())


def _of_dict(kind: Any) -> Any:
    """What the values of a dict are; None of anything else."""
    return typing.get_args(kind)[1] if typing.get_origin(kind) is dict else None


def _inside(kind: Any, name: str) -> Any:
    """What a key inside a value of this kind holds; None where there is no such key."""
    if isinstance(kind, type) and is_dataclass(kind):
        return dict(_fields(kind)).get(name)
    if typing.get_origin(kind) is list and name.isdigit():
        return typing.get_args(kind)[0]
    return _of_dict(kind)
