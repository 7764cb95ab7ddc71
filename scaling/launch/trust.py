"""Whose commands are run: those of the person at the keyboard, never any that came with a folder.

A command stands in the study file or on the command line, and nowhere else is one read. But a command goes
on from the files in its folder, and a folder that somebody else has filled may hold checkpoints that run code
when they are loaded. So the first command that this user runs in a study leaves a mark there, which this
user's cache knows; in a study with commands and another mark, or none, nothing runs until it is trusted.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from scaling.records.reading import read_json
from scaling.records.storage import make_folder, waiting_lock, write_json
from scaling.study.command import CommandSpec, CommandTrunk, render
from scaling.study.plan import Plan

MARK = "commands.json"  # in a study's folder; the cache's list of marks has the same name
SHOWN = 5


def check_trust(plan: Plan, trust: bool = False) -> None:
    """Make sure that commands may run in a study's folder; trains nothing.

    Args:
        trust: the user has looked at what would run, and where.

    Raises:
        ValueError: for a folder in which somebody else's commands have run; lists what would run.
    """
    commands = [trunk for trunk in plan.trunks if isinstance(trunk, CommandTrunk)]
    if not commands:
        return
    cache = make_folder(Path(plan.config.cache).expanduser())
    mark, known = _read_mark(plan.folder), _read_known(cache)
    if mark in known:
        return
    used = any((plan.folder / trunk.spec.id).exists() for trunk in commands) or any(
        plan.folder.glob("*/command")
    )
    if (mark or used) and not trust:
        raise ValueError(_refusal(plan, commands))
    mark = secrets.token_hex(16)
    with waiting_lock(cache / f"{MARK}.lock"):
        write_json(cache / MARK, sorted({*_read_known(cache), mark}))
    write_json(make_folder(plan.folder) / MARK, {"mark": mark})


def _refusal(plan: Plan, commands: list[CommandTrunk]) -> str:
    lines = []
    for trunk in commands[:SHOWN]:
        assert isinstance(trunk.spec, CommandSpec)
        folder = plan.folder / trunk.spec.id / "command" / "out"
        values = trunk.values(folder=folder, study=plan.name, device="…", threads="…")
        lines.append("  " + " ".join(render(trunk.spec.command, values)))
    more = [f"  and {len(commands) - SHOWN} more"] if len(commands) > SHOWN else []
    return "\n".join(
        [
            f"{plan.folder}: somebody else's commands have run here, or yours on another machine. "
            "This would run",
            *lines,
            *more,
            "in folders whose files may be theirs: a checkpoint can run code when it is loaded. Nothing was "
            "run. Add --trust once you know where the folder is from, or choose another: name=NAME.",
        ]
    )


def _read_mark(folder: Path) -> str:
    try:
        return str(read_json(folder / MARK)["mark"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _read_known(cache: Path) -> set[str]:
    try:
        return {str(mark) for mark in read_json(cache / MARK)}
    except (OSError, ValueError, TypeError):
        return set()
