"""Who a run learns from: a finished run of the same data, or the exact law of a generated corpus."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from scaling.data.dataset import Dataset
from scaling.records.reading import read_small
from scaling.records.record import RECORD_FILE, RunRecord, decode_record

EXACT = "exact"


class Teacher(NamedTuple):
    """What a spec says of a teacher."""

    name: str  # run id, or `exact`
    loss: float


def decide_teacher(asked: str, runs: str | Path, dataset: Dataset, objective: str, context: int) -> Teacher:
    """The teacher that was named.

    Args:
        asked: a finished run by id or folder, below the folder `runs`; or `exact`.

    Raises:
        ValueError: for a run that is not there or not done, or that cannot teach a student on this corpus.
    """
    if asked == EXACT:
        if dataset.truth is None or not hasattr(dataset.truth, "exact_probabilities"):
            raise ValueError(
                f"training.teacher: corpus {dataset.name!r} has no exact predictions to learn from; "
                "data=zipf_facts has. Name a finished run."
            )
        return Teacher(EXACT, dataset.truth.floor)
    folder = find_run(asked, runs)
    record = read_record(folder)
    if record.status != "done" or record.loss is None:
        raise ValueError(f"training.teacher: run {record.run_id} is {record.status} and cannot teach.")
    for what, theirs, ours in (
        ("data", record.data_fingerprint, dataset.fingerprint),
        ("objective", record.objective, objective),
    ):
        if theirs != ours:
            raise ValueError(
                f"training.teacher: run {record.run_id} has the {what} {theirs}, the student {ours}; "
                "both must be the same."
            )
    if record.context is not None and record.context < context:
        raise ValueError(
            f"training.teacher: run {record.run_id} reads {record.context} tokens, the student {context}. "
            f"Give data.context={record.context} or less."
        )
    return Teacher(record.run_id, record.loss)


def find_run(asked: str, runs: str | Path) -> Path:
    """The folder of a run by its id or folder, in any study of `runs`.

    Raises:
        ValueError: when there is none.
    """
    name = Path(asked).name
    for path in sorted(Path(runs).glob(f"*/*/{name}/{RECORD_FILE}")) if name else ():
        return path.parent
    raise ValueError(
        f"training.teacher: no finished run {asked!r} in {runs}/. Name one by its id or folder, or `exact`; "
        f"`scaling status {runs}/STUDY` lists a study's runs."
    )


def read_record(folder: Path) -> RunRecord:
    """The record of a run."""
    return decode_record(read_small(folder / RECORD_FILE))
