"""A study of tiny models against a loop over them: `python -m experiments.benchmarks.tiny [--tokens D]`.

Four sizes up to width 64, four seeds, four budgets. The peer trains the 64 runs one after the other, each in
the ordinary way, with two threads and nothing else: no evaluation, log, checkpoint or record. Ours is the
whole study by the launcher, all of those included, once with a trunk for each run and once as it is meant:
the budgets of a size and seed as cooldowns of one trunk.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from experiments.benchmarks.invented import base
from experiments.benchmarks.ours import draw_from
from experiments.benchmarks.peer import Cell, PlainGPT, plain_step
from experiments.benchmarks.row import Row, show
from scaling.launch.devices import share_machine
from scaling.launch.launchers import launch
from scaling.models.options import heads_for
from scaling.study.plan import Plan, plan_study
from scaling.training.observer import Observer

WIDTHS = (16, 32, 48, 64)
DEPTH = 2
PARTS = (0.25, 0.5, 0.75, 1.0)


def plans(folder: Path, tokens: float, shared: bool) -> list[Plan]:
    """The study as Hydra jobs; without sharing, one study per budget, whose trunks hold one run each."""
    budgets = [f"{tokens * part:.0f}" for part in PARTS]
    asked = [f"[{','.join(budgets)}]"] if shared else budgets
    found = []
    for index, budget in enumerate(asked):
        overrides = [
            *base(folder, f"tiny-{shared}-{index}"),
            *("model.params=null", f"model.width={','.join(map(str, WIDTHS))}", f"model.depth={DEPTH}"),
            *("seed=range(4)", f"budget.tokens={budget}", "workers=2", "reuse=false"),
            *(
                "data.context=128",
                "training.curve_evaluations=0",
                "training.evaluation_tokens=auto",
                "training.warmup_steps=4",
            ),
        ]
        found.append(plan_study(overrides))
    return found


def ours(folder: Path, tokens: float, shared: bool) -> tuple[float, list[Plan]]:
    """Wall seconds of the study, from plan to records."""
    begin = time.perf_counter()
    made = plans(folder, tokens, shared)
    for plan in made:
        launch(plan, share_machine(plan), Observer())
    return time.perf_counter() - begin, made


def theirs(made: list[Plan], bfloat16: bool) -> float:
    """Wall seconds of a loop over the same runs: shapes, batches and steps."""
    torch.set_num_threads(2)
    begin = time.perf_counter()
    for plan in made:
        for trunk, run in plan.runs:
            spec = trunk.spec
            cell = Cell(
                *("decoder", spec.width, spec.depth, heads_for(spec.width)),
                *(spec.data.vocab, spec.data.context, spec.sequences),
            )
            torch.manual_seed(spec.seed)
            step = plain_step(PlainGPT(cell), draw_from(cell), bfloat16=bfloat16)
            for _ in range(run.steps):
                step()
    return time.perf_counter() - begin


def rows(folder: Path, tokens: float) -> Iterator[Row]:
    """Wall clock of 64 runs, and the FLOPs that trunks save."""
    ours(folder / "warm", 4e4, shared=True)  # starts the fork server, opens the corpus
    single, made = ours(folder, tokens, shared=False)
    peer = theirs(made, bfloat16=False)
    shared, _ = ours(folder, tokens, shared=True)
    for name, took, target in (("a trunk for each", single, None), ("16 trunks", shared, 2.0)):
        yield Row(
            f"64 runs of d {WIDTHS[0]} to {WIDTHS[-1]}, {name} [s]",
            f"loop: {peer:.1f}",
            f"{took:.1f}",
            peer / took,
            None if target is None else peer / took >= target,
        )
    axis = plan_study(["study=cooldown", "training.schedule=trunk", *base(folder, "axis")])
    separate = sum(trunk.flops_per_token * run.tokens for trunk, run in axis.runs)
    part = sum(trunk.flops for trunk in axis.trunks) / separate
    yield Row(
        "FLOPs of the budgets of study=cooldown, one trunk",
        "1 (separate runs)",
        f"{part:.3f}",
        part,
        part <= 0.45,
    )


def main(arguments: list[str] | None = None) -> int:
    """Print the table; 1 when a target was missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tokens", type=float, default=2.5e5, help="of the longest runs")
    asked = parser.parse_args(arguments)
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory(dir=".", prefix=".bench-") as folder:
        return int(
            show(rows(Path(folder).resolve(), asked.tokens), "a study of tiny models", "plainly written") > 0
        )


if __name__ == "__main__":
    raise SystemExit(main())
