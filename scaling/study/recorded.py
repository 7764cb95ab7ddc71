"""A decided run, read back out of the record of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scaling.data.options import DataOptions, Domain
from scaling.records.record import PROGRAM, RunRecord
from scaling.study.spec import DataSpec, RunSpec, TrunkSpec


def read_spec(record: RunRecord) -> RunSpec:
    """The decided run, out of the plain data that its record holds.

    Raises:
        ValueError: for a run that another program has trained.
    """
    if PROGRAM in record.versions:
        raise ValueError(
            f"run {record.run_id} was trained by another program ({record.versions[PROGRAM]}): its model is "
            "not known here, only its losses are. Measure it with that program."
        )
    run: dict[str, Any] = dict(record.spec)
    trunk: dict[str, Any] = dict(run.pop("trunk"))
    data: dict[str, Any] = dict(trunk.pop("data"))
    data |= {key: tuple(data[key]) for key in ("paths", "id_paths") if key in data}
    if "mixture" in data:
        data["mixture"] = tuple(_domain(domain) for domain in data["mixture"])
    if "heldout" in run:
        run["heldout"] = _pairs(run["heldout"])
    data["settings"] = _pairs(data.get("settings", ()))
    for key in ("optimizer_settings", "schedule_settings", "batch_ramp", "sizes"):
        if key in trunk:
            trunk[key] = _pairs(trunk[key])
    trunk["extensions"] = tuple(trunk.get("extensions", ()))
    return RunSpec(trunk=TrunkSpec(data=DataSpec(**data), **trunk), **run)


def _domain(content: Mapping[str, Any]) -> Domain:
    options: dict[str, Any] = dict(content["options"])
    options["paths"] = tuple(options.get("paths", ()))
    options["settings"] = _pairs(options.get("settings", ()))
    return Domain(content["name"], content["weight"], content["max_epochs"], DataOptions(**options))


def _pairs(values: Any) -> tuple[tuple[Any, Any], ...]:
    """Pairs as a spec has them; JSON has made them lists."""
    return tuple((key, value) for key, value in values)
