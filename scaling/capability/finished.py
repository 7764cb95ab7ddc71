"""A finished run, opened: its record, its weights in its model, and the corpus that it was trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from scaling.data.corpora import open_dataset, reopen_dataset
from scaling.data.dataset import Dataset
from scaling.records.reading import read_small
from scaling.records.record import RECORD_FILE, DamagedRecord, RunRecord, decode_record
from scaling.records.storage import load_checkpoint
from scaling.study.extensions import check_extensions, load_extensions
from scaling.study.recorded import read_spec
from scaling.study.spec import DataSpec, RunSpec
from scaling.training.arithmetic import set_arithmetic
from scaling.training.device import Numerics
from scaling.training.state import build_model, evaluated_weights, read_checkpoint

CACHE = "~/.cache/scaling"  # as in `scaling.study.config.RunConfig`, which needs Hydra


@dataclass(frozen=True)
class Subject:
    """A model under test, and what it takes to ask it anything."""

    model: nn.Module  # in evaluation mode
    objective: str
    context: int
    dataset: Dataset
    rate: float  # peak learning rate that it was trained at
    device: str = "cpu"
    fresh: Callable[[], nn.Module] | None = None  # builds the model again, untrained


@dataclass(frozen=True)
class Finished:
    """A run with a record that says done."""

    folder: Path
    record: RunRecord
    spec: RunSpec
    subject: Subject


def open_finished(
    folder: str | Path, *, cache: str | Path = CACHE, device: str = "cpu", dataset: Dataset | None = None
) -> Finished:
    """Open the run in `folder`, runs/<study>/<trunk>/<run>. Matrix products run in the record's precision.

    Args:
        dataset: its corpus where it is open already.

    Raises:
        FileNotFoundError: when the folder holds no record or no whole checkpoint.
        ValueError: for a damaged record, a diverged run, a corpus that is no longer the one trained on, or
            an extension that made the run and is not loaded.
    """
    folder = Path(folder)
    record = read_done(folder)
    spec = read_spec(record)
    load_extensions(())
    check_extensions(spec.trunk.extensions, f"run {record.run_id}")
    dataset = dataset or open_corpus_of(spec.trunk.data, cache)
    found = load_checkpoint(folder, read_checkpoint)
    if found is None or found[0] != spec.steps:
        raise FileNotFoundError(
            f"{folder}: no intact checkpoint of step {spec.steps}; its weights are gone. Train it again in "
            "another study."
        )
    context, rate = spec.trunk.data.context, spec.trunk.learning_rate

    def fresh() -> nn.Module:
        model = build_model(spec.trunk).to(device)
        set_arithmetic(model, Numerics(device, record.precision, record.threads or 1).compute_dtype)
        if not hasattr(model, "context"):
            model.context = context  # type: ignore[assignment]
        return model

    model = fresh()
    model.load_state_dict(evaluated_weights(found[1]))
    subject = Subject(model.eval(), record.objective, context, dataset, rate, device, fresh)
    return Finished(folder, record, spec, subject)


def read_done(folder: Path) -> RunRecord:
    """The record of a run that is done.

    Raises:
        FileNotFoundError: when the folder holds no record.
        ValueError: for a damaged record or a diverged run.
    """
    path = folder / RECORD_FILE
    try:
        record = decode_record(read_small(path))
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{folder}: no {RECORD_FILE}, so no finished run. A run's folder is runs/STUDY/TRUNK/RUN."
        ) from None
    except DamagedRecord as error:
        raise ValueError(f"{path}: damaged ({error}); nothing is measured on it.") from error
    if record.status != "done":
        raise ValueError(f"{folder}: the run is {record.status} ({record.reason}); there is nothing to use.")
    return record


def open_corpus_of(spec: DataSpec, cache: str | Path = CACHE) -> Dataset:
    """The corpus that a run was trained on: as the cache has kept it, else from its files again.

    Raises:
        ValueError: when the text or the tokenizer is another now.
    """
    kept = reopen_dataset(spec, spec.fingerprint, cache)
    if kept is not None:
        return kept
    dataset = open_dataset(replace(spec, train_tokens=None), cache)
    if dataset.fingerprint != spec.fingerprint:
        raise ValueError(
            f"trained on data {spec.fingerprint}, but corpus {spec.corpus!r} now is {dataset.fingerprint}: "
            "its held-out text may contain training text of the run. Restore the old files or packages, "
            "or train again."
        )
    return dataset
