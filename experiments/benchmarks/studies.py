"""Whole studies through the launcher: two workers against one, and against the plan's estimate."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Iterator
from pathlib import Path

from experiments.benchmarks.invented import base
from experiments.benchmarks.row import Row
from experiments.commands.run import run_plan
from scaling.launch.devices import share_machine
from scaling.launch.estimate import estimate
from scaling.launch.launchers import launch
from scaling.study.plan import Plan, plan_study
from scaling.training.observer import Observer

SIZES = "5e3,6.2e3,8e3,1.2e4"  # widths up to 22
PAIRS = 2


def study(folder: Path, name: str, workers: int, tokens: float) -> list[str]:
    """64 runs: four sizes, four seeds, four budgets."""
    budgets = ",".join(f"{tokens * part:.0f}" for part in (0.25, 0.5, 0.75, 1.0))
    return [
        *base(folder, name),
        *(f"model.params={SIZES}", "seed=range(4)", f"budget.tokens=[{budgets}]", f"workers={workers}"),
        *(
            "training.evaluation_tokens=16384",
            "training.curve_evaluations=4",
            "training.curve_tokens=4096",
            "training.warmup_steps=1",
        ),
        "reuse=false",
    ]


def scaled(folder: Path, seconds: float) -> float:
    """Tokens of the longest run so that one worker takes about so long."""
    overrides = study(folder, "scale", 1, 4e5)
    return 4e5 * seconds / sum(estimate(plan_study(overrides)).seconds)


def tokens_trained(plan: Plan) -> float:
    """By trunks and cooldowns together."""
    return sum(trunk.flops / trunk.flops_per_token for trunk in plan.trunks)


def worker_rows(folder: Path, seconds: float) -> Iterator[Row]:
    """Tokens a second over the launch of a study of 64 runs, one worker and two in turn, the best of each."""
    tokens = scaled(folder, seconds / 2)
    rates: dict[int, list[float]] = {1: [], 2: []}
    for i in range(PAIRS):
        for workers in (1, 2) if i % 2 == 0 else (2, 1):
            overrides = study(folder, f"workers-{workers}-{i}", workers, tokens)
            plan = plan_study(overrides)
            assert len(plan.runs) == 64
            begin = time.perf_counter()
            launch(plan, share_machine(plan), Observer())
            rates[workers].append(tokens_trained(plan) / (time.perf_counter() - begin))
    one, two = max(rates[1]), max(rates[2])
    yield Row(
        f"64 runs, 2 workers of one thread [tokens/s], {seconds / 2:.0f} s",
        f"1.6 × 1 worker ({one:,.0f})",
        f"{two:,.0f} (pairs {', '.join(f'{b / a:.2f}' for a, b in zip(rates[1], rates[2], strict=True))})",
        two / one,
        two >= 1.6 * one,
    )


def error_row(folder: Path, seconds: float) -> Iterator[Row]:
    """What `scaling plan` said against what `scaling run` took, training and evaluation, one worker."""
    overrides = study(folder, "error", 1, scaled(folder, seconds / 2))
    said = estimate(plan_study(overrides)).wall.median
    with contextlib.redirect_stdout(io.StringIO()):
        result = run_plan(plan_study(overrides))
    took = result.training + result.evaluation
    error = took / said - 1
    yield Row(
        "a study of 64 runs against its plan [s]",
        f"{said:.1f} ± 20 %",
        f"{took:.1f} ({error:+.0%})",
        took / said,
        abs(error) <= 0.2,
    )
