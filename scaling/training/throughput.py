"""How long a step takes on this device, measured on the very model and batch, and remembered."""

from __future__ import annotations

import hashlib
import math
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np
import torch

from scaling.data.layout import Layout
from scaling.models.settings import own_settings
from scaling.records.reading import read_json
from scaling.records.record import canonical_json
from scaling.records.storage import make_folder, write_json
from scaling.study.spec import Trunk
from scaling.training.device import Numerics
from scaling.training.objectives import OBJECTIVES
from scaling.training.state import LocalState


@dataclass(frozen=True)
class StepTime:
    """Seconds of one training step: the median of those timed, and the range of nine in ten."""

    median: float
    low: float
    high: float

    def scaled(self, factor: float) -> StepTime:
        return StepTime(self.median * factor, self.low * factor, self.high * factor)


@dataclass(frozen=True)
class Crowd:
    """Others want the machine: how much, and what that does to a step."""

    load: float  # processes that want to run, over the last minute
    cores: int
    slowdown: float | None  # of a step, against the time remembered from a quieter hour; None: none was

    def __str__(self) -> str:
        said = f"the machine is crowded: load {self.load:.1f} on {self.cores} cores"
        if self.slowdown is None:
            return f"{said}; the estimate is rough, and others can slow training down several times"
        return (
            f"{said}; a step was timed again and takes {self.slowdown:.2g} × what it took when it was quiet"
        )


MEASURED = 0.25  # seconds of steps to time, at least three
BUSY = 1.5  # load a core; beyond it, what is timed tells of the others who want the machine, and is not kept
OURS = 0.85  # share of a timing that this thread ran; below it, others ran in between, and it is not kept
LONG = 600.0  # seconds of training from which what was kept is checked by timing the heaviest shape again
RECENT = 3600.0  # seconds for which times that were kept or checked are trusted
FASTER = 1.3  # than kept: then others had the machine when that was learned
LARGEST = 2e12  # FLOP a step; beyond it, the rate of the largest measured step is used


def time_steps(
    trunks: list[Trunk], numerics: list[Numerics], cache: Path
) -> tuple[list[StepTime], Crowd | None]:
    """Time of one training step for each trunk, each distinct shape timed once and kept in `cache`.

    A step too large to be tried is extrapolated from the FLOP rate of the largest that was. On a crowded
    machine what was kept is too good: the shape that takes most of the plan is timed again, and those that
    were kept are taken to be slower by its factor. Nothing of that is kept. For a long plan it is timed again
    on a quiet machine too: what was learned from training that others slowed down is put right.
    """
    store = cache / "throughput.json"
    known = _read(store)
    keys = [_key(trunk, one) for trunk, one in zip(trunks, numerics, strict=True)]
    flops = [trunk.flops_per_token * trunk.spec.batch_tokens for trunk in trunks]
    order = sorted(range(len(trunks)), key=lambda i: flops[i])
    crowd, fresh = find_crowd(), False
    heavy = {
        i: known[keys[i]].median * trunks[i].steps_to_train
        for i in order
        if keys[i] in known and flops[i] <= LARGEST
    }
    if heavy and (crowd or (sum(heavy.values()) > LONG and _age(store) > RECENT)):
        worst = max(heavy, key=heavy.__getitem__)
        factor = time_step(trunks[worst], numerics[worst]).median / known[keys[worst]].median
        if crowd:
            factor = max(factor, 1.0)
            crowd = replace(crowd, slowdown=factor)
        if crowd or factor * FASTER < 1:
            known |= {key: known[key].scaled(factor) for key in keys if key in known}
        fresh = True
    for i in order:
        if keys[i] not in known and (flops[i] <= LARGEST or i == order[0]):
            begin, ran = time.perf_counter(), time.thread_time()
            try:
                known[keys[i]] = time_step(trunks[i], numerics[i])
            except SystemExit as error:
                family = trunks[i].spec.family
                raise RuntimeError(f"family {family!r}: its model ends the program in a step.") from error
            took, ran = time.perf_counter() - begin, time.thread_time() - ran
            if numerics[i].device == "cpu" and took > MEASURED / 2 and ran < OURS * took:
                crowd = crowd or _crowd()
            fresh = True
    if fresh and not crowd:
        _keep(known, store)
    largest = max((i for i in order if keys[i] in known), key=lambda i: flops[i])
    times = [
        known.get(key, known[keys[largest]].scaled(f / flops[largest]))
        for key, f in zip(keys, flops, strict=True)
    ]
    return times, crowd


def learn(
    trunks: Sequence[Trunk], numerics: Sequence[Numerics], seconds: Sequence[float | None], cache: Path
) -> None:
    """Put the seconds of a step that training took in place of those timed before it; None: not known.

    Not those of compiled steps: what compiling took would be taken for the time of steps.
    """
    store = cache / "throughput.json"
    known = _read(store)
    found: dict[str, list[float]] = {}
    for trunk, one, took in zip(trunks, numerics, seconds, strict=True):
        if took is not None and not one.compiled:
            found.setdefault(_key(trunk, one), []).append(took)
    learned = found.keys() & known.keys()
    for key in learned:
        known[key] = known[key].scaled(median(found[key]) / known[key].median)
    if learned and not _busy(max(os.getloadavg())):  # nor in the last 15 minutes
        _keep(known, store)


def find_crowd() -> Crowd | None:
    """Return how crowded the machine is, where it is."""
    crowd = _crowd()
    return crowd if _busy(crowd.load) else None


def _age(store: Path) -> float:
    """Seconds since times were last kept or checked."""
    return time.time() - store.stat().st_mtime if store.exists() else math.inf


def _busy(load: float) -> bool:
    return load > BUSY * (os.cpu_count() or 1)


def _crowd() -> Crowd:
    return Crowd(os.getloadavg()[0], os.cpu_count() or 1, None)


def _keep(known: dict[str, StepTime], store: Path) -> None:
    make_folder(store.parent)
    write_json(store, {key: list(astuple(time)) for key, time in known.items()})


@own_settings()
def time_step(trunk: Trunk, numerics: Numerics) -> StepTime:
    """Time of a training step on random tokens, after two steps that warm up; never of a compiled one."""
    torch.set_num_threads(numerics.threads)
    state = LocalState(trunk.spec, replace(numerics, compiled=False))
    data = trunk.spec.data
    shape = (trunk.spec.sequences, data.context + 1)
    ids = np.random.default_rng(0).integers(0, data.vocab, shape)
    batch = OBJECTIVES[trunk.objective](ids, Layout(data.vocab), (0,))
    times: list[float] = []
    begin = time.perf_counter()
    while len(times) < 5 or time.perf_counter() - begin < MEASURED:
        start = time.perf_counter()
        loss, _ = state.train_step(batch, trunk.spec.learning_rate)
        float(loss)
        times.append(time.perf_counter() - start)
        if len(times) >= 3 and time.perf_counter() - begin > 20 * MEASURED:
            break
    return StepTime(*(float(t) for t in np.quantile(times[2:], [0.5, 0.05, 0.95])))


def _key(trunk: Trunk, numerics: Numerics) -> str:
    spec = trunk.spec
    parts = [spec.family, spec.width, spec.depth, spec.data.vocab, spec.data.context]
    parts += [spec.optimizer] if spec.optimizer != "adamw" else []
    parts += [spec.sequences, spec.microbatch, asdict(numerics), torch.__version__, platform.node()]
    parts += [list(spec.sizes), list(spec.extensions)] if spec.sizes or spec.extensions else []
    return hashlib.sha256(canonical_json(parts)).hexdigest()[:16]


def _read(store: Path) -> dict[str, StepTime]:
    """What was measured before; a file that cannot be read is measured anew."""
    try:
        content = read_json(store)
        return {str(key): StepTime(*map(float, value)) for key, value in content.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
