"""What was measured: one record per run, and what a folder of records holds.

A record is written once and carries the sha256 of its own content. Reading never trusts a file: a record
whose hash, schema or fields are wrong is reported as damaged and enters nothing. Needs neither PyTorch nor
pandas, so a laptop can read a study.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from scaling.records.evaluation import Evaluation, read_evaluations
from scaling.records.reading import LARGEST_PLAN, did_you_mean, printable, read_json, read_small
from scaling.records.seal import DamagedRecord as DamagedRecord
from scaling.records.seal import canonical_json as canonical_json
from scaling.records.seal import seal, unseal

SCHEMA = 1
RECORD_FILE = "record.json"
PLAN_FILE = "plan.json"
QUARANTINE = "quarantine"  # folder of damaged files, in that of a trunk or run; X.reason says why X is there

ACCEPTED = "accepted"  # in an attempt and in a record's versions: the changes that a resume had to accept
PROGRAM = "program"  # among the versions of a record that another program has made: which
UNSTATED = "unstated"
CODE = "code."  # among the versions: a part of the code that made the record, as `root digest`

Status = Literal["done", "diverged"]


@dataclass(frozen=True)
class RunRecord:
    """One finished run. `loss` is held-out, in nats per predicted token; None exactly when diverged.

    Ours say everything. A record from another program says None of a number that the program did not give,
    and `UNSTATED` of a text.
    """

    run_id: str  # id of the run: family, shape, budget and a hash of its spec
    trunk_id: str  # id of its trunk; runs of one trunk are drawn together in every bootstrap
    study: str  # name of the study
    status: Status  # done or diverged
    family: str  # family of models
    objective: str  # causal, masked or seq2seq; losses of two objectives never share a fit
    width: int | None  # width of the model
    depth: int | None  # number of blocks or layers
    params: int  # [parameters] N, non-embedding (Kaplan)
    params_matmul: int | None  # [parameters] N plus the output layer
    params_total: int | None  # [parameters] all of them (Hoffmann)
    tokens: int  # [tokens] D, training tokens seen, repeats included
    tokens_unique: int | None  # [tokens] U, distinct training tokens seen
    epochs: float | None  # tokens, divided by the tokens that the corpus can serve
    flops: float  # [FLOP] C, 3 × counted forward (multiply-add as 2), as if the run were trained alone
    flops_6nd: float  # [FLOP] 6 × params × tokens
    loss: float | None  # [nats/token] L, held-out, per predicted token
    loss_se: float | None  # [nats/token] standard error of loss, from stretches of the held-out set
    bits_per_byte: float | None  # [bits/byte] held-out loss that is comparable across tokenizers
    learning_rate: float | None  # peak learning rate
    batch_tokens: int | None  # [tokens] batch size
    steps: int | None  # [steps] optimizer steps
    schedule: str  # learning-rate schedule
    cooldown_steps: int | None  # [steps] length of the cooldown at the end
    seed: int | None  # seed of the initial weights and of the order of the data
    data: str  # name of the corpus
    data_fingerprint: str  # hash of text, split and tokenizer; runs that differ in it never share a fit
    vocab: int | None  # [tokens] size of the vocabulary
    context: int | None  # [tokens] length of a sequence
    device: str  # device that it was trained on
    precision: str  # arithmetic of its matrix products
    threads: int | None  # CPU threads
    seconds: float | None  # [s] wall-clock time of the steps that only this run needed
    attempts: int  # how often the run was started
    started: str  # when its first attempt began (ISO 8601, UTC)
    finished: str  # when the record was written
    params_encoder: int | None = None  # [parameters] of params, where a family has two sides (Ghorbani)
    params_decoder: int | None = None  # [parameters] likewise
    losses: dict[str, dict[str, float]] = field(default_factory=dict)  # held-out set → loss, loss_se, …
    domains: dict[str, dict[str, float]] = field(default_factory=dict)  # of a mixture → weight, tokens, …
    tau: float | None = None  # share of the run over which weights are an average; see `Trunk.tau`
    params_active: int | None = None  # [parameters] of params, where a token goes through fewer
    reason: str | None = None  # why and at which step a run diverged
    versions: dict[str, str] = field(default_factory=dict)  # code, packages and machine that made it
    spec: dict[str, Any] = field(default_factory=dict)  # the decided run, complete

    @property
    def code(self) -> dict[str, str]:
        """Digests of the parts of the code that made it, by their roots; empty where it does not say."""
        lines = [line for key, line in self.versions.items() if key.startswith(CODE)]
        return {root: digest for root, _, digest in (line.rpartition(" ") for line in lines)}

    def __post_init__(self) -> None:
        if self.status not in ("done", "diverged"):
            raise ValueError(f"status: a record is done or diverged; got {self.status!r}.")
        if self.status == "done" and (self.loss is None or not math.isfinite(self.loss)):
            raise ValueError(f"run {self.run_id}: a done record needs a finite loss; got {self.loss!r}.")
        if self.status == "diverged" and self.loss is not None:
            raise ValueError(f"run {self.run_id}: a diverged record carries no loss; got {self.loss!r}.")


def encode_record(record: RunRecord) -> bytes:
    """The bytes of `record.json`: one line per field, and at the end the sha256 of its content."""
    return seal({"schema": SCHEMA, **asdict(record)})


def decode_record(data: bytes) -> RunRecord:
    """Inverse of `encode_record`.

    Raises:
        DamagedRecord: naming what is wrong: not JSON, another schema, a wrong hash, or wrong fields.
    """
    body = unseal(data, SCHEMA)
    try:
        return _build(body)
    except (TypeError, ValueError) as error:
        raise DamagedRecord(str(error)) from error


def _build(values: dict[str, Any]) -> RunRecord:
    if values.keys() != _FIELDS:  # fields of a later version go, defaults come, a TypeError names the missing
        return RunRecord(**{key: value for key, value in values.items() if key in _FIELDS})
    # A frozen dataclass sets its 42 fields one by one: that alone took as long as parsing them.
    record = object.__new__(RunRecord)
    vars(record).update(values)
    record.__post_init__()
    return record


_FIELDS = frozenset(f.name for f in fields(RunRecord))


def spec_digest(content: dict[str, Any]) -> str:
    """Return the part of an id that stands for everything in a spec."""
    return hashlib.sha256(canonical_json({"schema": SCHEMA, **content})).hexdigest()[:10]


@dataclass(frozen=True)
class Failure:
    """A try that ended without a record and may be tried again."""

    trunk_id: str
    attempt: int
    kind: str  # oom, enospc, exception, killed
    message: str


@dataclass(frozen=True)
class StudyRecords:
    """Everything a study folder says about its runs, reconciled against its plan."""

    folder: Path
    name: str
    records: tuple[RunRecord, ...]  # done and diverged, ordered by run_id
    expected: dict[str, dict[str, Any]]  # run_id → planned row, empty where there is no plan
    failures: dict[str, Failure]  # trunk_id → its last failure, where runs are missing
    damaged: dict[str, str]  # path inside the folder → why it was not believed
    quarantined: dict[str, str] = field(default_factory=dict)  # path inside the folder → why it was set aside
    evaluations: tuple[Evaluation, ...] = ()  # of runs with a record, ordered by run and file
    damaged_evaluations: dict[str, str] = field(default_factory=dict)  # path inside the folder → why

    @property
    def done(self) -> tuple[RunRecord, ...]:
        return tuple(r for r in self.records if r.status == "done")

    @property
    def diverged(self) -> tuple[RunRecord, ...]:
        return tuple(r for r in self.records if r.status == "diverged")

    @property
    def missing(self) -> tuple[str, ...]:
        """Run ids that were planned and have no believable record."""
        have = {r.run_id for r in self.records}
        return tuple(run_id for run_id in self.expected if run_id not in have)


def find_record_files(study: Path) -> Iterator[Path]:
    """Every `record.json` of a study: runs/<study>/<trunk_id>/<run_id>/record.json."""
    for trunk in _folders(str(study)):
        for run in _folders(trunk):
            path = Path(run, RECORD_FILE)
            if path.is_file():
                yield path


def _folders(path: str) -> list[str]:
    with os.scandir(path) as entries:
        return sorted(entry.path for entry in entries if entry.is_dir())


def read_study(folder: str | Path) -> StudyRecords:
    """Read, verify and reconcile one study folder. Changes nothing on disk.

    Raises:
        FileNotFoundError: when the folder does not exist, or holds neither a plan nor a record.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder}: no such runs folder.{did_you_mean(folder)} `scaling run study=NAME` makes runs/NAME."
        )
    damaged: dict[str, str] = {}
    trunks = _folders(str(folder))
    runs = [run for trunk in trunks for run in _folders(trunk)]
    records = _read_records(runs, damaged, folder)
    expected: dict[str, dict[str, Any]] = {}
    name = folder.name
    plan_path = folder / PLAN_FILE
    if plan_path.exists():
        try:
            plan = read_json(plan_path, LARGEST_PLAN)
            name = str(plan["study"])
            expected = {str(row["run_id"]): dict(row) for row in plan["runs"]}
        except (ValueError, KeyError, TypeError, OSError) as error:
            damaged[PLAN_FILE] = f"unreadable plan ({error}); missing runs cannot be counted"
    elif not records and not damaged:
        raise FileNotFoundError(f"{folder}: neither {PLAN_FILE} nor any record; not a study's runs folder.")

    missing_trunks = {row.get("trunk_id") for run_id, row in expected.items() if run_id not in records}
    failures = {}
    for trunk_id in sorted(str(t) for t in missing_trunks if t):
        failure = _last_failure(folder / trunk_id, damaged, folder)
        if failure:
            failures[trunk_id] = failure
    ordered = tuple(records[run_id] for run_id in sorted(records))
    aside = {
        os.path.relpath(path, folder): why
        for place in [*trunks, *runs]
        for path, why in _read_quarantine(place)
    }
    lost: dict[str, str] = {}
    scores = tuple(
        score for run in runs if os.path.basename(run) in records for score in read_evaluations(run, lost)
    )
    lost = {os.path.relpath(path, folder): why for path, why in lost.items()}
    return StudyRecords(folder, name, ordered, expected, failures, damaged, aside, scores, lost)


def _read_records(runs: list[str], damaged: dict[str, str], root: Path) -> dict[str, RunRecord]:
    """The verified records of run folders, by id; `damaged` gets the path of every other one, and why."""
    records: dict[str, RunRecord] = {}
    for run in runs:
        run_id = os.path.basename(run)
        try:
            record = decode_record(read_small(f"{run}/{RECORD_FILE}"))
            if record.run_id != run_id:
                raise DamagedRecord(f"says it is run {record.run_id}, but lies in the folder of {run_id}")
            if run_id in records:
                raise DamagedRecord(
                    f"a second record of run {run_id}; trunk {records[run_id].trunk_id} has one"
                )
        except FileNotFoundError:
            continue
        except (DamagedRecord, OSError) as error:
            damaged[os.path.relpath(f"{run}/{RECORD_FILE}", root)] = str(error)
            continue
        records[record.run_id] = record
    return records


def _read_quarantine(folder: str) -> Iterator[tuple[str, str]]:
    """(path, reason) of what was set aside in one trunk or run folder."""
    home = f"{folder}/{QUARANTINE}"
    if not os.path.isdir(home):
        return
    for name in sorted(os.listdir(home)):
        if not name.endswith(".reason"):
            note = Path(home, f"{name}.reason")
            yield f"{home}/{name}", _read_reason(note)


def _read_reason(note: Path) -> str:
    try:
        return printable(read_small(note).decode(errors="replace").strip())
    except FileNotFoundError:
        return "no note"
    except (OSError, DamagedRecord) as error:
        return f"a note that cannot be read: {error}"


def _last_failure(trunk: Path, damaged: dict[str, str], root: Path) -> Failure | None:
    """The last failure, unless a later attempt has begun since: what became of that one is not known yet."""
    files = sorted((trunk / "failures").glob("*.json")) if (trunk / "failures").is_dir() else []
    begun = [int(path.stem) for path in (trunk / "attempts").glob("*.json") if path.stem.isdigit()]
    latest = max(begun, default=0)
    for path in reversed(files):
        try:
            body = read_json(path)
            kind, message = printable(str(body["kind"])), printable(str(body["message"]))
            attempt = int(path.stem)
            return Failure(trunk.name, attempt, kind, message) if attempt >= latest else None
        except (ValueError, KeyError, TypeError, OSError) as error:
            damaged[str(path.relative_to(root))] = f"unreadable failure note: {error}"
    return None
