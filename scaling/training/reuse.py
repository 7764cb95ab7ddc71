"""Reuse what another study of the same runs folder has trained.

A trunk's id hashes everything that was decided about it, so runs/<study>/<id> of any two studies is one
computation. Its bits depend on more: device, precision, threads, the versions of PyTorch, NumPy and Python,
the processor's instructions, and the code that makes batches, models and steps. What every attempt in
the other folder says of these must be what this attempt says.

Nothing rests on the other study. It may be at work, damaged, read-only or going away: what verifies is
reused, the rest is trained. A record keeps the name of the study that made it. Scores of capabilities and
runs that diverged are made again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from scaling.records.reading import LARGEST_PLAN, read_json, read_small
from scaling.records.record import RECORD_FILE, DamagedRecord, RunRecord, decode_record
from scaling.records.storage import (
    checkpoint_steps,
    commit_record,
    make_folder,
    peek_checkpoint,
    read_attempts,
    reuse_checkpoint,
    safe_child,
    write_atomic,
    write_spec_once,
)
from scaling.study.spec import RunSpec, Trunk, TrunkSpec
from scaling.training.state import read_checkpoint

METRICS = "metrics.jsonl"
SPEC = "spec.json"


@dataclass(frozen=True)
class Found:
    """What there is of a trunk already, here and in other studies."""

    done: frozenset[str] = frozenset()  # run ids with a record in our folder
    shared: Mapping[str, str] = field(default_factory=dict)  # run id → the study whose record it is
    steps: frozenset[int] = frozenset()  # of the trunk, with a checkpoint anywhere


class _Stretch(NamedTuple):
    """What one folder has of a trunk or a cooldown, up to a checkpoint."""

    step: int
    checkpoint: Path
    log: bytes


class TrunkCache:
    """The folders that other studies have of one trunk. To take from them, hold the lock of ours.

    Args:
        folder: ours, resolved.
        facts: what our attempt says of its numerics.
        reuse: False where nothing may be taken.
    """

    def __init__(
        self, spec: TrunkSpec, folder: Path, facts: Mapping[str, Any], *, reuse: bool = True
    ) -> None:
        self.spec, self.folder, self.facts, self.reuse = spec, folder, facts, reuse

    def take_run(self, run: RunSpec, attempt: int) -> RunRecord | None:
        """Reuse a finished run with its weights and its log; the record comes last.

        Raises:
            StaleAttempt: a later attempt has started in our folder.
            OSError: of our own disk.
        """
        for sibling in self._trusted():
            record = _read_record(sibling / run.id)
            if record is None or record.status != "done" or not self._alike(vars(record)):
                continue
            stretch = _read_stretch(sibling / run.id, run.branch_step, run.steps, run.steps - 1)
            if stretch is None or not self._trusts(sibling):  # again: whoever came meanwhile wrote none of it
                continue
            home = make_folder(safe_child(self.folder, run.id))
            write_spec_once(home / SPEC, run.identity())
            if _write_stretch(home, stretch) and commit_record(self.folder, record, attempt):
                return record
        return None

    def take_trunk(self, at_most: int) -> None:
        """Bring our trunk to the newest checkpoint of any other study, where that is further than ours.

        Where both have logged a step, the bytes must be the same: else it was another computation.

        Raises:
            OSError: of our own disk.
        """
        ours = max((step for step in checkpoint_steps(self.folder) if step <= at_most), default=0)
        for sibling in self._trusted():
            stretch = _read_stretch(sibling, 0, at_most, ours)
            if stretch is None or not self._trusts(sibling) or not _continues(self.folder, stretch.log):
                continue
            if _write_stretch(self.folder, stretch):
                ours = stretch.step

    def find(self, trunk: Trunk) -> Found:
        """What there is to go on from; changes nothing, and believes checkpoints by their names."""
        done = {run.id for run in trunk.runs if _read_record(self.folder / run.id)}
        shared: dict[str, str] = {}
        steps = set(checkpoint_steps(self.folder))
        for sibling in self._trusted():
            steps.update(checkpoint_steps(sibling))
            for run in trunk.runs:
                record = _read_record(sibling / run.id)
                if run.id not in done and record and record.status == "done" and self._alike(vars(record)):
                    shared.setdefault(run.id, record.study)
        return Found(frozenset(done), shared, frozenset(steps))

    def _trusted(self) -> Iterator[Path]:
        if not self.reuse:
            return
        for path in sorted(self.folder.parent.parent.glob(f"*/{self.spec.id}")):
            if path != self.folder and self._trusts(path):
                yield path

    def _trusts(self, sibling: Path) -> bool:
        """Whether it is of this trunk, and whoever wrote there computes as we do."""
        try:
            spec = read_json(sibling / SPEC)
            attempts = read_attempts(sibling)
        except (OSError, ValueError, TypeError):
            return False
        return spec == _plain(self.spec.identity()) and bool(attempts) and all(map(self._alike, attempts))

    def _alike(self, body: Mapping[str, Any]) -> bool:
        return _comparable(body) == _comparable(self.facts)


def _comparable(facts: Mapping[str, Any]) -> dict[str, Any]:
    """`cuda:0` and `cuda:1` are one kind of device; the versions say which."""
    found = {key: facts.get(key) for key in ("device", "precision", "threads", "versions")}
    return {**found, "device": str(found["device"]).partition(":")[0]}


def _plain(value: Any) -> Any:
    """As JSON gives it back: tuples are lists."""
    return json.loads(json.dumps(value))


def _read_record(folder: Path) -> RunRecord | None:
    try:
        record = decode_record(read_small(folder / RECORD_FILE))
    except (OSError, DamagedRecord):
        return None
    return record if record.run_id == folder.name else None


def _read_stretch(folder: Path, start: int, at_most: int, above: int) -> _Stretch | None:
    """Up to the newest intact checkpoint past step `above`, of what began at step `start`."""
    found = peek_checkpoint(folder, read_checkpoint, at_most, above)
    if found is None:
        return None
    path, content = found
    step, length = content["step"], content["extra"]["metrics_offset"]
    try:
        log = read_small(folder / METRICS, LARGEST_PLAN)[:length]
        rows = [json.loads(line) for line in log.splitlines()]
        steps = [row["step"] for row in rows if "train_loss" in row]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return _Stretch(step, path, log) if (len(log), steps) == (length, [*range(start + 1, step + 1)]) else None


def _write_stretch(folder: Path, stretch: _Stretch) -> bool:
    """The log first: a checkpoint counts on it."""
    write_atomic(folder / METRICS, stretch.log)
    return reuse_checkpoint(stretch.checkpoint, folder)


def _continues(folder: Path, log: bytes) -> bool:
    """Whether `log` begins with every whole line that the folder's own has up to its length."""
    try:
        own = read_small(folder / METRICS, LARGEST_PLAN)
    except FileNotFoundError:
        return True
    except DamagedRecord:
        return False
    own = own[: own.rfind(b"\n", 0, len(log)) + 1]
    return log.startswith(own)
