"""Which trunks go where on one machine: processes on its cores, or several models on each GPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from scaling.records.record import RECORD_FILE
from scaling.records.storage import safe_child
from scaling.study.command import CommandTrunk
from scaling.study.config import Parallel
from scaling.study.plan import Plan
from scaling.study.spec import Trunk
from scaling.training.device import usable_cores
from scaling.training.provenance import begun_with

STATE_BYTES = 16  # a parameter: weight, gradient and two moments, each in float32
LAYER_BYTES = 68  # a token, unit of width and layer
LOGIT_BYTES = 16  # a token and entry of the vocabulary: logits, their softmax, its gradient, and one to spare
CONTEXT_BYTES = 1e9  # a process, before it has allocated anything
FILLED = 0.9  # of the free memory of a device
MOST = 4  # models per device: small ones leave it idle between kernels, and each takes a core


@dataclass(frozen=True)
class Device:
    """A GPU and its free memory [bytes]."""

    name: str
    free: float


def find_devices(asked: str) -> list[Device]:
    """The GPUs that `training.device` allows; none where it means the CPU."""
    if asked == "cpu":
        return []
    import torch

    if not torch.cuda.is_available():
        return []
    names = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    return [
        Device(name, torch.cuda.mem_get_info(name)[0]) for name in names if asked in ("auto", "cuda", name)
    ]


def needed_bytes(trunk: Trunk) -> float:
    """What training a trunk takes of a device, generously.

    Source: Korthikanti et al. 2022 (arXiv:2205.05198), equation 1, 34 bytes per token, unit of width and
    layer in 16 bits where attention keeps no scores; twice that in float32.
    """
    spec = trunk.spec
    tokens = spec.microbatch * spec.data.context
    activations = tokens * (LAYER_BYTES * spec.width * spec.depth + LOGIT_BYTES * spec.data.vocab)
    return CONTEXT_BYTES + STATE_BYTES * trunk.params_total + activations


@dataclass(frozen=True)
class Share:
    """How the trunks of a plan share this machine."""

    places: tuple[str, ...]  # a device for each of the trunks that train at a time
    threads: int | None  # of each trunk; None: the rule in `scaling.training.device`

    @property
    def workers(self) -> int:
        """Trunks at a time."""
        return len(self.places)


def share_machine(plan: Plan, found: Sequence[Device] | None = None) -> Share:
    """Decide how many trunks train at a time, where, and on how many threads each. Once: memory changes.

    What was asked; else, on a CPU, one trunk per core with one thread where models are small. Two processes
    of one thread gave 1.2 to 1.4 times the tokens of one process of two at widths 16 to 120, and a process of
    two threads comes to a standstill as soon as anything else wants a core. A GPU gets as many as fit beside
    each other, `MOST` at most; that number has not been measured. The emptiest device comes first.
    """
    training, asked = plan.config.training, plan.config.workers
    found = find_devices(training.device) if found is None else found
    if any(isinstance(trunk, CommandTrunk) for trunk in plan.trunks):
        return _share_commands(plan, found)
    seats = _seats(plan, found) if found else [training.device]
    if training.parallel is not Parallel.none:
        return Share((seats[0],), training.threads)
    cores = usable_cores()
    if found:
        workers = asked or min(len(seats), max(cores, len(found)))
    else:
        widest = max(trunk.spec.width for trunk in plan.trunks)
        workers = asked or (cores if widest <= 128 and training.threads in (None, 1) else 1)
    workers = min(workers, len(plan.trunks))
    places = tuple(seats[i % len(seats)] for i in range(workers))
    return Share(places, training.threads or (1 if workers > 1 and not found else None))


def begun(plan: Plan, trunk: Trunk) -> dict[str, Any]:
    """Return what the last attempt at a trunk said of itself, where there is something to go on from."""
    folder = safe_child(plan.folder, trunk.spec.id)
    return begun_with(folder, [run.id for run in trunk.runs if not (folder / run.id / RECORD_FILE).exists()])


def threads_of(plan: Plan, share: Share, begun: Mapping[str, Any]) -> int | None:
    """The threads of a trunk: as asked, else as it was begun, as a resume may not mix them; else the share's.

    The share depends on how many trunks a command has, so a narrower command would choose others.
    """
    return plan.config.training.threads or begun.get("threads") or share.threads


def _share_commands(plan: Plan, found: Sequence[Device]) -> Share:
    """A GPU to each command; without GPUs one at a time unless asked, as it may use every core."""
    names = [device.name for device in sorted(found, key=lambda device: -device.free)]
    names = names or [plan.config.training.device]
    workers = min(plan.config.workers or (len(found) or 1), len(plan.trunks))
    return Share(tuple(names[i % len(names)] for i in range(workers)), plan.config.training.threads)


def _seats(plan: Plan, found: Sequence[Device]) -> list[str]:
    """Devices in the order in which they are given out: the first model of each, then the second, …

    By the need of the largest trunk, so that any trunk may take any seat. A device that is too small even
    for one gets one: training says what it lacks.
    """
    need = max(map(needed_bytes, plan.trunks))
    emptiest_first = sorted(found, key=lambda device: -device.free)
    counts = [max(1, min(MOST, int(FILLED * device.free / need))) for device in emptiest_first]
    rows = [[device.name] * count for device, count in zip(emptiest_first, counts, strict=True)]
    return [name for column in zip_longest(*rows) for name in column if name]
