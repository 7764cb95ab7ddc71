"""Branches off finished runs: the same state and the same rows, in batches k times as large.

Source: Merrill et al. 2025 (arXiv:2505.23971), section 3.1: rate times the root of k for Adam, a fixed number
of tokens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from analysis.table import load_curves
from scaling.capability.finished import CACHE, open_corpus_of
from scaling.records.record import PLAN_FILE, SCHEMA, RunRecord, read_study
from scaling.records.storage import make_folder, write_json
from scaling.study.recorded import read_spec
from scaling.study.spec import RunSpec, Trunk
from scaling.training.train import train_trunk

CURVE = 8  # held-out points on each branch, evenly spread, after as many tokens in every batch size
CURVE_TOKENS = 8192


def train_branches(
    folder: Path,
    factors: Sequence[float],
    *,
    tokens: int | None = None,
    points: Sequence[int] | None = None,
    microbatch: int | None = None,
    cache: str = CACHE,
) -> Path:
    """Train every branch that has no record yet; returns the study of the branches, beside that of the runs.

    Args:
        folder: study of runs at a constant rate.
        factors: of the batch.
        tokens: of each branch; None for as many as its run has seen.
        points: tokens of the runs to branch off; None for all.
        microbatch: rows at once; None for as many as the runs took.

    Raises:
        ValueError: when nothing can be branched off, or a batch does not fit.
    """
    found = read_study(folder)
    constant = [run for run in found.done if run.schedule == "trunk" and not run.cooldown_steps]
    origins = [run for run in constant if points is None or run.tokens in points]
    if not constant:
        raise ValueError(
            f"{folder}: no run at a constant rate among {len(found.done)}. A cooldown leaves nothing to "
            "branch off: run the study with training.cooldown=0 (name=OTHER); its trunks are the same."
        )
    if not origins:
        known = ", ".join(str(n) for n in sorted({run.tokens for run in constant}))
        raise ValueError(f"points: no run of {points} tokens in {folder}; there are {known}.")
    origins.sort(key=lambda run: (run.seed, run.tokens, run.params))  # whole seeds, the cheap points first
    branches = [
        (run, branch(run, factor, tokens or run.tokens, microbatch)) for run in origins for factor in factors
    ]
    # A folder a length: the log of a shorter branch is that of the longer one, cut off.
    name = f"{folder.name}_branches" + (f"_{tokens}" if tokens else "")
    home = make_folder(folder.with_name(name))
    write_json(home / PLAN_FILE, _plan(home.name, found.name, [trunk for _, trunk in branches]))
    dataset = open_corpus_of(read_spec(origins[0]).trunk.data, cache)
    for number, (run, trunk) in enumerate(branches, start=1):
        (record,) = train_trunk(trunk, dataset, home, study=home.name, device=run.device, threads=run.threads)
        said = record.reason if record.loss is None else f"loss {record.loss:.4f}"
        print(
            f"[{number}/{len(branches)}] N {record.params:,} seed {record.seed} from "
            f"D {trunk.spec.tokens(trunk.spec.start):,} in batches of {record.batch_tokens:,}: {said}",
            flush=True,
        )
    return home


def branch(run: RunRecord, factor: float, tokens: int, microbatch: int | None = None) -> Trunk:
    """What continues from the end of `run` for `tokens` more in batches `factor` times as large.

    Raises:
        ValueError: when such batches have no whole number of rows, or the end of `run`, or `tokens`, lies
            inside one.
    """
    decided = read_spec(run)
    spec = decided.trunk
    assert run.params_matmul
    assert run.params_total
    if spec.batch_ramp:
        raise ValueError(
            f"run {run.run_id} was trained on a batch ramp, {spec.batch_ramp}: its rows cannot be counted in "
            "batches of one size. Branch off runs without training.batch_ramp."
        )
    sequences = spec.sequences * factor
    start, more = decided.steps / factor, tokens / (spec.batch_tokens * factor)
    if sequences < 1 or any(count % 1 for count in (sequences, start, more)):
        raise ValueError(
            f"run {run.run_id} of {decided.steps} batches of {spec.sequences} rows cannot go on for "
            f"{tokens:,} tokens in batches {factor:g} times as large: that would be {sequences:g} rows a "
            f"batch, from batch {start:g}, {more:g} batches. Choose factors that are powers of two, and "
            "tokens and budgets that are multiples of the largest batch."
        )
    first, last = int(start), int(start + more)
    trunk = replace(
        spec,
        sequences=int(sequences),
        microbatch=math.gcd(int(sequences), microbatch or spec.microbatch),
        learning_rate=spec.learning_rate * math.sqrt(factor),
        warmup_steps=0,
        origin=run.run_id,
        start=first,
    )
    points = {first + max(1, round(more * i / CURVE)) for i in range(1, CURVE + 1)}
    return Trunk(
        spec=trunk,
        runs=(RunSpec(trunk, last, 0, decided.evaluation_tokens),),
        params=run.params,
        params_matmul=run.params_matmul,
        params_total=run.params_total,
        flops_per_token=run.flops / run.tokens,
        objective=run.objective,
        params_encoder=run.params_encoder,
        params_decoder=run.params_decoder,
        curve_steps=tuple(sorted(points)),
        curve_tokens=CURVE_TOKENS,
    )


def read_branches(folder: Path) -> pd.DataFrame:
    """One row per held-out loss of every branch: its curve, and at last its whole held-out set (`final`).

    `origin` is where it branched off [tokens], `tokens` how far it has gone since.
    """
    curves, study = load_curves(folder).rows, read_study(folder)
    points = dict(iter(curves[(curves["part"] == "trunk") & curves["loss"].notna()].groupby("trunk_id")))
    rows = []
    for run in study.done:
        if run.run_id not in study.expected:  # of other points or factors, asked for before
            continue
        trunk = read_spec(run).trunk
        origin = trunk.tokens(trunk.start)
        about = {
            "family": run.family,
            "params": run.params,
            "seed": run.seed,
            "origin": origin,
            "batch_tokens": run.batch_tokens,
            "learning_rate": run.learning_rate,
        }
        for at, loss in points[run.trunk_id][["tokens", "loss"]].to_numpy() if run.trunk_id in points else ():
            rows.append({**about, "tokens": int(at) - origin, "loss": loss, "final": False})
        rows.append({**about, "tokens": run.tokens - origin, "loss": run.loss, "final": True})
    keys = ["family", "params", "seed", "origin", "batch_tokens", "tokens", "final"]
    return pd.DataFrame(rows).sort_values(keys, ignore_index=True)


def _plan(name: str, study: str, branches: Sequence[Trunk]) -> dict[str, object]:
    """So that `scaling status` counts what is missing."""
    rows = [
        {"run_id": run.id, "trunk_id": trunk.spec.id, "family": trunk.spec.family, "params": trunk.params}
        for trunk in branches
        for run in trunk.runs
    ]
    question = f"How large may batches be, branching off the runs of {study}?"
    return {"study": name, "question": question, "schema": SCHEMA, "runs": rows}
