"""The settings of a run's spec as columns, so that what was decided about a run can separate it from
others."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

from scaling.records.record import RunRecord

# Names that mean something else in a table: `loss` is held-out, `precision` is what a run was trained in.
_RENAMED = {"loss": "training_loss", "precision": "precision_asked"}
_COLUMNS = (
    {f.name for f in fields(RunRecord)}
    | {"heldout", "data_mixture"}
    | {"data_corpus", "data_vocab", "data_context"}
)
# Options that a spec leaves out at their default.
_DEFAULTS = {
    "parametrisation": "standard",
    "training_loss": "cross_entropy",
    "optimizer": "adamw",
    "cooldown_shape": "sqrt",
    "cooldown_floor": 0.0,
}
_NAMED = ("optimizer_settings", "schedule_settings")  # pairs (name, number): a column each
# Options of a transformer, likewise; those that follow from the width have no default to name.
_TRANSFORMERS = ("decoder", "masked", "moe")
_OPTIONS: dict[str, Any] = {
    "norm": "layer",
    "mlp": "gelu",
    "mlp_ratio": 4.0,
    "heads": "auto",
    "head_width": "auto",
    "kv_heads": "auto",
    "qk_norm": False,
    "positions": "rotary",
    "shift": False,
    "tied": False,
}


def spec_columns(specs: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Flatten specs: one column per setting that the records have no column for, None where a spec lacks it.

    Sizes of a model beside width and depth are columns of their own. Settings of the data carry the prefix
    `data_`; lists and dicts become JSON. `continued` says whether a run went on from the state of another.
    """
    flat = [_flatten(spec) if spec else {} for spec in specs]
    names = dict.fromkeys(name for settings in flat for name in settings)
    for spec, settings in zip(specs, flat, strict=True):
        trunk = spec.get("trunk")
        if isinstance(trunk, Mapping) and trunk.get("family") in _TRANSFORMERS:
            settings |= {n: _OPTIONS[n] for n in names if n in _OPTIONS and n not in settings}
    return {name: [settings.get(name) for settings in flat] for name in names}


def set_columns(records: Sequence[RunRecord]) -> dict[str, list[Any]]:
    """One column per number of each held-out set and domain: `loss_code`, `loss_code_se`, `tokens_code`, …

    `decay_tau` is tau, where there is any: strangers mean many things by that letter.
    """
    flat = [
        {_set_column(name, key): value for name, one in record.losses.items() for key, value in one.items()}
        | {f"{key}_{name}": value for name, one in record.domains.items() for key, value in one.items()}
        | ({} if record.tau is None else {"decay_tau": record.tau})
        for record in records
    ]
    names = dict.fromkeys(name for numbers in flat for name in numbers)
    return {name: [numbers.get(name) for numbers in flat] for name in names}


def _set_column(name: str, key: str) -> str:
    if key == "tokens":  # that were predicted
        return f"heldout_tokens_{name}"
    return f"loss_{name}_se" if key == "loss_se" else f"{key}_{name}"


def _flatten(spec: Mapping[str, Any]) -> dict[str, Any]:
    settings = _DEFAULTS | dict(_settings(spec))
    return settings | {"continued": bool(settings.get("origin"))}


def _settings(spec: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in spec.items():
        if isinstance(value, Mapping) and key in ("trunk", "data"):
            yield from _settings(value, "data_" if key == "data" else "")
            continue
        if key in _NAMED and _are_pairs(value):
            yield from ((f"{key.partition('_')[0]}_{name}", number) for name, number in value)
            continue
        if key == "sizes" and _are_pairs(value):
            yield from ((f"model_{size}" if size in _COLUMNS else size, found) for size, found in value)
            continue
        name = f"{prefix}{key}" if prefix else _RENAMED.get(key, key)
        if name not in _COLUMNS:
            plain = not isinstance(value, Mapping | list | tuple)
            yield name, value if plain else json.dumps(value, sort_keys=True)


def _are_pairs(value: Any) -> bool:
    """Whether a value is what we write there; records of other programs may hold anything."""
    return isinstance(value, list | tuple) and all(
        isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[0], str) for pair in value
    )
