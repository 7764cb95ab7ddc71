"""A trunk and its runs as viewers show them: one flat shape of config, for W&B and TensorBoard alike."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from typing import Any

from scaling.study.command import CommandSpec
from scaling.study.spec import Trunk, TrunkSpec
from scaling.training.observer import Kind

RENAMED = {"loss": "loss_function"}  # in a table, `loss` is what was measured


@dataclass(frozen=True)
class Described:
    """What is known of a trunk or a run before it trains."""

    kind: Kind
    config: Mapping[str, Any]  # the same keys for both kinds; N is `params`, D is `tokens`
    steps: int  # that it trains itself


def own_steps(trunk: Trunk) -> dict[str, int]:
    """Steps that a trunk and each of its runs train themselves, by id."""
    return {trunk.spec.id: trunk.last_step, **{run.id: run.cooldown_steps for run in trunk.runs}}


def describe_all(trunks: Iterable[Trunk]) -> dict[str, Described]:
    """Describe every trunk and run, by id."""
    found = {}
    for trunk in trunks:
        spec, steps = trunk.spec, own_steps(trunk)
        recipe = _recipe(spec)
        for run in trunk.runs:
            known = {**recipe, **_decided(trunk, run.id), "kind": "run", "tokens": run.tokens}
            config = {**known, "flops": _plain(trunk.flops_per_token * run.tokens)}
            found[run.id] = Described("run", config, steps[run.id])
        tokens = spec.tokens(trunk.last_step)
        whole = {
            **found[trunk.runs[-1].id].config,
            "kind": "trunk",
            "run_id": spec.id,
            "steps": trunk.last_step,
            "cooldown_steps": 0,
            "tokens": tokens,
            "flops": _plain(trunk.flops_per_token * tokens),
        }
        found[spec.id] = Described("trunk", whole, steps[spec.id])
    return found


def _decided(trunk: Trunk, run_id: str) -> dict[str, Any]:
    run = next(run for run in trunk.runs if run.id == run_id)
    known = {key: _plain(value) for key, value in trunk.decided(run).items() if key != "spec"}
    return {**known, "evaluation_tokens": run.evaluation_tokens}


def _recipe(spec: TrunkSpec) -> dict[str, Any]:
    """Every field of a spec at the top level; those of the data with `data_` in front.

    Of a command: what it is told.
    """
    flat: dict[str, Any] = {}
    if isinstance(spec, CommandSpec):
        for name, value in spec.to_dict().items():
            flat |= _flat(RENAMED.get(name, name), value)
        return flat
    for field in fields(spec):
        value = getattr(spec, field.name)
        name = RENAMED.get(field.name, field.name)
        flat |= _flat(name, value)
    return flat


def _flat(name: str, value: Any) -> dict[str, Any]:
    """A value under its name; what has fields or keys of its own, as a key for each."""
    if is_dataclass(value):
        inner: Iterable[tuple[str, Any]] = [
            (field.name, getattr(value, field.name)) for field in fields(value)
        ]
    elif isinstance(value, Mapping):
        inner = value.items()
    elif isinstance(value, tuple) and value and all(_named(item) for item in value):
        inner = value  # settings of a spec are pairs, which can be hashed
    else:
        return {name: _plain(value)}
    return {key: item for part, held in inner for key, item in _flat(f"{name}_{part}", held).items()}


def _named(item: Any) -> bool:
    return isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str)


def _plain(value: Any) -> Any:
    """A value that JSON has; None for what only a result will tell."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value
