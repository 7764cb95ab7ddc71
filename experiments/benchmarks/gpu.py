"""What must be seen on a GPU: `make gpu-check`. Needs PyTorch and NumPy; says what else is missing.

Tests marked gpu, training against a plain GPT compiled by `torch.compile`, and a small study from trunks to
records (and to a law, where pandas and SciPy are). The table belongs into this folder, with date and device.
"""

from __future__ import annotations

import argparse
import importlib.util
import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any

import torch

from experiments.benchmarks.ours import draw_from, spec_of
from experiments.benchmarks.pairs import compare, take_turns
from experiments.benchmarks.peer import Cell, PlainGPT, plain_step
from experiments.benchmarks.row import Row, show
from experiments.benchmarks.training import PEAK as SIDE
from experiments.benchmarks.training import product
from scaling.data.corpora import open_dataset
from scaling.data.dataset import Dataset
from scaling.data.options import DataOptions
from scaling.models import Shape, get_family
from scaling.models.options import heads_for
from scaling.study.spec import RunSpec, Trunk
from scaling.training.device import choose_numerics
from scaling.training.state import LocalState
from scaling.training.train import train_trunk

SIZES = ((64, 4), (256, 6), (512, 8), (1024, 12))  # width and depth
TINY = (16, 32, 48, 64)
PROCESSES = 4


def generated(cache: Path) -> Dataset:
    """A corpus that needs no file, and whose least loss is known."""
    return open_dataset(DataOptions("zipf_markov", 64, settings=(("tokens", 64),)), cache)


def a_trunk(dataset: Dataset, width: int, seed: int = 0, steps: tuple[int, ...] = (20, 40)) -> Trunk:
    """A small decoder with a run for each number of steps."""
    family, shape, context = get_family("decoder"), Shape(width, 2), 64
    cell = Cell("decoder", width, 2, heads_for(width), dataset.vocab, context, 16)
    spec = spec_of(cell)
    data = replace(spec.data, corpus=dataset.name, fingerprint=dataset.fingerprint)
    spec = replace(spec, data=data, seed=seed, learning_rate=3e-3, warmup_steps=4)
    counts = family.counts(shape, dataset.vocab, context)
    return Trunk(
        spec=spec,
        runs=tuple(RunSpec(spec, n, n // 5, 8192) for n in steps),
        params=counts.params,
        params_matmul=counts.params_matmul,
        params_total=counts.params_total,
        flops_per_token=counts.training_flops,
        objective=family.objective,
    )


def speed_rows(device: str, seconds: float) -> Iterator[Row]:
    """Ours eager and compiled against the peer compiled, four sizes."""
    wait: Callable[[], object] = torch.cuda.synchronize if device == "cuda" else lambda: None
    for width, depth in SIZES:
        cell = Cell("decoder", width, depth, heads_for(width), 5120, 256, 32)
        numerics = choose_numerics("auto", width, device)
        draw = draw_from(cell)

        def ours(compiled: bool) -> Callable[[], object]:
            state = LocalState(spec_of(cell), replace(numerics, compiled=compiled))  # noqa: B023
            return lambda: state.train_step(draw(), 1e-3)  # noqa: B023

        peer: Any = torch.compile(PlainGPT(cell).to(device))
        found = take_turns(
            {
                "eager": ours(compiled=False),
                "compiled": ours(compiled=True),
                "peer": plain_step(peer, draw, bfloat16=numerics.precision == "bfloat16", device=device),
                "peak": product(numerics.compute_dtype or torch.float32, device),
            },
            seconds,
            finish=wait,
        )
        flops = get_family("decoder").counts(Shape(width, depth), cell.vocab, cell.context).training_flops
        peak = 2 * SIDE**3 / median(found["peak"])
        for name in ("eager", "compiled"):
            ratio = compare(found[name], found["peer"])
            took = median(found[name])
            yield Row(
                f"{cell}, {name}, {flops * cell.tokens / took / peak:.1%} of peak",
                f"{cell.tokens / median(found['peer']):,.0f}/s compiled",
                f"{cell.tokens / took:,.0f}/s {numerics.precision}",
                ratio.median,
                ratio.median >= 1.1 if name == "compiled" else None,
            )


def train_one(folder: Path, device: str, width: int, seed: int, steps: tuple[int, ...]) -> None:
    """A trunk in a process of its own."""
    dataset = generated(folder / "cache")
    trunk = a_trunk(dataset, width, seed, steps)
    train_trunk(trunk, dataset, folder / "study", study="gpu", device=device, threads=1)


def study_rows(device: str, steps: tuple[int, ...]) -> Iterator[Row]:
    """64 runs of tiny models: 16 trunks on the device, `PROCESSES` at a time, against the peer's loop."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        jobs = [(folder, device, width, seed, steps) for width in TINY for seed in range(4)]
        begin = time.perf_counter()
        with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
            pool.starmap(train_one, jobs, chunksize=1)
        ours = time.perf_counter() - begin
        begin = time.perf_counter()
        for width in TINY:
            for seed in range(4):
                torch.manual_seed(seed)
                for count in steps:
                    cell = Cell("decoder", width, 2, heads_for(width), 64, 64, 16)
                    step = plain_step(PlainGPT(cell), draw_from(cell), device=device)
                    for _ in range(count):
                        step()
        if device == "cuda":
            torch.cuda.synchronize()
        peer = time.perf_counter() - begin
        yield Row(
            f"64 tiny runs of {steps[-1]} steps at most, one process per trunk [s]",
            f"loop: {peer:.1f}",
            f"{ours:.1f}",
            peer / ours,
            peer / ours >= 8 if device == "cuda" else None,
        )
        if missing := [m for m in ("pandas", "scipy") if importlib.util.find_spec(m) is None]:
            yield Row(f"  no law: {' and '.join(missing)} not installed", "", "")
            return
        from analysis.fitting.fit_columns import fit_loss_surface
        from analysis.table import load_runs

        table = load_runs(folder / "study")
        fit = fit_loss_surface(table["params"], table["tokens"], table["loss"], groups=table["trunk_id"])
        yield Row(f"  {fit.law}", f"{len(table)} runs", f"rms {100 * fit.rms:.2g} %")


def main(arguments: list[str] | None = None) -> int:
    """Print the table; 1 when a target was missed or a test failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="of each program a round")
    parser.add_argument("--steps", type=int, default=1000, help="of the longest tiny runs")
    asked = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        print("PyTorch sees no CUDA device here: nothing was checked.")
        return 2
    properties = torch.cuda.get_device_properties(0)
    print(
        f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB, torch {torch.__version__}", flush=True
    )
    failed = 0
    if importlib.util.find_spec("pytest") is None:
        print("tests marked gpu: not run, pytest is not installed", flush=True)
    else:
        command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "--noconftest", "tests/gpu"]
        failed += subprocess.run(command, check=False).returncode != 0
    parts = tuple(max(10, asked.steps * part // 4) for part in (1, 2, 3, 4))
    rows = chain(speed_rows("cuda", asked.seconds), study_rows("cuda", parts))
    return int(failed + show(rows, "on this device", "plainly written") > 0)


if __name__ == "__main__":
    raise SystemExit(main())
