"""`scaling plan study=NAME [overrides]`: what would be trained, and what it would take."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from dataclasses import asdict, astuple
from pathlib import Path

from experiments.terminal import Column, duration, table
from scaling.launch.devices import share_machine
from scaling.records.storage import safe_child
from scaling.study.config import Parallel
from scaling.study.cost import separate_flops, shared_flops, trunk_seconds
from scaling.study.plan import Plan, plan_study
from scaling.study.spec import readable
from scaling.training.adopt import Found, Siblings, attempt_facts
from scaling.training.device import Arithmetic, settle
from scaling.training.stack import together
from scaling.training.throughput import StepTime, time_steps


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scaling plan", description=__doc__)
    parser.add_argument("overrides", nargs="+", help="study=NAME and any Hydra override")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument(
        "--simulate", action="store_true", help="also the intervals to expect, by fitting simulated studies"
    )
    parser.add_argument(
        "--prior", metavar="TABLE", help="runs whose law is simulated (default: the kept demo, or Chinchilla)"
    )
    asked = parser.parse_args(arguments)
    plan = plan_study(asked.overrides)
    times, arithmetics = measure(plan)
    found = find_trained(plan, arithmetics)
    from experiments.design import check_plan  # here: pandas is not waited for where a study is refused

    design = check_plan(plan, 200 if asked.simulate else 0, asked.prior)
    if asked.json:
        known = {
            trunk.spec.id: {"step_seconds": time.median, **vars(arithmetic)}
            for trunk, time, arithmetic in zip(plan.trunks, times, arithmetics, strict=True)
        }
        shared = {run_id: study for f in found for run_id, study in f.shared.items()}
        told = plan.to_dict()
        rows = [
            {**row, **known[row["trunk_id"]], "shared": shared.get(row["run_id"])} for row in told["runs"]
        ]
        checks = [asdict(check) for check in design]
        print(json.dumps({**told, "runs": rows, "design": checks}, indent=1))
        return 0
    print(describe(plan, times, arithmetics, found))
    for check in filter(None, map(str, design)):
        print(f"\n{check}")
    return 0


def measure(plan: Plan) -> tuple[list[StepTime], list[Arithmetic]]:
    """Time of a step and arithmetic of every trunk, timed on this device where not known yet."""
    training = plan.config.training
    _, threads = share_machine(plan)
    shared, spread = stacked(plan), training.parallel is not Parallel.none
    arithmetics = [
        settle(trunk, training.device, threads, alone=not spread and trunk.spec.id not in shared)
        for trunk in plan.trunks
    ]
    return time_steps(list(plan.trunks), arithmetics, Path(plan.config.cache).expanduser()), arithmetics


def stacked(plan: Plan) -> set[str]:
    """The trunks that take their steps with others."""
    stacks = together(plan.trunks, plan.config.stack)
    return {trunk.spec.id for stack in stacks if len(stack) > 1 for trunk in stack}


def find_trained(plan: Plan, arithmetics: list[Arithmetic]) -> list[Found]:
    """Of every trunk, what is there to go on from, in this study's folder or another's."""
    config, shared = plan.config, stacked(plan)
    return [
        Siblings(
            trunk.spec,
            safe_child(plan.folder, trunk.spec.id),
            attempt_facts(arithmetic, config.training.parallel.value, trunk.spec.id in shared),
            share=config.share,
        ).find(trunk)
        for trunk, arithmetic in zip(plan.trunks, arithmetics, strict=True)
    ]


def describe(
    plan: Plan, times: list[StepTime], arithmetics: list[Arithmetic], found: list[Found] | None = None
) -> str:
    """The table of runs, and the totals below it."""
    found = found or [Found() for _ in plan.trunks]
    rows = [
        (
            trunk,
            run,
            trunk_seconds(trunk, t.median) * run.steps / sum(r.steps for r in trunk.runs),
            arithmetic,
        )
        for trunk, t, arithmetic in zip(plan.trunks, times, arithmetics, strict=True)
        for run in trunk.runs
    ]
    text = table(
        [
            Column("family", [t.spec.family for t, _, _, _ in rows], rank=3, left=True),
            Column("shape", [f"{t.spec.width}x{t.spec.depth}" for t, _, _, _ in rows], rank=2, left=True),
            Column("N", [readable(t.params) for t, _, _, _ in rows]),
            Column("D", [readable(r.tokens) for _, r, _, _ in rows]),
            Column("C", [f"{t.flops_per_token * r.tokens:.2e}" for t, r, _, _ in rows]),
            Column("D/N", [f"{r.tokens / t.params:.3g}" for t, r, _, _ in rows]),
            Column("rate", [f"{t.spec.learning_rate:.3g}" for t, _, _, _ in rows], rank=1),
            Column("seed", [str(t.spec.seed) for t, _, _, _ in rows], rank=4),
            Column("steps", [str(r.steps) for _, r, _, _ in rows], rank=5),
            Column("precision", [a.precision for _, _, _, a in rows], rank=6, left=True),
            Column("time", [duration(s) for _, _, s, _ in rows]),
        ]
    )
    workers, _ = share_machine(plan)
    total, least, most = (
        wall_seconds(
            [
                trunk_seconds(trunk, step, {*f.done, *f.shared}, f.steps)
                for trunk, step, f in zip(plan.trunks, steps, found, strict=True)
            ],
            workers,
        )
        for steps in zip(*(astuple(time) for time in times), strict=True)
    )
    shared = sum(map(shared_flops, plan.trunks))
    separate = sum(map(separate_flops, plan.trunks))
    one = arithmetics[0]
    what = "trunk" if workers == 1 else "trunks"
    if plan.config.stack > 1:
        what = f"{'stack' if workers == 1 else 'stacks'} of up to {plan.config.stack} trunks (timed apart)"
    return "\n".join(
        [
            f"{plan.name}: {plan.question or 'no question given'}",
            "",
            text,
            "",
            f"{len(rows)} runs on {len(plan.trunks)} trunks: {shared:.2e} FLOP, {shared / separate:.0%} of "
            f"what separate runs would take",
            *there_already(found, len(rows)),
            f"{'what is left: ' if any(f.done or f.shared or f.steps for f in found) else ''}"
            f"about {duration(total)} ({duration(least)} to {duration(most)}) on {one.device}: {workers} "
            f"{what} at a time, {one.threads} "
            f"{'thread' if one.threads == 1 else 'threads'} each",
            *by_compiler(arithmetics),
        ]
    )


def by_compiler(arithmetics: list[Arithmetic]) -> list[str]:
    """A line about the trunks whose steps are compiled, if there are any."""
    number = sum(arithmetic.compiled for arithmetic in arithmetics)
    said = f"steps of {number} of {len(arithmetics)} trunks go through torch.compile"
    return [f"{said}; the time is that without"] if number else []


def there_already(found: list[Found], runs: int) -> list[str]:
    """A line about the runs that need no training, done here or in which other studies, if there are any."""
    done = sum(len(f.done) for f in found)
    studies = Counter(study for f in found for study in f.shared.values())
    parts = [f"{done} of {runs} runs done"] if done else []
    parts += [f"shared with study {study}: {number} of {runs} runs" for study, number in studies.items()]
    return ["; ".join(parts)] if parts else []


def wall_seconds(trunks: list[float], workers: int) -> float:
    """How long trunks of these seconds take when they are handed out largest first."""
    ends = [0.0] * workers
    for seconds in sorted(trunks, reverse=True):
        ends[ends.index(min(ends))] += seconds
    return max(ends)


if __name__ == "__main__":
    from experiments.cli import run_verb

    sys.exit(run_verb("plan", sys.argv[1:]))
