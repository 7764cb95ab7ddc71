"""`scaling doctor`: what this machine offers, and how to fix what is wrong. Opens no network connection."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

from experiments.cli import project, version
from experiments.terminal import plural, printable, size

CACHE, RUNS = "~/.cache/scaling", "runs"
LITTLE = 2e9  # bytes free; below, a study of any size fills the disk
MARKS = {"ok": " ", "note": "·", "wrong": "!"}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    says: str
    state: Literal["ok", "note", "wrong"] = "ok"
    todo: str = ""  # what to do about it


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scaling doctor", description=__doc__)
    parser.add_argument("--cache", default=CACHE, help=f"token files (default {CACHE})")
    parser.add_argument("--runs", default=RUNS, help=f"folder of studies (default {RUNS})")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    asked = parser.parse_args(arguments)
    found = list(examine(Path(asked.cache).expanduser(), Path(asked.runs)))
    if asked.json:
        print(json.dumps({"findings": [asdict(one) for one in found]}, indent=1))
    else:
        print(printable(describe(found)))
    return int(any(one.state == "wrong" for one in found))


def describe(found: list[Finding]) -> str:
    """One line each, with what to do below it."""
    width = max(len(one.name) for one in found)
    lines = []
    for one in found:
        lines.append(f"{MARKS[one.state]} {one.name:<{width}}  {one.says}")
        if one.todo:
            lines.append(f"  {'':<{width}}  → {one.todo}")
    return "\n".join(lines)


def examine(cache: Path, runs: Path) -> Iterator[Finding]:
    """Look at everything, in the order in which it is met."""
    yield Finding("version", f"scaling-harness {version()}, Python {platform.python_version()}")
    packages = installed()
    yield from packages["train"]
    if importlib.util.find_spec("torch"):
        for look in (_device, _threads, _precision, _compiler):
            yield _guarded(look)
    yield _folder("cache", cache, _contents(cache))
    yield _folder("runs", runs, "created by the first `scaling run`" if not runs.is_dir() else _studies(runs))
    yield _wandb()
    for extra, findings in sorted(packages.items()):
        if extra != "train":
            yield from findings


def installed() -> dict[str, list[Finding]]:
    """What each extra needs, and whether it is there: extra → one finding, or one a package that is amiss."""
    found: dict[str, list[Finding]] = {}
    for extra, needed in sorted(_requirements().items()):
        todo = f"pip install 'scaling-harness[{extra}]'"
        state: Literal["note", "wrong"] = "wrong" if extra == "train" else "note"
        missing: list[str] = []
        old: list[str] = []
        there: list[str] = []
        for one in needed:
            try:
                has = metadata.version(one.name)
            except metadata.PackageNotFoundError:
                missing.append(one.name)
                continue
            fits = one.specifier.contains(has, prereleases=True)
            (there if fits else old).append(
                f"{one.name} {has}" + ("" if fits else f", needs {one.specifier}")
            )
        name = f"[{extra}]"
        found[extra] = [
            *([Finding(name, ", ".join(there))] if there and not (missing or old) else []),
            *([Finding(name, f"not installed: {', '.join(missing)}", state, todo)] if missing else []),
            *([Finding(name, f"another version: {'; '.join(old)}", "wrong", todo)] if old else []),
        ]
    return found


def _requirements() -> dict[str, list[Requirement]]:
    """Extra → packages: as a checkout's pyproject.toml says, else the installed package."""
    extras: dict[str, list[Requirement]] = defaultdict(list)
    try:
        lines = [
            f'{line}; extra == "{extra}"'
            for extra, needed in project()["optional-dependencies"].items()
            for line in needed
        ]
    except FileNotFoundError:
        lines = metadata.requires("scaling-harness") or []
    for line in lines:
        one = Requirement(line)
        for extra in str(one.marker or "").replace("'", '"').split('"')[1::2]:
            if one.name != "scaling-harness" and extra != "dev":
                extras[extra].append(one)
    return extras


def _guarded(look: Callable[[], Finding]) -> Finding:
    """A library that is broken is a finding too."""
    try:
        return look()
    except (ImportError, OSError, RuntimeError) as error:
        return Finding(look.__name__.strip("_"), f"{type(error).__name__}: {error}", "wrong",
                       "reinstall PyTorch: pip install --force-reinstall torch")  # fmt: skip


def _device() -> Finding:
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        free = sum(torch.cuda.mem_get_info(i)[0] for i in range(len(names)))
        return Finding("device", f"{', '.join(names)}; {size(free)} free")
    says = f"cpu ({torch.backends.cpu.get_cpu_capability()}); PyTorch sees no CUDA device"
    if shutil.which("nvidia-smi"):
        return Finding("device", says, "wrong", "there is an NVIDIA driver: install a PyTorch built for CUDA")
    return Finding("device", says)


def _threads() -> Finding:
    from scaling.training.device import usable_cores
    from scaling.training.throughput import find_crowd

    cores = usable_cores()
    says = f"{plural(cores, 'core')}; small models train one per core"
    crowd = find_crowd()
    if crowd:
        return Finding("threads", f"{says}; load {crowd.load:.1f}", "note",
                       "the machine is shared: a plan's times hold only for now")  # fmt: skip
    quota = _quota()
    if quota is not None and quota < cores - 0.01:
        return Finding("threads", f"{says}; the container may use {quota:.2g} of them", "wrong",
                       f"workers={max(1, int(quota))}: more would wait for each other")  # fmt: skip
    return Finding("threads", says)


def _quota() -> float | None:
    """Cores that a container may use; None where nothing limits them."""
    try:
        most, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return None if most == "max" else int(most) / int(period)
    except (OSError, ValueError):
        return None


def _precision() -> Finding:
    from scaling.training.device import BFLOAT16_WIDTH, choose_numerics

    narrow, wide = (choose_numerics("auto", width).precision for width in (1, 10 * BFLOAT16_WIDTH))
    rule = narrow if narrow == wide else f"{narrow} below width {BFLOAT16_WIDTH}, {wide} from there"
    return Finding("precision", f"training.precision=auto: {rule}")


def _compiler() -> Finding:
    found = shutil.which(os.environ.get("CXX", "g++")) or shutil.which("clang++")
    if found:
        return Finding("compiler", f"{found}: long trunks of small models go through torch.compile")
    return Finding("compiler", "none: no step is compiled", "note",
                   "with g++, steps of long trunks are a twentieth to a quarter faster")  # fmt: skip


def _folder(name: str, path: Path, says: str) -> Finding:
    """Whether a folder that will be written to can be, and has room."""
    there = next(place for place in (path.absolute(), *path.absolute().parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        return Finding(
            name, f"{path}: {there} cannot be written to", "wrong", f"{name}=FOLDER of `scaling run`"
        )
    free = shutil.disk_usage(there).free
    says = f"{path}: {says}; {size(free)} free"
    if free < LITTLE:
        return Finding(name, says, "wrong", f"make room: scaling clean shows what can go; or {name}=FOLDER")
    return Finding(name, says)


def _contents(cache: Path) -> str:
    if not cache.is_dir():
        return "created by the first plan"
    sets = [path for path in cache.iterdir() if path.is_dir() and (path / "dataset.json").is_file()]
    total = sum(file.lstat().st_size for path in sets for file in path.iterdir())
    return f"{plural(len(sets), 'token set')}, {size(total)}"


def _studies(runs: Path) -> str:
    number = sum((path / "plan.json").is_file() for path in runs.iterdir())
    return f"{number} {'study' if number == 1 else 'studies'}"


def _wandb() -> Finding:
    if importlib.util.find_spec("wandb") is None:
        return Finding("W&B", "not installed: runs are not mirrored", "note", "pip install wandb")
    from scaling.records.tracking import resolve_auto

    mode, why = resolve_auto()
    says = f"tracking=auto: {mode} ({why})"
    if mode == "offline":
        return Finding(
            "W&B",
            says,
            "note",
            "after `wandb login`, runs are mirrored online; `wandb sync` sends offline runs",
        )
    return Finding("W&B", says)
