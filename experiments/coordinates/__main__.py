"""`python -m experiments.coordinates [--kept]`: how far logits move in the first steps, by width and depth.

Under a parametrisation that transfers, one learning rate moves a wide model's as far as a narrow one's.
Source: Yang et al. 2022 (arXiv:2203.03466), appendix D.1, the coordinate check.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from analysis.report.figures.coordinates import plot_coordinates
from analysis.report.style import save, styled
from experiments.cli import expected_errors
from experiments.terminal import Column, table
from scaling.data.corpora import open_dataset
from scaling.data.options import DataOptions
from scaling.records.storage import write_atomic
from scaling.study.spec import DataSpec, TrunkSpec
from scaling.training.device import Numerics
from scaling.training.objectives import OBJECTIVES
from scaling.training.state import LocalState

FOLDER = Path(__file__).parent
KEPT = FOLDER / "coordinates.csv"
WIDTHS, DEPTHS = (32, 64, 128, 256), (2, 4, 8, 16)
STEPS = 10
RATE = 4e-3
SEEDS = (0, 1)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m experiments.coordinates", description=__doc__)
    parser.add_argument("--kept", action="store_true", help="draw from coordinates.csv; train nothing")
    found = pd.read_csv(KEPT) if parser.parse_args(arguments).kept else measure()
    found.to_csv(KEPT, index=False)
    slopes = [
        (name, along, slope(found[(found["parametrisation"] == name) & (found[held] == value)], along))
        for name in found["parametrisation"].unique()
        for along, held, value in (("width", "depth", 2), ("depth", "width", 32))
    ]
    print(
        table(
            [
                Column("parametrisation", [name for name, _, _ in slopes], left=True),
                Column("along", [along for _, along, _ in slopes], left=True),
                Column("slope", [f"{value:+.2f}" for _, _, value in slopes]),
            ]
        )
    )
    with styled():
        figure = Figure(figsize=(9.0, 5.4), layout="constrained")
        plot_coordinates(found, list(figure.subplots(2, 3).flat))
        write_atomic(FOLDER / "coordinates.png", save(figure, ["png"])["png"])
    print(f"\nfigure: {FOLDER / 'coordinates.png'}")
    return 0


def measure() -> pd.DataFrame:
    """One row per parametrisation, shape, seed and step."""
    torch.set_num_threads(1)
    return pd.DataFrame(
        [
            {
                "parametrisation": name,
                "width": width,
                "depth": depth,
                "seed": seed,
                "step": step,
                "moved": moved,
            }
            for name in ("standard", "mup", "completep")
            for width, depth in [*((w, 2) for w in WIDTHS), *((32, d) for d in DEPTHS[1:])]
            for seed in SEEDS
            for step, moved in enumerate(track(name, width, depth, seed), start=1)
        ]
    )


def track(parametrisation: str, width: int, depth: int, seed: int) -> list[float]:
    """Root mean square change of the logits on one batch after each step."""
    data = open_dataset(DataOptions("python_source", 256, limit_bytes=3_000_000), "~/.cache/scaling")
    spec = TrunkSpec(
        family="decoder",
        width=width,
        depth=depth,
        data=DataSpec(corpus=data.name, vocab=data.vocab, fingerprint=data.fingerprint, context=128),
        seed=seed,
        sequences=4,
        microbatch=4,
        learning_rate=RATE,
        weight_decay=0.0,
        beta1=0.9,
        beta2=0.95,
        clip=1.0,
        warmup_steps=1,
        horizon=None,
        precision="float32",
        parametrisation=parametrisation,
    )
    state = LocalState(spec, Numerics("cpu", "float32", 1))
    batches = data.batches(128, 4, seed)
    tokens = torch.from_numpy(OBJECTIVES["causal"](batches.batch(10**4), data.layout, ()).inputs[0])
    with torch.no_grad():
        before = state.model(tokens)
        moved = []
        for step in range(STEPS):
            with torch.enable_grad():
                state.train_step(OBJECTIVES["causal"](batches.batch(step), data.layout, ()), RATE)
            moved.append(float((state.model(tokens) - before).square().mean().sqrt()))
    return moved


def slope(rows: pd.DataFrame, along: str) -> float:
    """Of the logarithm of the change in that of the size, over all steps after the first."""
    late = rows[rows["step"] > 1]
    by_size = late.assign(moved=np.log(late["moved"])).groupby(along)["moved"].mean()
    return float(np.polyfit(np.log(by_size.index.to_numpy(float)), by_size.to_numpy(float), 1)[0])


if __name__ == "__main__":
    sys.exit(expected_errors("coordinates", lambda: main(sys.argv[1:])))
