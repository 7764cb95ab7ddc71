"""`scaling plan study=NAME [overrides]`: what would be trained, and what it would cost."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable
from dataclasses import asdict, astuple
from typing import TYPE_CHECKING

from experiments.commands.arguments import StudyParser, show
from experiments.commands.price import add_price, price_asked
from experiments.plan_text import headline, unaffordable
from experiments.terminal import Column, duration, plural, table, wrapped
from scaling.launch.search import Search, read_settings
from scaling.study.cautions import cautions
from scaling.study.command import CommandTrunk
from scaling.study.command import describe_names as command_names
from scaling.study.compose import compose_study
from scaling.study.cost import trunk_seconds
from scaling.study.plan import Plan, plan_studies
from scaling.study.sources import Sources
from scaling.study.spec import readable

if TYPE_CHECKING:
    from scaling.launch.estimate import Estimate
    from scaling.training.device import Numerics


def main(arguments: list[str]) -> int:
    parser = StudyParser("plan", __doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument(
        "--simulate",
        action="store_true",
        help="also print the intervals to expect, from fits of simulated studies",
    )
    parser.add_argument(
        "--prior",
        metavar="TABLE",
        help="runs whose law is taken as true (default: the kept demo, or Chinchilla)",
    )
    add_price(parser)
    parser.add_argument(
        "--names",
        action="store_true",
        help="list every {name} that a training command can use, with its value",
    )
    asked = parser.parse(arguments)
    if show(asked):
        return 0
    if asked.names:
        print(describe_names(asked.overrides, Sources.here(asked.config_dir, asked.config_name)))
        return 0
    plans = plan_studies(asked.overrides, Sources.here(asked.config_dir, asked.config_name))
    from scaling.launch.estimate import estimate  # PyTorch takes seconds to import: a refusal does without

    bodies = []
    for number, plan in enumerate(plans):
        searched = read_settings(plan) if plan.composition.axes else None
        expected = estimate(plan.affordable())
        if searched:
            checks = []
        else:
            from experiments.commands.design import (
                check_plan,  # here: pandas is not waited for where one is refused
            )

            checks = check_plan(expected.plan, 200 if asked.simulate else 0, asked.prior)
        trunks = expected.plan.trunks
        price = price_asked(asked, sum(t.flops for t in trunks), max(t.params for t in trunks))
        body = {**to_dict(expected), "design": [asdict(check) for check in checks]}
        bodies.append({**body, "price": price.to_dict()} if price else body)
        if not asked.json:
            said(("\n" * bool(number)) + describe(expected, plan))
            if price is not None:
                said(f"all of it {price}")
            if searched:
                said(describe_search(expected, searched))
            for check in filter(None, map(str, checks)):
                said(f"\n{check}")
    if asked.json:
        print(json.dumps(bodies if len(bodies) > 1 else bodies[0], indent=1))
    return 0


def said(text: str) -> None:
    """Print it, no wider than the terminal; a program gets whole lines."""
    print(wrapped(text) if sys.stdout.isatty() else text)


def describe_names(overrides: list[str], sources: Sources) -> str:
    """One line per name that `trainer.command` may use, with its value in the first job."""
    job = compose_study(overrides, sources).jobs[0]
    names = command_names(job.config)
    columns = [Column("name", [f"{{{name}}}" for name, _, _ in names], left=True)]
    columns += [Column("here", [value for _, value, _ in names], left=True)]
    return table([*columns, Column("what", [what for _, _, what in names], left=True)])


def describe_search(expected: Estimate, settings: Search) -> str:
    """What is searched over, and what that takes."""
    axes = "\n".join(f"  {axis}" for axis in expected.plan.composition.axes)
    trials = settings.n_trials
    return (
        f"\nthe above is one trial, with the default recipe; {plural(trials, 'trial')} over\n{axes}\n"
        f"take about {duration(trials * expected.wall.median)} one at a time"
    )


def to_dict(expected: Estimate) -> dict[str, object]:
    """The plan as plain data: its FLOPs, the seconds that are left, and each run.

    A run has its arithmetic, the time of a step, and who has trained it.
    """
    plan = expected.plan
    known = {
        trunk.spec.id: {"step_seconds": _known(time.median), **vars(numerics)}
        for trunk, time, numerics in zip(plan.trunks, expected.times, expected.numerics, strict=True)
    }
    shared = {run_id: study for found in expected.found for run_id, study in found.shared.items()}
    body = plan.to_dict()
    rows = [{**row, **known[row["trunk_id"]], "shared": shared.get(row["run_id"])} for row in body["runs"]]
    median, least, most = astuple(expected.wall)
    totals = {
        "flops": _known(sum(trunk.flops for trunk in plan.trunks)),
        "seconds": {"median": _known(median), "least": _known(least), "most": _known(most)},
        "max_flops": plan.config.max_flops,
    }
    return {**totals, **body, "runs": rows, "warnings": cautions(plan)}


def describe(expected: Estimate, asked: Plan) -> str:
    """FLOPs and time first, then how they come about, then the table of runs.

    Args:
        asked: the whole plan, of which `expected` is the part that `max_flops` pays for.
    """
    plan, one = expected.plan, expected.numerics[0]
    shared, separate = (sum(getattr(t, kind) for t in plan.trunks) for kind in ("flops", "flops_apart"))
    return "\n".join(
        [
            headline(expected),
            plan.question or "no question given",
            "",
            *unaffordable(asked, plan),
            *expected.there_already(),
            *expected.crowded(),
            f"{_number(shared / separate, '.0%')} of the FLOPs of separate runs",
            f"on {one.device}: {plural(expected.share.workers, 'trunk')} at a time"
            + (f", {plural(one.threads, 'thread')} each" if one.threads else ""),
            *by_compiler(expected.numerics),
            "",
            _table(expected),
            *(f"\n{line}" for line in (*cautions(plan), *unwatched(plan))),
        ]
    )


def unwatched(plan: Plan) -> list[str]:
    """A line where a command names no file whose changes would be noticed."""
    commands = [trunk for trunk in plan.trunks if isinstance(trunk, CommandTrunk)]
    if not commands or any(trunk.code for trunk in commands):
        return []
    return [
        "! trainer.command names no file (.py, .sh, .yaml, .json, …) as a word of its own, so changes to "
        "what it runs go unnoticed"
    ]


def _table(expected: Estimate) -> str:
    """One row per run; a trunk's time is parted by steps."""
    rows = [
        (trunk, run, trunk_seconds(trunk, time.median) * run.steps / sum(r.steps for r in trunk.runs), chosen)
        for trunk, time, chosen in zip(expected.plan.trunks, expected.times, expected.numerics, strict=True)
        for run in trunk.runs
    ]
    optimizers = [trunk.spec.optimizer for trunk, _, _, _ in rows]
    return table(
        [
            Column("family", [t.spec.family for t, _, _, _ in rows], rank=3, left=True),
            *([Column("optimizer", optimizers, rank=2, left=True)] if len(set(optimizers)) > 1 else []),
            Column("shape", [t.spec.shape for t, _, _, _ in rows], rank=2, left=True),
            Column("N", ["?" if math.isnan(t.params) else readable(t.params) for t, _, _, _ in rows]),
            Column("D", [readable(r.tokens) for _, r, _, _ in rows]),
            Column("C", [_number(t.flops_per_token * r.tokens, ".2e") for t, r, _, _ in rows]),
            Column("D/N", [_number(r.tokens / t.params, ".3g") for t, r, _, _ in rows]),
            Column("rate", [_number(t.spec.learning_rate, ".3g") for t, _, _, _ in rows], rank=1),
            Column("tau", [_number(t.tau(r) or math.nan, ".2g") for t, r, _, _ in rows], rank=5),
            Column("seed", [str(t.spec.seed) for t, _, _, _ in rows], rank=4),
            Column("steps", [str(r.steps) for _, r, _, _ in rows], rank=5),
            Column("precision", [a.precision for _, _, _, a in rows], rank=6, left=True),
            Column("time", [duration(s) for _, _, s, _ in rows]),
        ]
    )


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _number(value: float, form: str) -> str:
    """A number, or ? where only a command's result will tell."""
    return "?" if math.isnan(value) else format(value, form)


def by_compiler(numerics: Iterable[Numerics]) -> list[str]:
    """A line about the trunks whose steps are compiled, if there are any."""
    compiled = [numerics.compiled for numerics in numerics]
    line = f"steps of {sum(compiled)} of {len(compiled)} trunks go through torch.compile"
    return [f"{line}; the times are without it"] if any(compiled) else []
