"""`scaling plan study=NAME [overrides]`: what would be trained, and what it would take."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import asdict, astuple

from experiments.terminal import Column, duration, table
from scaling.launch.estimate import Estimate, estimate
from scaling.study.cost import trunk_seconds
from scaling.study.plan import plan_study
from scaling.study.spec import readable
from scaling.training.device import Arithmetic


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
    expected = estimate(plan_study(asked.overrides))
    from experiments.design import check_plan  # here: pandas is not waited for where a study is refused

    design = check_plan(expected.plan, 200 if asked.simulate else 0, asked.prior)
    if asked.json:
        print(json.dumps({**to_dict(expected), "design": [asdict(check) for check in design]}, indent=1))
        return 0
    print(describe(expected))
    for check in filter(None, map(str, design)):
        print(f"\n{check}")
    return 0


def to_dict(expected: Estimate) -> dict[str, object]:
    """The plan as plain data, each run with its arithmetic, the time of a step and who has trained it."""
    plan = expected.plan
    known = {
        trunk.spec.id: {"step_seconds": time.median, **vars(arithmetic)}
        for trunk, time, arithmetic in zip(plan.trunks, expected.times, expected.arithmetics, strict=True)
    }
    shared = {run_id: study for found in expected.found for run_id, study in found.shared.items()}
    body = plan.to_dict()
    rows = [{**row, **known[row["trunk_id"]], "shared": shared.get(row["run_id"])} for row in body["runs"]]
    return {**body, "runs": rows}


def describe(expected: Estimate) -> str:
    """The table of runs, and the totals below it."""
    plan, found, one = expected.plan, expected.found, expected.arithmetics[0]
    shared, separate = (sum(getattr(t, kind) for t in plan.trunks) for kind in ("flops", "flops_apart"))
    total, least, most = map(duration, astuple(expected.wall))
    return "\n".join(
        [
            f"{plan.name}: {plan.question or 'no question given'}",
            "",
            _table(expected),
            "",
            f"{len(plan.runs)} runs on {len(plan.trunks)} trunks: {shared:.2e} FLOP, "
            f"{shared / separate:.0%} of what separate runs would take",
            *expected.there_already(),
            f"{'what is left: ' if any(f.done or f.shared or f.steps for f in found) else ''}"
            f"about {total} ({least} to {most}) on {one.device}: {expected.share.workers} "
            f"{'trunk' if expected.share.workers == 1 else 'trunks'} at a time, {one.threads} "
            f"{'thread' if one.threads == 1 else 'threads'} each",
            *by_compiler(expected.arithmetics),
        ]
    )


def _table(expected: Estimate) -> str:
    """A row a run; a trunk's time is parted by steps."""
    rows = [
        (trunk, run, trunk_seconds(trunk, time.median) * run.steps / sum(r.steps for r in trunk.runs), chosen)
        for trunk, time, chosen in zip(
            expected.plan.trunks, expected.times, expected.arithmetics, strict=True
        )
        for run in trunk.runs
    ]
    return table(
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


def by_compiler(arithmetics: Iterable[Arithmetic]) -> list[str]:
    """A line about the trunks whose steps are compiled, if there are any."""
    compiled = [arithmetic.compiled for arithmetic in arithmetics]
    line = f"steps of {sum(compiled)} of {len(compiled)} trunks go through torch.compile"
    return [f"{line}; the time is that without"] if any(compiled) else []
