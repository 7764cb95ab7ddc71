"""Read what W&B wrote offline: LevelDB's log format with a W&B header, protobuf records inside."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BLOCK, HEADER = 32768, 7
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


@dataclass
class OfflineRun:
    """One .wandb file."""

    run_id: str = ""
    name: str = ""
    project: str = ""
    group: str = ""
    job_type: str = ""
    tags: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    axes: dict[str, str] = field(default_factory=dict)  # metric or glob → the metric it is drawn against
    rows: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    exit_code: int | None = None
    artifacts: list[str] = field(default_factory=list)


def read_offline(folder: Path) -> dict[str, OfflineRun]:
    """run id → run, of every offline run below `folder`; what an attempt to go online left is no run."""
    runs = [_read(path) for path in sorted(folder.rglob("offline-run-*/*.wandb"))]
    return {run.run_id: run for run in runs if run.run_id}


def _read(path: Path) -> OfflineRun:
    from wandb.proto import wandb_internal_pb2 as pb

    found = OfflineRun()
    for data in _records(path.read_bytes()):
        record = pb.Record()
        record.ParseFromString(data)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run = record.run
            found.run_id, found.name, found.project = run.run_id, run.display_name, run.project
            found.group, found.job_type, found.tags = run.run_group, run.job_type, list(run.tags)
            found.config |= _items(run.config.update)
        elif kind == "metric":
            metric = record.metric
            found.axes[metric.name or metric.glob_name] = metric.step_metric
        elif kind == "history":
            found.rows.append(_items(record.history.item))
        elif kind == "summary":
            found.summary |= _items(record.summary.update)
        elif kind == "artifact":
            found.artifacts.append(record.artifact.name)
        elif kind == "exit":
            found.exit_code = record.exit.exit_code
    return found


def _items(items: Any) -> dict[str, Any]:
    named = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}
    return {key: value for key, value in named.items() if not key.startswith("_")}


def _records(data: bytes) -> Iterator[bytes]:
    assert data[:4] == b":W&B"
    at, parts = 7, b""
    while at + HEADER <= len(data):
        left = BLOCK - at % BLOCK
        if left < HEADER:
            at += left
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + HEADER])
        body = data[at + HEADER : at + HEADER + length]
        if kind == 0 or len(body) < length:  # preallocated, or cut off by a kill
            return
        at += HEADER + length
        parts = body if kind in (FULL, FIRST) else parts + body
        if kind in (FULL, LAST):
            yield parts
