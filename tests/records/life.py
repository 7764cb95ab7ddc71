"""The life of one trunk in miniature: everything training asks of the storage, in training's order."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from scaling.records.record import RunRecord
from scaling.records.storage import (
    Lock,
    MetricsLog,
    commit_record,
    load_checkpoint,
    load_record,
    new_attempt,
    record_failure,
    save_checkpoint,
    sweep_temps,
    write_json,
    write_spec_once,
)

TRUNK, RUN = "trunk-1", "run-1"
SPEC = {"family": "lstm", "seed": 3, "budget": {"tokens": [50_000, 100_000]}}
PLAN = {"study": "tiny", "schema": 1, "runs": [{"run_id": RUN, "trunk_id": TRUNK}]}
STEPS, EVERY = 9, 3


def a_record(**changes: Any) -> RunRecord:
    """A believable finished run; no two fields of one type hold the same value."""
    fields: dict[str, Any] = {
        "run_id": RUN, "trunk_id": TRUNK, "study": "tiny", "status": "done", "family": "lstm",
        "objective": "causal", "width": 64, "depth": 2, "params": 20_480, "params_matmul": 36_864,
        "params_total": 53_248, "tokens": 200_000, "tokens_unique": 150_000, "epochs": 1.25,
        "flops": 2.6e10, "flops_6nd": 2.4576e10, "loss": 2.8471, "loss_se": 0.011, "bits_per_byte": 1.9,
        "learning_rate": 3e-3, "batch_tokens": 4096, "steps": 49, "schedule": "constant+cooldown",
        "cooldown_steps": 10, "seed": 3, "data": "python", "data_fingerprint": "9f" * 8, "vocab": 512,
        "context": 128, "device": "cpu", "precision": "float32", "threads": 1, "seconds": 3.5, "attempts": 4,
        "started": "2026-11-22T02:00:00+00:00", "finished": "2026-11-22T02:00:04+00:00",
        "versions": {"torch": "2.13.0"}, "spec": SPEC,
    }  # fmt: skip
    return RunRecord(**{**fields, **changes})


def live(study: Path, acknowledge: Callable[[str, Any], None] = lambda what, value: None) -> None:
    """Train the trunk to its end, from wherever it is. `acknowledge` is told what a caller may rely on."""
    write_json(study / "plan.json", PLAN)
    folder = study / TRUNK
    sweep_temps(study)
    with Lock(folder / "lock"):
        sweep_temps(folder)
        write_spec_once(folder / "spec.json", SPEC)
        attempt = new_attempt(folder, {"threads": 1})
        acknowledge("attempt", attempt)
        try:
            if load_record(folder, RUN) is None:
                _train(folder, attempt, acknowledge)
        except OSError as error:
            record_failure(folder, attempt, "oserror", str(error))
            raise


def _train(folder: Path, attempt: int, acknowledge: Callable[[str, Any], None]) -> None:
    found = load_checkpoint(folder, lambda file: json.loads(file.read()))
    state = found[1] if found else {"step": 0, "chain": "", "offset": 0}
    with MetricsLog(folder / "metrics.jsonl") as log:
        log.truncate(state["offset"])
        for step in range(state["step"] + 1, STEPS + 1):
            chain = hashlib.sha256(f"{state['chain']}{step}".encode()).hexdigest()
            log.append({"step": step, "loss": int(chain[:6], 16) / 1e6})
            state = {"step": step, "chain": chain, "offset": log.offset}
            if step % EVERY == 0:
                log.sync()
                save_checkpoint(folder, step, lambda file: _write_pieces(file, state))  # noqa: B023
                acknowledge("checkpoint", step)
    record = a_record(attempts=attempt, loss=int(state["chain"][:6], 16) / 1e6)
    if commit_record(folder, record):
        acknowledge("record", attempt)


def _write_pieces(file: BinaryIO, state: dict[str, Any]) -> None:
    data = json.dumps(state).encode()
    for at in range(0, len(data), 50):
        file.write(data[at : at + 50])


def outcome(study: Path) -> dict[str, Any]:
    """What must not depend on how often the trunk was interrupted."""
    record = load_record(study / TRUNK, RUN)
    assert record is not None, "no record"
    return {
        "record": {**asdict(record), "attempts": 0},
        "metrics": (study / TRUNK / "metrics.jsonl").read_bytes(),
        "plan": json.loads((study / "plan.json").read_bytes()),
        "spec": json.loads((study / TRUNK / "spec.json").read_bytes()),
        # One more than are kept stays where the last save was cut off before it tidied up.
        "checkpoints": sorted(p.name for p in (study / TRUNK / "checkpoints").iterdir())[-2:],
    }


def leftovers(study: Path) -> list[str]:
    """Temporary files of the trunk, and what had to be quarantined: a crash alone must cause neither."""
    return [
        str(p.relative_to(study)) for p in study.rglob("*") if ".tmp-" in p.name or "quarantine" in p.parts
    ]
