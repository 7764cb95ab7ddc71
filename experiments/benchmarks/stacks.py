"""Trunks that take each step as one against the same in turn: `python -m experiments.benchmarks.stacks`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from statistics import median

import torch

from experiments.benchmarks.pairs import compare, take_turns
from experiments.benchmarks.peer import Cell
from experiments.benchmarks.row import Row, show
from experiments.benchmarks.training import draw_from, spec_of
from scaling.models.blocks import heads_for
from scaling.training.device import Arithmetic, choose_arithmetic
from scaling.training.segment import Ask
from scaling.training.stack import Stack
from scaling.training.state import State

WIDTHS = (16, 32, 64, 128)


def stack_rows(device: str, threads: int, seconds: float, members: int = 8) -> Iterator[Row]:
    """Tokens a second of `members` seeds of one shape, 8 rows of 128 bytes a step each."""
    wait: Callable[[], object] = torch.cuda.synchronize if device == "cuda" else lambda: None
    for width in WIDTHS:
        cell = Cell("decoder", width, 2, heads_for(width), 256, 128, 8)
        arithmetic = choose_arithmetic("auto", width, device, threads)
        torch.set_num_threads(threads)
        found = take_turns(
            {
                "one": _steps(cell, arithmetic, members, stacked=True),
                "each": _steps(cell, arithmetic, members, stacked=False),
            },
            seconds,
            finish=wait,
        )
        ratio = compare(found["one"], found["each"])
        rates = {name: f"{members * cell.tokens / median(took):,.0f}/s" for name, took in found.items()}
        yield Row(f"{members} x {cell}", rates["each"], rates["one"], ratio.median)


def _steps(cell: Cell, arithmetic: Arithmetic, members: int, stacked: bool) -> Callable[[], object]:
    states = [State(replace(spec_of(cell), seed=seed), arithmetic) for seed in range(members)]
    draw = draw_from(cell)
    stacks = [Stack(states)] if stacked else [Stack([state]) for state in states]

    def step() -> None:
        for stack in stacks:
            stack.take([Ask(state, draw(), 1e-3) for state in stack.states])

    return step


def main(arguments: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="of each program a round")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--members", type=int, default=8, help="trunks of a stack")
    asked = parser.parse_args(arguments)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    print(
        f"{device}, {asked.threads} threads, load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )
    rows = stack_rows(device, asked.threads, asked.seconds, asked.members)
    return int(show(rows, "tokens a second", "in turn", "as one") > 0)


if __name__ == "__main__":
    raise SystemExit(main())
