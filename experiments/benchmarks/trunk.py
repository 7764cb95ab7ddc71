"""One real trunk under the stopwatch: what is not training, and what the W&B mirror takes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from experiments.benchmarks.invented import base
from experiments.benchmarks.row import Row
from experiments.benchmarks.stopwatch import Stopwatch
from scaling.data.corpora import open_dataset
from scaling.launch.mirror import Mirror
from scaling.records.storage import MetricsLog
from scaling.records.tracking import open_tracker
from scaling.study.plan import Plan, plan_study
from scaling.training import segment, train
from scaling.training.device import choose_numerics
from scaling.training.observer import Observer
from scaling.training.state import LocalState
from scaling.training.throughput import time_step

MODEL = [
    "model.params=null",
    "model.width=64",
    "model.depth=2",
    "data.context=128",
    "training.warmup_steps=4",
]


def plan_trunk(folder: Path, seconds: float) -> Plan:
    """One small trunk with two runs that takes about so long here."""
    overrides = [*base(folder, "trunk"), *MODEL]
    trunk = plan_study([*overrides, "budget.tokens=1e6"]).trunks[0]
    step = time_step(trunk, choose_numerics("float32", 64, "cpu", 1)).median
    tokens = trunk.spec.batch_tokens * max(seconds / step, 32)  # warm-up and cooldown have to fit
    # Cooldowns are a fifth of a run: a trunk to 0.8 D, and steps of 0.2 (1 + 0.5) D off it.
    return plan_study([*overrides, f"budget.tokens=[{tokens / 2.2:.0f},{tokens / 1.1:.0f}]"])


def train_trunk(plan: Plan, observer: Observer) -> float:
    """Train the plan's one trunk; returns wall seconds."""
    dataset = open_dataset(plan.trunks[0].spec.data, plan.config.cache)
    begin = time.perf_counter()
    train.train_trunk(
        plan.trunks[0], dataset, plan.folder, study=plan.name, device="cpu", threads=1, observer=observer
    )
    return time.perf_counter() - begin


def overhead_rows(folder: Path, seconds: float) -> Iterator[Row]:
    """Everything that is neither forward, backward, optimizer nor evaluation."""
    watch = Stopwatch()
    plan = plan_trunk(folder, seconds)
    with watch.watching(
        {
            "step": [(LocalState, "train_step")],
            "evaluation": [(train, "evaluate")],
            "batch": [(train._Attempt, "_batch")],
            "log": [(MetricsLog, "append"), (MetricsLog, "sync"), (MetricsLog, "truncate")],
            "checkpoint": [
                (segment, "save_checkpoint"),
                (segment, "load_checkpoint"),
                (LocalState, "restore"),
            ],
            "record": [(train, "commit_record"), (train, "new_attempt"), (train, "write_spec_once")],
            "model": [(train, "open_state"), (train, "check_counts")],
        }
    ):
        total = train_trunk(plan, Observer())
    spent = dict(watch.seconds)
    work = spent.pop("step") + spent.pop("evaluation")
    share = 1 - work / total
    yield Row(
        f"harness overhead of a trunk of {total:.0f} s",
        "3 % at most",
        f"{share:.2%}",
        share / 0.03,
        share <= 0.03,
    )
    spent["the rest"] = total - work - sum(spent.values())
    for name, took in sorted(spent.items(), key=lambda item: -item[1]):
        yield Row(f"  {name}", "", f"{took:.3f} s ({took / total:.2%})")


def tracking_rows(folder: Path, seconds: float) -> Iterator[Row]:
    """The W&B mirror, offline: what training waits for, and what its thread takes."""
    watch = Stopwatch()
    plan = plan_trunk(folder, seconds)
    threads = time.process_time() - time.thread_time()
    with watch.watching({"mirror": [(Mirror, name) for name in ("opened", "logged", "closed")]}):
        with open_tracker("offline", study=plan.name, folder=plan.folder, project="bench") as tracker:
            total = train_trunk(plan, Mirror(tracker, plan.trunks))
            end = time.perf_counter()
        closing = time.perf_counter() - end
    threads = time.process_time() - time.thread_time() - threads
    share = watch.seconds["mirror"] / total
    yield Row(
        f"W&B offline: training of {total:.0f} s waits for it",
        "1 % at most",
        f"{share:.3%}",
        share / 0.01,
        share <= 0.01,
    )
    yield Row(
        "  CPU of its thread, import and start-up included", "", f"{threads:.2f} s ({threads / total:.2%})"
    )
    yield Row("  waiting for it at the end", "", f"{closing:.2f} s")
