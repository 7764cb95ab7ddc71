"""What commands on one trained run share: naming it, and opening it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.extension import add_extension
from scaling.records.record import RECORD_FILE

if TYPE_CHECKING:
    from scaling.capability.finished import Finished

RUNS = "runs"
CACHE = "~/.cache/scaling"  # as in `scaling.capability.finished`, which needs PyTorch: help does without


def add_run(parser: argparse.ArgumentParser) -> None:
    """The arguments that `open_run` reads."""
    parser.add_argument("run", metavar="RUN", help=f"a finished run's folder, or its id under {RUNS}/")
    add_extension(parser)
    parser.add_argument("--cache", default=CACHE, help=f"token files (default {CACHE})")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default cpu)")


def open_run(asked: argparse.Namespace) -> Finished:
    """The run that was named, with its weights and its corpus.

    Raises:
        FileNotFoundError: for a name that is no run's, or weights that are gone.
        ValueError: for a run that is not done, or a corpus that has changed.
    """
    from scaling.capability.finished import open_finished
    from scaling.study.extensions import load_extensions

    load_extensions(asked.extension)
    return open_finished(find_run(asked.run), cache=asked.cache, device=asked.device)


def find_run(name: str) -> Path:
    """The folder of a run that was named by folder or id.

    Raises:
        FileNotFoundError: when there is none.
    """
    if Path(name, RECORD_FILE).is_file():
        return Path(name)
    found = sorted(Path(RUNS).glob(f"*/*/{name}/{RECORD_FILE}")) if "/" not in name and name else []
    if not found:
        raise FileNotFoundError(
            f"{name}: no finished run. Name its folder, {RUNS}/STUDY/TRUNK/RUN, or its id; "
            f"`scaling status {RUNS}/STUDY` lists a study's trunks."
        )
    return found[0].parent  # an id stands for everything that decides a run: copies are alike
