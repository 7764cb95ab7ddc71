"""What must not depend on how often training was interrupted: every bit of it."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from scaling.launch.job import TrunkJob
from scaling.records.record import decode_record
from scaling.training.state import read_checkpoint

VOLATILE = ("attempts", "seconds", "started", "finished")  # of a record: when and how often, not what


def outcome(task: TrunkJob) -> dict[str, Any]:
    """Records, logs, and of the newest checkpoints every parameter and all of the optimizer's state."""
    folder = task.folder / task.id
    found: dict[str, Any] = {}
    for place in (folder, *(folder / run.id for run in task.trunk.runs)):
        found[f"{place.name} metrics"] = (place / "metrics.jsonl").read_bytes()
        newest = max((place / "checkpoints").glob("step-*.pt"))
        found[f"{place.name} state"] = (newest.name[:13], digest_state(newest))
    for run in task.trunk.runs:
        record = asdict(decode_record((folder / run.id / "record.json").read_bytes()))
        found[f"{run.id} record"] = {key: value for key, value in record.items() if key not in VOLATILE}
        found[f"{run.id} loss"] = float(record["loss"]).hex()
    return found


def differences(found: dict[str, Any], untouched: dict[str, Any]) -> str | None:
    """Which parts of an outcome are not those of an untouched run; None where all are."""
    names = [name for name in untouched if found.get(name) != untouched[name]]
    return f"differs in {', '.join(names)}" if names else None


def leftovers(folder: Path) -> str | None:
    """Temporary and quarantined files: kills alone must cause neither."""
    names = [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.name.startswith(".tmp-") or "quarantine" in path.parts
    ]
    return f"left behind: {', '.join(names)}" if names else None


def digest_state(path: Path) -> str:
    """sha256 of all tensors and numbers of a checkpoint but the seconds that it and its trunk took."""
    with path.open("rb") as file:
        content = read_checkpoint(file)
    for clock in ("seconds", "before"):
        del content["extra"][clock]
    digest = hashlib.sha256()
    _feed(digest, content)
    return digest.hexdigest()


def _feed(digest: Any, tree: Any) -> None:
    if isinstance(tree, torch.Tensor):
        digest.update(f"{tree.dtype}{tuple(tree.shape)}".encode())
        digest.update(tree.contiguous().numpy().tobytes())
    elif isinstance(tree, dict):
        for key, value in tree.items():
            digest.update(repr(key).encode())
            _feed(digest, value)
    elif isinstance(tree, list | tuple):
        for value in tree:
            _feed(digest, value)
    else:
        digest.update(repr(tree).encode())
