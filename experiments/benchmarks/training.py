"""Training against the same model written plainly: `python -m experiments.benchmarks.training [--only d64]`.

Every ratio is taken in turn with the plain one (`experiments.benchmarks.peer`), as is the speed of a large
matrix product, to which utilisation refers. Ours runs in what `training.precision=auto` chooses, and where a
long trunk is compiled (`device.resolve_numerics`) also compiled; the peer in the better of float32 and
bfloat16 autocast.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from statistics import median

import torch

from experiments.benchmarks.memory import memory_rows
from experiments.benchmarks.ours import draw_from, our_step
from experiments.benchmarks.pairs import compare, take_turns
from experiments.benchmarks.peer import PLAIN, Cell, plain_step
from experiments.benchmarks.row import Row, show
from scaling.models import Shape, get_family
from scaling.models.options import heads_for
from scaling.training.device import Numerics, choose_numerics, gains_by_compiling

PEAK = 2048  # side of the matrices whose product is the machine's peak


def cells() -> Iterator[tuple[Cell, float]]:
    """Shapes, and how many times as fast as the peer they are to be."""
    for vocab in (256, 5120):
        for width, depth, target in ((64, 4, 1.3), (128, 6, 1.4), (384, 6, 1.5)):
            yield Cell("decoder", width, depth, heads_for(width), vocab, 128, 12), target
    yield Cell("decoder", 384, 6, heads_for(384), 5120, 256, 32), 1.5
    yield Cell("lstm", 128, 2, 1, 256, 128, 12), 1.2
    for family in ("masked", "encoder_decoder"):
        yield Cell(family, 128, 4, heads_for(128), 256, 128, 12), 1.2


def product(dtype: torch.dtype, device: str) -> Callable[[], object]:
    """A product of two large matrices."""
    one = torch.ones(PEAK, PEAK, dtype=dtype, device=device)
    return lambda: one @ one


def speed_rows(device: str, threads: int, seconds: float, chosen: list[tuple[Cell, float]]) -> Iterator[Row]:
    """Tokens a second against the peer's, and the part of the machine's peak that they use."""
    for cell, target in chosen:
        numerics = choose_numerics("auto", cell.width, device, threads)
        torch.set_num_threads(threads)
        draw = draw_from(cell)
        programs = {
            "ours": our_step(cell, numerics),
            "float32": plain_step(PLAIN[cell.family](cell), draw, device=device),
            "bfloat16": plain_step(PLAIN[cell.family](cell), draw, bfloat16=True, device=device),
            "float32 peak": product(torch.float32, device),
            "bfloat16 peak": product(torch.bfloat16, device),
        }
        if device == "cpu" and gains_by_compiling(cell.family, cell.width):
            programs["ours, compiled"] = our_step(cell, replace(numerics, compiled=True))
        found = take_turns(programs, seconds)
        best = min(("float32", "bfloat16"), key=lambda name: median(found[name]))
        shape = Shape(cell.width, cell.depth)
        flops = get_family(cell.family).counts(shape, cell.vocab, cell.context).training_flops * cell.tokens
        peak = 2 * PEAK**3 / median(found[f"{numerics.precision} peak"])
        for name in [name for name in found if name.startswith("ours")]:
            ratio, took = compare(found[name], found[best]), median(found[name])
            yield Row(
                f"{cell}{name.removeprefix('ours')}",
                f"{cell.tokens / median(found[best]):,.0f}/s {best}",
                f"{cell.tokens / took:,.0f}/s {numerics.precision}",
                ratio.median,
                ratio.median >= target,
            )
            yield Row(
                f"  to reach {target}; rounds {ratio.low:.2f} to {ratio.high:.2f}",
                "utilisation",
                f"{flops / took / peak:.1%} of {peak / 1e9:,.0f} GFLOP/s",
            )


def precision_rows(threads: int, seconds: float) -> Iterator[Row]:
    """Tokens a second of bfloat16 against float32 on this CPU, which `choose_arithmetic` has a rule for."""
    torch.set_num_threads(threads)
    for vocab in (256, 5120):
        for width in (16, 32, 64, 96, 128):
            cell = Cell("decoder", width, 2, heads_for(width), vocab, 128, 8)
            kinds = ("float32", "bfloat16")
            found = take_turns({k: our_step(cell, Numerics("cpu", k, threads)) for k in kinds}, seconds)
            rates = {k: f"{cell.tokens / median(found[k]):,.0f}/s" for k in kinds}
            ratio = compare(found["bfloat16"], found["float32"])
            yield Row(
                f"{cell}, {threads} threads", f"float32 {rates['float32']}", rates["bfloat16"], ratio.median
            )


def main(arguments: list[str] | None = None) -> int:
    """Print the table; 1 when a target was missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="of each program a round")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", default="", help="part of a row's name, e.g. d64 or lstm")
    parser.add_argument("--precisions", action="store_true", help="only bfloat16 against float32, of ours")
    asked = parser.parse_args(arguments)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    print(
        f"{device}, {asked.threads} threads, load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    )
    chosen = [(cell, target) for cell, target in cells() if asked.only in str(cell)]
    rows = (
        precision_rows(asked.threads, asked.seconds)
        if asked.precisions
        else speed_rows(device, asked.threads, asked.seconds, chosen)
    )
    if device == "cpu" and not asked.precisions:
        rows = chain(rows, memory_rows([cell for cell, _ in chosen], asked.threads))
    return int(show(rows, "tokens per second", "plainly written") > 0)


if __name__ == "__main__":
    raise SystemExit(main())
