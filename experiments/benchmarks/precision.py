"""Does the fast arithmetic move a law? `python -m experiments.benchmarks.precision [--tokens D]`.

Decoders of three sizes and three seeds on Python source, each trained twice: in float32, and in what
`training.precision=auto` chooses. Same weights at first, same batches: differences are the arithmetic's.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from analysis.table import load_runs
from experiments.benchmarks.row import Row, show
from scaling.launch.devices import share_machine
from scaling.launch.launchers import launch
from scaling.study.plan import plan_study
from scaling.training.observer import Observer

SIZES = ((96, 2), (128, 2), (192, 3))  # width and depth; from width 96 on `auto` is bfloat16 where AMX is
SEEDS = 3


def train(folder: Path, precision: str, tokens: float) -> pd.DataFrame:
    """Losses of all sizes and seeds in one arithmetic."""
    frames = []
    for width, depth in SIZES:
        overrides = [
            *(f"name={precision}-{width}", f"runs={folder}", "tracking=off", "reuse=false"),
            *("data=python_source", "data.limit_bytes=8e6", "data.vocab=512", f"seed=range({SEEDS})"),
            *("model.params=null", f"model.width={width}", f"model.depth={depth}"),
            *(f"budget.tokens={tokens}", f"training.precision={precision}", "training.device=cpu"),
            *("training.curve_evaluations=0", "workers=1", "training.threads=2"),
        ]
        plan = plan_study(overrides)
        launch(plan, share_machine(plan), Observer())
        frames.append(load_runs(plan.folder).rows)
    return pd.concat(frames, ignore_index=True).sort_values(["params", "seed"], ignore_index=True)


def interval(values: np.ndarray) -> str:
    """Mean and 95 % interval of Student's t."""
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return f"{values.mean():+.4f} ± {half:.4f}"


def rows(plain: pd.DataFrame, fast: pd.DataFrame) -> Iterator[Row]:
    """Paired differences of losses, and of the exponents that each seed's sizes give."""
    difference = (fast["loss"] - plain["loss"]).to_numpy()
    for params, group in plain.groupby("params"):
        precision = "/".join(sorted(set(fast.loc[group.index, "precision"])))
        yield Row(
            f"N = {params:,}, {precision} [nats]",
            f"seeds' spread {group['loss'].std(ddof=1):.4f}",
            interval(difference[group.index]),
        )
    slopes = {
        name: np.array(
            [np.polyfit(np.log(g["params"]), np.log(g["loss"]), 1)[0] for _, g in table.groupby("seed")]
        )
        for name, table in (("plain", plain), ("fast", fast))
    }
    moved = slopes["fast"] - slopes["plain"]
    spread = slopes["plain"].std(ddof=1)
    yield Row(
        "exponent of loss in N, fast less float32",
        f"{slopes['plain'].mean():.4f}, spread {spread:.4f}",
        interval(moved),
        float(abs(moved.mean()) / spread),
        bool(abs(moved.mean()) < spread),
    )


def main(arguments: list[str] | None = None) -> int:
    """Print the table; 1 where the exponent moved by more than seeds move it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tokens", type=float, default=4e5, help="of each run")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        plain, fast = (train(Path(folder), kind, asked.tokens) for kind in ("float32", "auto"))
    return int(show(rows(plain, fast), "the same run twice", "float32", "fast less float32") > 0)


if __name__ == "__main__":
    raise SystemExit(main())
