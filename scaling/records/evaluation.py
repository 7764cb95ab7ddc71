"""What a finished run can do: one small file per score, beside its record, which is never rewritten.

    runs/<study>/<trunk>/<run>/evaluations/<name>-<digest>.json

The digest is of the setting and of the definition (items and rule of scoring), so a score is found again by
asking for it again, and a changed question is never answered by an old score.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from scaling.records.reading import read_small
from scaling.records.seal import DamagedRecord, canonical_json, seal, unseal

SCHEMA = 1
EVALUATIONS = "evaluations"  # folder in that of a run


@dataclass(frozen=True)
class Evaluation:
    """One score of one finished run, under one setting."""

    run_id: str
    name: str  # of the task, or "loss"
    value: float
    se: float  # standard error of `value` over items
    chance: float  # value of guessing
    items: int
    metric: str  # what `value` is, e.g. "accuracy"
    definition: str  # digest of the items and of the rule of scoring
    setting: dict[str, Any] = field(default_factory=dict)  # {} as trained, {"quantise": 4}, {"prune": 0.5}
    details: dict[str, float] = field(default_factory=dict)  # other numbers, e.g. "logprob", "margin"
    confusion: dict[str, dict[str, float]] = field(default_factory=dict)  # true label → guess → items
    seconds: float = 0.0  # it took
    finished: str = ""  # ISO 8601, UTC

    def __post_init__(self) -> None:
        for name, number in {k: getattr(self, k) for k in _FINITE}.items():
            if not math.isfinite(number):
                raise ValueError(f"evaluation {self.name!r} of {self.run_id}: {name} is {number!r}.")
        if self.items < 1 or self.se < 0:
            raise ValueError(
                f"evaluation {self.name!r} of {self.run_id}: needs 1 or more items and a standard error of 0 "
                f"or more; got items={self.items}, se={self.se}."
            )

    @property
    def file(self) -> str:
        """The name of its file."""
        return evaluation_file(self.name, self.setting, self.definition)


_FINITE = ("value", "se", "chance")
_FIELDS = frozenset(f.name for f in fields(Evaluation))


def evaluation_file(name: str, setting: dict[str, Any], definition: str) -> str:
    """Where the score of a task under a setting is kept, and looked for before it is made again."""
    digest = hashlib.sha256(canonical_json([SCHEMA, name, setting, definition])).hexdigest()[:10]
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "-" for c in name)[:60]
    return f"{plain}-{digest}.json"


def encode_evaluation(evaluation: Evaluation) -> bytes:
    """The bytes of its file."""
    return seal({"schema": SCHEMA, **asdict(evaluation)})


def decode_evaluation(data: bytes) -> Evaluation:
    """Inverse of `encode_evaluation`.

    Raises:
        DamagedRecord: naming what is wrong: not JSON, another schema, a wrong hash, or wrong fields.
    """
    body = unseal(data, SCHEMA)
    try:
        return Evaluation(**{key: value for key, value in body.items() if key in _FIELDS})
    except (TypeError, ValueError) as error:
        raise DamagedRecord(str(error)) from error


def read_evaluations(run: str, damaged: dict[str, str]) -> Iterator[Evaluation]:
    """Every believable score in the folder of one run, by file name; the others go to `damaged` with why."""
    home = f"{run}/{EVALUATIONS}"
    if not os.path.isdir(home):
        return
    run_id = os.path.basename(run)
    for name in sorted(os.listdir(home)):
        if not name.endswith(".json"):
            continue
        try:
            found = decode_evaluation(read_small(f"{home}/{name}"))
            check_place(found, run_id, name)
        except (DamagedRecord, OSError) as error:
            damaged[f"{home}/{name}"] = str(error)
            continue
        yield found


def check_place(found: Evaluation, run_id: str, file: str) -> None:
    """
    Raises:
        DamagedRecord: for a score that lies in another run's folder, or under another's name.
    """
    if found.run_id != run_id:
        raise DamagedRecord(f"says it is of run {found.run_id}, but lies in the folder of {run_id}")
    if found.file != file:
        raise DamagedRecord(f"says it is {found.file}, but lies as {file}")
