"""Where a training step's time goes: `python -m experiments.benchmarks.shares`, by PyTorch's profiler."""

from __future__ import annotations

import torch
from torch.profiler import ProfilerActivity, profile

from experiments.benchmarks.ours import our_step
from experiments.benchmarks.peer import Cell
from experiments.benchmarks.training import cells
from scaling.training.device import choose_numerics

THREADS = 2
PARTS = {  # parts of the names of PyTorch's kernels
    "products": ("aten::mm", "aten::addmm", "aten::bmm"),
    "attention": ("scaled_dot_product",),
    "recurrence": ("mkldnn_rnn",),
    "casts": ("aten::copy_", "aten::_to_copy"),
    "GELU": ("aten::gelu",),
    "norms": ("aten::native_layer_norm",),
    "loss": ("log_softmax", "aten::exp_", "aten::gather", "aten::scatter_add"),
}


def shares(cell: Cell, steps: int = 5) -> dict[str, float]:
    """Share of the CPU time in each of `PARTS`, and the rest."""
    torch.set_num_threads(THREADS)
    step = our_step(cell, choose_numerics("auto", cell.width, "cpu", THREADS))
    for _ in range(2):
        step()
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(steps):
            step()
    events = profiler.key_averages()
    total = sum(event.self_cpu_time_total for event in events)
    found = {
        part: sum(e.self_cpu_time_total for e in events if any(name in e.key for name in names)) / total
        for part, names in PARTS.items()
    }
    return {**found, "the rest": 1 - sum(found.values())}


def main() -> None:
    """Print a line for each shape that `training` measures."""
    print(f"{'':<46}" + "".join(f"{part:>11}" for part in (*PARTS, "the rest")))
    for cell, _ in cells():
        print(f"{cell!s:<46}" + "".join(f"{share:>11.0%}" for share in shares(cell).values()), flush=True)


if __name__ == "__main__":
    main()
