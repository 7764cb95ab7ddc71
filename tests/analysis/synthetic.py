"""A small study folder with a known law, written with the real record encoder."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np

from scaling.records.record import RunRecord, encode_record

E, A, B, ALPHA, BETA = 1.72, 14.0, 105.0, 0.33, 0.37
WIDTHS = {16: 5_760, 24: 13_824, 36: 31_104, 52: 64_896, 76: 138_624, 112: 301_056}
BUDGETS = (100_000, 250_000, 630_000, 1_600_000, 4_000_000)
VOCAB, CONTEXT = 1024, 128


def true_loss(params: float, tokens: float) -> float:
    return E + A / params**ALPHA + B / tokens**BETA


def make_record(
    width: int, tokens: int, *, family: str = "decoder", noise: float = 0.0, **changes: object
) -> RunRecord:
    """One run of the known law; `changes` are fields of the record."""
    params = WIDTHS[width]
    loss = true_loss(params, tokens) * math.exp(noise)
    steps = tokens // 4096
    values: dict[str, object] = {
        "run_id": f"{family}-w{width}-d{tokens}",
        "trunk_id": f"{family}-w{width}",
        "study": "demo",
        "status": "done",
        "family": family,
        "objective": "causal",
        "width": width,
        "depth": 2,
        "params": params,
        "params_matmul": params + VOCAB * width,
        "params_total": params + VOCAB * width + CONTEXT * width,
        "tokens": tokens,
        "tokens_unique": tokens,
        "epochs": tokens / 3e7,
        "flops": 6.0 * (params + VOCAB * width) * tokens * 1.04,
        "flops_6nd": 6.0 * params * tokens,
        "loss": loss,
        "loss_se": 0.004,
        "bits_per_byte": loss / math.log(2) / 3.1,
        "learning_rate": 0.02 * (params / 1e4) ** -0.3,
        "batch_tokens": 4096,
        "steps": steps,
        "schedule": "constant + (1-sqrt) cooldown",
        "cooldown_steps": steps // 5,
        "seed": 0,
        "data": "python_source",
        "data_fingerprint": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "vocab": VOCAB,
        "context": CONTEXT,
        "device": "cpu",
        "precision": "float32",
        "threads": 1,
        "seconds": tokens / 1e5,
        "attempts": 1,
        "started": "2026-11-02T10:00:00Z",
        "finished": "2026-11-02T10:05:00Z",
        "versions": {"torch": "2.13.0"},
        "spec": {"width": width, "tokens": tokens},
    }
    return RunRecord(**(values | changes))  # type: ignore[arg-type]


def write_study(
    folder: Path,
    *,
    families: tuple[str, ...] = ("decoder",),
    noise: float = 0.004,
    diverged: int = 0,
    missing: int = 0,
    failed: int = 0,
    curves: bool = False,
) -> list[RunRecord]:
    """Six trunks × five budgets per family; the last `diverged`, `failed` and `missing` runs are made so."""
    rng = np.random.default_rng(0)
    shift = dict(zip(families, np.linspace(0.0, 0.04 * (len(families) - 1), len(families)), strict=True))
    records = []
    for family in families:
        for width in WIDTHS:
            trunk = rng.normal() * noise / 2
            for tokens in BUDGETS:
                bump = trunk + rng.normal() * noise + float(shift[family])
                records.append(make_record(width, tokens, family=family, noise=bump))
    rows = [
        {k: getattr(r, k) for k in ("run_id", "trunk_id", "family", "params", "tokens", "flops")}
        for r in records
    ]
    folder.mkdir(parents=True)
    plan = {
        "study": "demo",
        "schema": 1,
        "question": "How far does the law of the small runs reach?",
        "runs": rows,
    }
    (folder / "plan.json").write_text(json.dumps(plan))
    lost = len(records) - missing - failed
    for i, record in enumerate(records):
        trunk_folder = folder / record.trunk_id
        if i < lost:
            if i >= lost - diverged:
                lost_loss = {"status": "diverged", "loss": None, "loss_se": None, "bits_per_byte": None}
                record = make_record(
                    record.width,
                    record.tokens,
                    family=record.family,
                    reason="loss is NaN at step 120",
                    **lost_loss,
                )
            write_record(folder, record)
        elif i < lost + failed:
            (trunk_folder / "failures").mkdir(parents=True, exist_ok=True)
            note = {"kind": "oom", "message": "out of memory at step 3"}
            (trunk_folder / "failures" / "000001.json").write_text(json.dumps(note))
    if curves:
        _write_curves(folder, records[:lost])
    return records[:lost]


def write_record(folder: Path, record: RunRecord) -> Path:
    path = folder / record.trunk_id / record.run_id / "record.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_record(record))
    return path


def _write_curves(folder: Path, records: list[RunRecord]) -> None:
    rng = np.random.default_rng(1)
    for trunk_id in sorted({r.trunk_id for r in records}):
        runs = [r for r in records if r.trunk_id == trunk_id]
        per_token = runs[0].flops / runs[0].tokens

        def lines(tokens: np.ndarray, above: np.ndarray, params: int) -> str:
            out = []
            for seen, extra in zip(tokens, above, strict=True):
                at = {"step": int(seen // 4096), "tokens": int(seen), "flops": float(per_token * seen)}  # noqa: B023
                held = min(math.log(VOCAB), true_loss(params, seen)) * (1 + extra)
                noisy = held * (1 + rng.normal() * 0.02)
                out.append(json.dumps({**at, "train_loss": noisy, "learning_rate": 0.01}))
                out.append(json.dumps({**at, "loss": held, "loss_se": 0.004}))
            return "\n".join(out) + "\n"

        seen = np.geomspace(4096, max(r.tokens for r in runs), 60)
        (folder / trunk_id / "metrics.jsonl").write_text(lines(seen, np.full(60, 0.05), runs[0].params))
        for run in runs:
            tail = np.linspace(0.8 * run.tokens, run.tokens, 8)
            path = folder / trunk_id / run.run_id / "metrics.jsonl"
            path.write_text(lines(tail, np.linspace(0.05, 0.0, 8), run.params))
