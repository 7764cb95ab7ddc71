"""What the bits of a result depend on besides its spec, and whether a trunk may be continued.

Every attempt and every record says where, in which arithmetic, with which versions and by which code it was
made. A trunk that was begun otherwise is not resumed unless the change is accepted: half of it would be one
computation and half another.
"""

from __future__ import annotations

import logging
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np

from scaling.records.record import ACCEPTED, CODE
from scaling.records.storage import checkpoint_steps, history
from scaling.study.parts import trunk_code
from scaling.study.spec import Trunk
from scaling.training.device import Numerics
from scaling.training.parallel import ranks

OnChange = Literal["refuse", "restart", "accept"]
# Of the versions, those that a resume may not change. The patch level of Python moves no bit, and a trunk may
# go on at any number of processes, as is promised: the record says at how many.
BINDING = ("torch", "numpy", "machine", "processor", "step")

logger = logging.getLogger(__name__)


class ChangedError(ValueError):
    """A trunk was begun by other code or in other arithmetic than would go on with it."""


def attempt_facts(trunk: Trunk, numerics: Numerics, parallel: str = "none") -> dict[str, Any]:
    """Return what an attempt says of itself: arithmetic, versions and code."""
    import torch

    on_gpu = numerics.device.startswith("cuda")
    versions = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "machine": platform.machine(),
        "processor": torch.cuda.get_device_name(numerics.device)
        if on_gpu
        else torch.backends.cpu.get_cpu_capability(),
        **trunk_code(trunk, parallel),
    }
    if parallel != "none":
        versions["parallel"] = f"{parallel} x {ranks()}"
    if numerics.compiled:
        versions["step"] = "compiled"
    return {**asdict(numerics), "versions": versions}


def find_changes(folder: Path, runs: Iterable[str], facts: Mapping[str, Any]) -> list[str]:
    """Return how `facts` differ from those a trunk was last trained with; none where it has no progress.

    Args:
        folder: the trunk's.
        runs: ids of the runs to be trained.
    """
    if not has_progress(folder, runs):
        return []
    attempts = history(folder)
    if not attempts:
        return ["attempts: none of attempts/*.json can be read, so what began this trunk is not known"]
    begun = attempts[-1]
    then, now = _binding(begun), _binding(facts)
    if not any(key.startswith(CODE) for key in then):
        logger.warning(
            "%s: begun before attempts named their code, so whether it has changed is not known", folder.name
        )
    return [
        f"{key}: {then[key]} then, {now[key]} now" for key in then if now.get(key, then[key]) != then[key]
    ]


def begun_with(folder: Path, runs: Iterable[str]) -> dict[str, Any]:
    """Return the facts of the last attempt at a trunk that has something to go on from; else none."""
    attempts = history(folder) if has_progress(folder, runs) else []
    return attempts[-1] if attempts else {}


def has_progress(folder: Path, runs: Iterable[str]) -> bool:
    """Whether there is a checkpoint, of the trunk or of one of these runs."""
    return bool(checkpoint_steps(folder)) or any(checkpoint_steps(folder / run) for run in runs)


def accepted_before(folder: Path) -> list[str]:
    """Return the changes that earlier attempts at what a trunk holds now were told to accept."""
    return [line for attempt in history(folder) for line in attempt.get(ACCEPTED, [])]


def refuse(changed: Mapping[str, Sequence[str]]) -> ChangedError:
    """Return the error for trunks that may not be resumed: what has changed of each, and the ways on."""
    shown = [
        f"  {trunk}\n" + "\n".join(f"    {line}" for line in lines)
        for trunk, lines in list(changed.items())[:5]
    ]
    more = [f"  and {len(changed) - 5} more"] if len(changed) > 5 else []
    number = f"{len(changed)} trunks were" if len(changed) > 1 else "a trunk was"
    return ChangedError(
        "\n".join(
            [
                f"{number} begun by other code or in other arithmetic, and a resume would mix both:",
                *shown,
                *more,
                "Add --restart to train such trunks from their first step, their finished runs too (what is "
                "there is set aside), or --accept-change to go on from their checkpoints (records, status, "
                "fit and report will say so). Nothing was changed.",
            ]
        )
    )


def _binding(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What a resume may not change, flat; `cuda:0` and `cuda:1` are one kind of device."""
    versions = dict(facts.get("versions") or {})
    found = {key: facts[key] for key in ("device", "precision", "threads") if key in facts}
    if "device" in found:
        found["device"] = str(found["device"]).partition(":")[0]
    if versions:
        found |= {"step": "not compiled"}
        found |= {key: versions[key] for key in BINDING if key in versions}
    return found | {key: value for key, value in versions.items() if key.startswith(CODE)}
