"""Rows of a table that other programs have measured, as records: written once each, however often asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from scaling.records.record import PROGRAM, SCHEMA, RunRecord, read_study, spec_digest
from scaling.records.storage import (
    Lock,
    commit_record,
    join_plan,
    make_folder,
    new_attempt,
    safe_child,
    sweep_temps,
    write_spec_once,
)
from scaling.study.spec import readable
from scaling.trainers.values import record_fields, short_name

SPEC = "spec.json"
_COMPARED = ("params", "tokens", "flops", "loss", "loss_se", "bits_per_byte", "seed", "family", "spec")


@dataclass(frozen=True)
class Row:
    """One finished run of another program. Settings tell it from others; what was measured does not."""

    label: str  # where it stands, for messages
    arm: str
    params: int
    tokens: int
    loss: float
    name: str | None = None  # that its table gives it; else its settings are its identity
    trunk: str | None = None  # that it shares with other runs
    seed: int | None = None
    flops: float | None = None
    loss_se: float | None = None
    bits_per_byte: float | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    measured: Mapping[str, Any] = field(default_factory=dict)
    copy: int = 0  # of several rows that their settings do not tell apart

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What its id is a hash of."""
        known = {"family": self.arm, "params": self.params, "tokens": self.tokens, "seed": self.seed}
        found: dict[str, Any] = {"run": self.name} if self.name else {**known, **self.settings}
        return {**found, "copy": self.copy} if self.copy else found

    @property
    def run_id(self) -> str:
        """Of its record."""
        shape = f"{short_name(self.arm)}-{readable(self.params)}-{readable(self.tokens)}"
        return f"{short_name(self.name) if self.name else shape}-{spec_digest(self.identity)}"

    @property
    def trunk_spec(self) -> dict[str, Any]:
        """What the id of its trunk is a hash of."""
        return {"trunk": self.trunk if self.trunk else self.identity}

    @property
    def trunk_id(self) -> str:
        """Of its trunk, which is its own unless others share it."""
        shape = f"{short_name(self.arm)}-{readable(self.params)}"
        name = self.trunk or self.name
        return f"{short_name(name) if name else shape}-{spec_digest(self.trunk_spec)}"

    def record(self, study: str, program: str) -> RunRecord:
        """The record of this run."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        ideal = 6.0 * self.params * self.tokens
        return RunRecord(
            run_id=self.run_id,
            trunk_id=self.trunk_id,
            study=study,
            status="done",
            family=self.arm,
            params=self.params,
            tokens=self.tokens,
            flops=ideal if self.flops is None else self.flops,
            flops_6nd=ideal,
            loss=self.loss,
            loss_se=self.loss_se,
            bits_per_byte=self.bits_per_byte,
            seed=self.seed,
            seconds=None,
            attempts=1,
            started=now,
            finished=now,
            versions={PROGRAM: program},
            spec={**self.identity, **self.settings, **self.measured},
            **record_fields(self.settings),
        )


def import_runs(study: str | Path, rows: Sequence[Row], program: str) -> int:
    """Write a record for each row that has none yet, and return how many; none where one row is refused.

    Args:
        program: what made them, e.g. the name of the table.

    Raises:
        ValueError: for rows that contradict the record of their run, or that are a run which is there under
            another id.
        LockedError: when another process writes one of them.
    """
    study = Path(study)
    there = _records(study)
    records = [(row, row.record(study.resolve().name, program)) for row in rows]
    _refuse_changes(study, records, there)
    fresh = [(row, record) for row, record in records if record.run_id not in there]
    if not fresh:
        return 0
    planned = [
        {key: getattr(record, key) for key in ("run_id", "trunk_id", "family", "params", "tokens", "seed")}
        for _, record in fresh
    ]
    join_plan(study, {"study": study.resolve().name, "question": "", "schema": SCHEMA}, planned)
    for row, record in fresh:
        folder = make_folder(safe_child(study, record.trunk_id))
        with Lock(folder / "lock"):
            sweep_temps(folder)
            write_spec_once(folder / SPEC, row.trunk_spec)
            write_spec_once(make_folder(safe_child(folder, record.run_id)) / SPEC, row.identity)
            attempt = new_attempt(folder, {"versions": record.versions})
            commit_record(folder, record, attempt)
    return len(fresh)


def number_copies(rows: Sequence[Row]) -> list[Row]:
    """Number rows that only their results tell apart, in their order: replicates without a seed."""
    seen: dict[str, int] = {}
    found = []
    for row in rows:
        number = seen.get(row.run_id, 0)
        seen[row.run_id] = number + 1
        values = {key: getattr(row, key) for key in asdict(row)}
        found.append(Row(**{**values, "copy": number}) if number else row)
    return found


def _records(study: Path) -> dict[str, RunRecord]:
    """What a study holds already, by run id."""
    try:
        return {record.run_id: record for record in read_study(study).records}
    except FileNotFoundError:  # no such folder, or one with other files
        return {}


def _refuse_changes(
    study: Path, records: Sequence[tuple[Row, RunRecord]], there: Mapping[str, RunRecord]
) -> None:
    known = {(r.family, r.params, r.tokens, r.seed, r.loss): r for r in there.values()}
    lines = []
    for row, record in records:
        then = there.get(record.run_id)
        if then is not None:
            changes = [
                f"{key} was {getattr(then, key)!r}, now {getattr(record, key)!r}"
                for key in _COMPARED
                if getattr(then, key) != getattr(record, key)
            ]
            lines += [f"  {row.label}, run {record.run_id}: {'; '.join(changes)}"] if changes else []
            continue
        same = known.get((record.family, record.params, record.tokens, record.seed, record.loss))
        if same is not None:
            lines.append(
                f"  {row.label}: run {same.run_id} has this size, budget, seed and loss already, with other "
                "settings or under another name"
            )
    if lines:
        more = [f"  and {len(lines) - 5} more"] if len(lines) > 5 else []
        raise ValueError(
            "\n".join(
                [
                    f"{study}: {len(lines)} of {len(records)} rows contradict records that are there; "
                    "nothing was written:",
                    *lines[:5],
                    *more,
                    "Records are never overwritten. Import a corrected table into a new study: "
                    "--to runs/OTHER.",
                ]
            )
        )
