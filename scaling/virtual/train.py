"""Train students and commit their records: the same files, checked the same way, as those of real runs."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from scaling.records.record import PLAN_FILE, SCHEMA, RunRecord, spec_digest
from scaling.records.storage import (
    Lock,
    commit_record,
    load_record,
    make_folder,
    new_attempt,
    write_json,
    write_spec_once,
)
from scaling.study.code import code_versions
from scaling.virtual.kernel_sgd import Array, KernelSGD, Students

Schedule = Literal["linear", "trunk"]
FAMILY, OBJECTIVE = "kernel_sgd", "regression"  # squared error: never in one fit with nats per token
COOLDOWN = 0.2  # part of a run's steps, under the trunk schedule


def train_students(
    teacher: KernelSGD,
    sizes: Sequence[int],
    samples: Sequence[int],
    runs: str | Path,
    *,
    study: str = FAMILY,
    rate: float = 0.1,
    schedule: Schedule = "linear",
) -> list[RunRecord]:
    """One run for every size and every number of samples, into the study folder `runs/study`.

    Args:
        sizes: coordinates that a student sees; N of the record.
        samples: D, multiples of the teacher's batch.
        rate: peak learning rate; above about 0.5 the loss grows, and the run is recorded so.
        schedule: linear, to zero, each budget from the start; or trunk, a constant rate and for each budget a
            cooldown of a fifth of its steps, by 1 - sqrt(part), that branches off it.

    Raises:
        ValueError: for samples that are no multiple of the batch, or fewer than two steps.
        LockedError: when another process writes one of these trunks.
    """
    steps = sorted({number // teacher.batch for number in samples})
    if not steps or steps[0] < 2 or any(number % teacher.batch for number in samples):
        raise ValueError(
            f"samples: multiples of the batch {teacher.batch}, and two steps at least; got {list(samples)}."
        )
    folder = make_folder(Path(runs) / study)
    started = time.monotonic()
    with np.errstate(over="ignore", invalid="ignore"):  # a loss that is not a number is recorded as diverged
        losses = SCHEDULES[schedule](teacher, sizes, steps, rate)
    seconds = (time.monotonic() - started) / losses.size
    rows = [
        _Row(teacher, size, count, rate, schedule, float(loss))
        for size, column in zip(sizes, losses.T, strict=True)
        for count, loss in zip(steps, column, strict=True)
    ]
    plan = [
        {"run_id": row.run_id, "trunk_id": row.trunk_id, "params": row.size, "tokens": row.tokens}
        for row in rows
    ]
    question = "Do the fits recover the known floor and exponents of SGD on power-law regression?"
    write_json(folder / PLAN_FILE, {"study": study, "question": question, "schema": SCHEMA, "runs": plan})
    return [row.commit(folder, study, seconds) for row in rows]


def linear_rates(rate: float, steps: int) -> Array:
    """(steps,) from the peak to zero."""
    return rate * (1 - np.arange(steps) / steps)


def _linear(teacher: KernelSGD, sizes: Sequence[int], steps: Sequence[int], rate: float) -> Array:
    """(steps, sizes) losses."""
    return np.stack([Students(teacher, sizes).advance(linear_rates(rate, n)).losses for n in steps])


def _trunk(teacher: KernelSGD, sizes: Sequence[int], steps: Sequence[int], rate: float) -> Array:
    """(steps, sizes) losses. Cooldown as in `scaling.training.schedule.run_rate`."""
    trunk, done, losses = Students(teacher, sizes), 0, []
    for n in steps:
        cooldown = math.floor(COOLDOWN * n)
        trunk.advance(np.full(n - cooldown - done, rate))
        done = n - cooldown
        part = np.arange(1, cooldown + 1) / (cooldown + 1)
        losses.append(trunk.branch().advance(rate * (1 - np.sqrt(part))).losses)
    return np.stack(losses)


SCHEDULES = {"linear": _linear, "trunk": _trunk}


class _Row:
    """One run, and what names it."""

    def __init__(
        self, teacher: KernelSGD, size: int, steps: int, rate: float, schedule: Schedule, loss: float
    ) -> None:
        self.teacher, self.size, self.steps, self.rate, self.schedule = teacher, size, steps, rate, schedule
        self.tokens, self.loss = steps * teacher.batch, loss
        self.trunk: dict[str, Any] = {
            **asdict(teacher),
            "size": size,
            "rate": rate,
            "schedule": schedule,
            "horizon": steps if schedule == "linear" else None,  # a linear run shares no step with another
        }
        self.trunk_id = f"{FAMILY}-{size}x1-{spec_digest(self.trunk)}"
        self.run_id = f"{FAMILY}-{size}x1-{self.tokens}-{spec_digest({**self.trunk, 'steps': steps})}"

    def commit(self, folder: Path, study: str, seconds: float) -> RunRecord:
        """The record on disk: this one, or the one that was there."""
        home = make_folder(folder / self.trunk_id)
        with Lock(home / "lock"):
            write_spec_once(home / "spec.json", self.trunk)
            old = load_record(home, self.run_id)
            if old is not None:
                return old
            record = self._record(study, seconds, new_attempt(home, {"versions": _versions()}))
            commit_record(home, record)
        return record

    def _record(self, study: str, seconds: float, attempt: int) -> RunRecord:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        diverged = not self.loss < self._untrained
        return RunRecord(
            run_id=self.run_id,
            trunk_id=self.trunk_id,
            study=study,
            status="diverged" if diverged else "done",
            family=FAMILY,
            objective=OBJECTIVE,
            width=self.size,
            depth=1,
            params=self.size,
            params_matmul=self.size,
            params_total=self.size,
            tokens=self.tokens,
            tokens_unique=self.tokens,
            epochs=1.0,  # every sample is new
            flops=6.0 * self.size * self.tokens,  # two a weight forward, four backward
            flops_6nd=6.0 * self.size * self.tokens,
            loss=None if diverged else self.loss,
            loss_se=None if diverged else 0.0,
            bits_per_byte=None,
            learning_rate=self.rate,
            batch_tokens=self.teacher.batch,
            steps=self.steps,
            schedule=self.schedule,
            cooldown_steps=math.floor(COOLDOWN * self.steps) if self.schedule == "trunk" else 0,
            seed=0,
            data="power_law_regression",
            data_fingerprint=spec_digest(asdict(self.teacher)),
            vocab=1,  # one number is predicted from one sample
            context=1,
            device="cpu",
            precision="float64",
            threads=1,
            seconds=seconds,
            attempts=attempt,
            started=now,
            finished=now,
            reason=f"loss {self.loss:g} is not below that of no training" if diverged else None,
            versions=_versions(),
            spec={**self.trunk, "steps": self.steps},
        )

    @property
    def _untrained(self) -> float:
        return float(Students(self.teacher, [self.size]).losses[0])


def _versions() -> dict[str, str]:
    code = code_versions({"trainer": __name__})
    return {"python": platform.python_version(), "numpy": np.__version__, **code}
