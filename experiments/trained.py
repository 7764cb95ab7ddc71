"""What commands on one trained run share: naming it, and opening it."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.extension import add_extension
from scaling.records.record import RECORD_FILE

if TYPE_CHECKING:
    from scaling.capability.finished import Finished, Subject
    from scaling.capability.labelled.tuning import Tuned

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
        FileNotFoundError: for a name that is not a run's, or weights that are gone.
        ValueError: for a run that is not done, or a corpus that has changed.
    """
    from scaling.capability.finished import open_finished
    from scaling.study.extensions import load_extensions

    load_extensions(asked.extension)
    return open_finished(find_run(asked.run), cache=asked.cache, device=asked.device)


@dataclass(frozen=True)
class Opened:
    """A model to use: a finished run's, also fine-tuned and compressed, or an exported one."""

    subject: Subject
    about: dict[str, Any]  # run, family and objective
    finished: Finished | None  # None of an export
    tuning: str = ""  # what it was fine-tuned on
    tuned: Tuned | None = None  # what it says, where it was to classify, tag or answer
    compression: dict[str, Any] | None = None


def add_model(parser: argparse.ArgumentParser) -> None:
    """The arguments that `open_model` reads."""
    add_run(parser)
    parser.add_argument(
        "--tune",
        metavar="KIND:FILE",
        help="fine-tune first, to classify, tag, answer or write; see docs/your-task.md",
    )
    parser.add_argument("--examples", type=int, help="labelled rows to fine-tune on (default: all)")
    parser.add_argument(
        "--lora", type=int, metavar="RANK", help="fine-tune with low-rank updates of this rank"
    )
    parser.add_argument(
        "--quantise", type=int, metavar="BITS", help="pack the weights into 8, 4, 3 or 2 bits"
    )
    parser.add_argument(
        "--group", type=int, help="with --quantise: one scale per this many weights, not per row"
    )
    parser.add_argument(
        "--prune", type=float, metavar="FRACTION", help="drop this fraction of the weights, smallest first"
    )


def open_model(asked: argparse.Namespace) -> Opened:
    """The run or export that was named, fine-tuned and with packed weights where that is asked.

    Raises:
        FileNotFoundError, ValueError: as `open_run` does, and for what cannot be tuned or packed.
    """
    setting = {key: getattr(asked, key) for key in ("quantise", "group", "prune") if getattr(asked, key)}
    if Path(asked.run, "model.safetensors").is_file():
        from scaling.capability.exported import open_exported, open_tuned
        from scaling.study.extensions import load_extensions

        if setting or asked.tune:
            raise ValueError(
                f"{asked.run}: an export is used as it is. Tune or compress the run, and export."
            )
        load_extensions(asked.extension)
        subject, config = open_exported(Path(asked.run), device=asked.device)
        about = {"run": config["run_id"], **_kind(config)}
        return Opened(subject, about, None, tuned=open_tuned(Path(asked.run), subject, config))
    finished = open_run(asked)
    record, subject = finished.record, finished.subject
    tuned = None
    if asked.tune:
        from scaling.capability.labelled.read import tune_model

        subject, tuned = tune_model(subject, asked.tune, asked.examples, asked.lora)
    if setting:
        from scaling.capability.packed import pack_model

        subject = replace(subject, model=pack_model(subject.model, setting))
    about = {"run": record.run_id, "family": record.family, "objective": record.objective}
    return Opened(subject, about, finished, asked.tune or "", tuned, setting or None)


def _kind(config: dict[str, Any]) -> dict[str, Any]:
    return {key: config[key] for key in ("family", "objective")}


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
