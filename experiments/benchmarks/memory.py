"""Peak memory of a training step, ours and the peer's, each in a fresh process."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import torch

from experiments.benchmarks.ours import draw_from, our_step
from experiments.benchmarks.peer import PLAIN, Cell, plain_step
from experiments.benchmarks.row import Row
from scaling.training.device import choose_numerics

STEPS = 5


def peak_bytes(kind: str, cell: Cell, threads: int) -> int:
    """What five steps add to a process that has imported all; `kind`: ours, or the peer's precision."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak, (kind, cell, threads))


def _peak(kind: str, cell: Cell, threads: int) -> int:
    torch.set_num_threads(threads)
    small = Cell(cell.family, 32, 2, 1, 64, 16, 2)  # brings in what the first step of any model loads
    for index, shape in enumerate((small, cell)):
        if kind == "ours":
            step = our_step(shape, choose_numerics("auto", cell.width, "cpu", threads))
        else:
            step = plain_step(PLAIN[cell.family](shape), draw_from(shape), bfloat16=kind == "bfloat16")
        if index:
            before = _status("VmRSS")
        for _ in range(STEPS):
            step()
    return _status("VmHWM") - before


def _status(name: str) -> int:
    """A size of this process [bytes]; VmHWM is its highest since it was executed."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def memory_rows(cells: list[Cell], threads: int) -> Iterator[Row]:
    """Of the peer the leaner of its two precisions."""
    for cell in cells:
        ours, *theirs = (peak_bytes(kind, cell, threads) for kind in ("ours", "float32", "bfloat16"))
        ratio = ours / min(theirs)
        yield Row(
            f"memory: {cell}",
            f"{min(theirs) / 2**20:,.0f} MiB",
            f"{ours / 2**20:,.0f} MiB",
            ratio,
            ratio <= 1.0,
        )
