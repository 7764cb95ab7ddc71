"""How fast runs trained, in FLOP per second, from what their records say."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.laws.law import FLOPS_PER_PARAM_TOKEN, Array
from analysis.table.columns import plain

SPEEDS = ("tokens_per_second", "tokens_per_sec", "tok_s", "tps", "throughput_tokens_per_second")


def log_throughput(rows: pd.DataFrame) -> float:
    """The mean log throughput [FLOP/s] of the trunks of a table.

    Raises:
        ValueError: where neither tokens per second nor seconds are recorded.
    """
    return float(np.mean(trunk_throughput(rows)[1]))


def trunk_throughput(rows: pd.DataFrame) -> tuple[Array, Array]:
    """The largest log compute [FLOP] of each trunk, and its log throughput [FLOP/s]; (trunks,) each.

    A column of tokens per second counts before one of seconds. The seconds of a run are those of steps that
    only it needed, so a trunk's are summed, and set against its longest run and the cooldowns of the others.

    Raises:
        ValueError: where neither is recorded for every run.
    """
    if "flops" in rows:
        flops = rows["flops"].to_numpy(float)
    else:
        flops = FLOPS_PER_PARAM_TOKEN * rows["params"].to_numpy(float) * rows["tokens"].to_numpy(float)
    trunk = rows["trunk_id"].to_numpy(str) if "trunk_id" in rows else np.arange(len(rows)).astype(str)
    speed = next((name for name in rows if plain(str(name)) in SPEEDS), None)
    if speed is not None and rows[speed].notna().all() and "tokens" in rows:
        rate = np.log(rows[speed].to_numpy(float) * flops / rows["tokens"].to_numpy(float))
        own = pd.DataFrame({"trunk": trunk, "C": np.log(flops), "rate": rate})
        found = own.groupby("trunk").agg(C=("C", "max"), rate=("rate", "mean"))
        return found["C"].to_numpy(), found["rate"].to_numpy()
    if "seconds" not in rows or not (rows["seconds"].to_numpy(float) > 0).all():
        raise ValueError(
            "per time: not every run records tokens_per_second, or seconds above 0. Map a column: "
            "--columns seconds=NAME, or compare by compute."
        )
    cool = np.zeros(len(rows))
    if {"cooldown_steps", "steps"} <= set(rows):
        cool = np.nan_to_num((rows["cooldown_steps"] / rows["steps"]).to_numpy(float))
    own = pd.DataFrame(
        {"trunk": trunk, "C": flops, "s": rows["seconds"].to_numpy(float), "cool": cool * flops}
    )
    most, seconds, cooled = (own.groupby("trunk")[c] for c in ("C", "s", "cool"))
    longest = own.loc[most.idxmax()].set_index("trunk")["cool"]
    spent = most.max() + cooled.sum() - longest
    return np.log(most.max().to_numpy()), np.log((spent / seconds.sum()).to_numpy())
