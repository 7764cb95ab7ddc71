"""Scores of finished runs: written once each, beside the record."""

from __future__ import annotations

from pathlib import Path

from scaling.records.evaluation import (
    EVALUATIONS,
    Evaluation,
    check_place,
    decode_evaluation,
    encode_evaluation,
)
from scaling.records.reading import read_small
from scaling.records.seal import DamagedRecord
from scaling.records.storage.files import own_folder, quarantine, refuse_link, write_once


def commit_evaluation(run: str | Path, evaluation: Evaluation) -> bool:
    """Write a score into the folder of its run, permanently; False where it has this one already.

    Raises:
        ValueError: the folder is not that of the evaluation's run.
    """
    run = Path(run)
    if run.resolve().name != evaluation.run_id:
        raise ValueError(
            f"evaluation {evaluation.name!r} is of run {evaluation.run_id}, but the folder given is {run}; "
            "give the run's folder."
        )
    for place in (run, run.parent):
        refuse_link(place)
    home = own_folder(run, EVALUATIONS)
    return write_once(home / evaluation.file, encode_evaluation(evaluation))


def load_evaluation(run: str | Path, file: str) -> Evaluation | None:
    """The believable score of this file name, or None. A damaged one is set aside, to be made again."""
    path = Path(run) / EVALUATIONS / file
    try:
        found = decode_evaluation(read_small(path))
        check_place(found, Path(run).resolve().name, file)
    except FileNotFoundError:
        return None
    except DamagedRecord as error:
        quarantine(path, str(error))
        return None
    return found
