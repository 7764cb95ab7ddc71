"""Train one trunk and the cooldowns that branch off it, and commit a record for each run.

The trunk continues from the checkpoint of the branch, not from memory: every branch is a resume, so a resumed
study cannot differ from an untouched one, and a second copy of the state is never held.

A run may be missing whose branch the trunk has long passed: its record was damaged, or its budget came later.
Its own checkpoint is enough to go on from; without one the way to its branch is trained again in its own
folder. What the trunk has logged is never cut for it.
"""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from scaling.data.dataset import Dataset
from scaling.data.layout import Batch, Ids
from scaling.models import check_counts, shape_of
from scaling.models.settings import own_settings
from scaling.records.record import ACCEPTED, RunRecord
from scaling.records.storage import (
    FRESH,
    Lock,
    checkpoint_steps,
    commit_record,
    load_record,
    make_folder,
    new_attempt,
    own_folder,
    peek_checkpoint,
    record_failure,
    remove_folder,
    safe_child,
    supersede,
    sweep_temps,
    write_spec_once,
)
from scaling.study.spec import EVALUATION_SEQUENCES, RunSpec, Trunk
from scaling.training import stop
from scaling.training.device import Numerics, resolve_numerics
from scaling.training.distil import open_teacher
from scaling.training.evaluate import Evaluation, evaluate, mean_over_sets
from scaling.training.objectives import OBJECTIVES
from scaling.training.observer import Observer
from scaling.training.origin import go_on_from
from scaling.training.parallel import open_state
from scaling.training.provenance import (
    OnChange,
    accepted_before,
    attempt_facts,
    begun_with,
    find_changes,
    has_progress,
    refuse,
)
from scaling.training.reuse import TrunkCache
from scaling.training.schedule import run_rate, trunk_rate
from scaling.training.segment import Diverged, Segment
from scaling.training.state import TrainState, read_checkpoint

WAY = "way"  # in a run's folder: the trunk's steps to its branch, trained again


def train_trunk(
    trunk: Trunk,
    dataset: Dataset,
    study_folder: str | Path,
    *,
    study: str,
    device: str = "auto",
    threads: int | None = None,
    parallel: str = "none",
    reuse: bool = False,
    on_change: OnChange = "refuse",
    observer: Observer | None = None,
    heldout: Mapping[str, Dataset] | None = None,
) -> list[RunRecord]:
    """Train what of one trunk has no record yet.

    Args:
        reuse: reuse what other studies beside `study_folder` have trained; see `scaling.training.reuse`.
        on_change: what to do with a trunk that was begun by other code or in other arithmetic.
        heldout: the further sets that its runs are judged by, by name, as `open_heldout` gives them.

    Returns:
        Every record of its runs, old ones included, in the order of the runs.

    Raises:
        ValueError: when the folder was made with another spec, or the corpus is not the one planned with.
        ChangedError: when the trunk was begun by other code or in other arithmetic; `on_change` is refuse.
        LockedError: when another process trains this trunk.
        Stopped: when asked to stop; it has saved.
        OSError, RuntimeError, MemoryError: what stopped training; noted under `failures/`.
    """
    _check_corpus(trunk, dataset)
    _check_sets(trunk, heldout or {})
    folder = make_folder(safe_child(Path(study_folder), trunk.spec.id))
    with Lock(folder / "lock"):
        sweep_temps(folder)
        write_spec_once(folder / "spec.json", trunk.spec.identity())
        pending = _pending(trunk, folder)
        if pending:
            numerics = _numerics(trunk, folder, pending, device, threads, parallel)
            facts = attempt_facts(trunk, numerics, parallel)
            attempt, accepted = _start_attempt(trunk, folder, facts, on_change)
            pending = _pending(trunk, folder)  # all, where it was started over
            torch.set_num_threads(numerics.threads)
            with _noting_failures(folder, attempt), own_settings():
                _Attempt(
                    trunk,
                    dataset,
                    folder,
                    study,
                    lambda: open_state(trunk.spec, numerics, parallel),
                    numerics,
                    attempt,
                    TrunkCache(trunk.spec, folder, facts, reuse=reuse),
                    accepted,
                    observer or Observer(),
                    heldout or {},
                ).train(pending)
        records = [load_record(folder, run.id) for run in trunk.runs]
    return [record for record in records if record is not None]


def _numerics(
    trunk: Trunk, folder: Path, pending: list[RunSpec], device: str, threads: int | None, parallel: str
) -> Numerics:
    """The arithmetic of a trunk, as it was begun where that was left open."""
    begun = begun_with(folder, [run.id for run in pending])
    return resolve_numerics(trunk, device, threads, alone=parallel == "none", begun=begun)


@contextmanager
def _noting_failures(folder: Path, attempt: int) -> Iterator[None]:
    """Note an exception of any kind under `failures/` and raise it again; a request to stop is none."""
    try:
        yield
    except (stop.Stopped, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        record_failure(folder, attempt, failure_kind(error), traceback.format_exc())
        raise


def _check_corpus(trunk: Trunk, dataset: Dataset) -> None:
    if dataset.fingerprint != trunk.spec.data.fingerprint:
        raise ValueError(
            f"trunk {trunk.spec.id} was planned with data {trunk.spec.data.fingerprint}, but the corpus now "
            f"is {dataset.fingerprint}. Plan again: its runs get new ids and share no fit with the old ones."
        )


def _check_sets(trunk: Trunk, heldout: Mapping[str, Dataset]) -> None:
    planned = dict(trunk.runs[0].heldout)
    found = {name: dataset.fingerprint for name, dataset in heldout.items()}
    if planned != found:
        raise ValueError(
            f"trunk {trunk.spec.id} was planned with the held-out sets {planned}, but they now are {found}. "
            "Plan again: its runs get new ids."
        )


def _pending(trunk: Trunk, folder: Path) -> list[RunSpec]:
    return [run for run in trunk.runs if load_record(folder, run.id) is None]


def _start_attempt(
    trunk: Trunk, folder: Path, facts: dict[str, Any], on_change: OnChange
) -> tuple[int, list[str]]:
    """Take the next number; returns it with the changes that were accepted since the trunk's first step.

    Raises:
        ChangedError: when the trunk was begun by other code or in other arithmetic; `on_change` is refuse.
    """
    runs = [run.id for run in _pending(trunk, folder)]
    changes = find_changes(folder, runs, facts)
    if changes and on_change == "refuse":
        raise refuse({trunk.spec.id: changes})
    if changes and on_change == "restart":
        supersede(folder)
    if not has_progress(folder, runs):
        return new_attempt(folder, {**facts, FRESH: True}), []
    noted = {ACCEPTED: changes} if changes else {}
    attempt = new_attempt(folder, {**facts, **noted})
    return attempt, accepted_before(folder)


class _Attempt:
    """One attempt at one trunk."""

    def __init__(
        self,
        trunk: Trunk,
        dataset: Dataset,
        folder: Path,
        study: str,
        state: Callable[[], TrainState],
        numerics: Numerics,
        attempt: int,
        siblings: TrunkCache,
        accepted: list[str],
        observer: Observer,
        heldout: Mapping[str, Dataset],
    ) -> None:
        self.heldout = heldout
        self.trunk, self.dataset, self.folder, self.study = trunk, dataset, folder, study
        self.open_state, self.numerics = state, numerics
        self.attempt, self.siblings, self.observer = attempt, siblings, observer
        self.versions = dict(siblings.facts["versions"])
        if accepted:
            self.versions[ACCEPTED] = "; ".join(accepted)
        spec = trunk.spec
        self.batches = dataset.batches(spec.data.context, spec.batch_sizes, spec.seed)
        self.started = _now()
        self.evaluation_seconds = 0.0
        self.by_set: dict[str, Evaluation] = {}  # of the run that was evaluated last

    @cached_property
    def state(self) -> TrainState:
        """Made when the first step is to be trained: all may be there to reuse."""
        spec = self.trunk.spec
        shape = shape_of(spec.family, spec.width, spec.depth, spec.sizes)
        check_counts(spec.family, shape, spec.data.vocab, spec.data.context)
        state = self.open_state()
        if spec.origin:
            go_on_from(spec, self.folder.parent.parent, state)
        if spec.teacher:
            teacher = open_teacher(spec, self.folder.parent.parent, self.dataset, self.numerics)
            state.learn_from(teacher)
        return state

    def train(self, pending: list[RunSpec]) -> None:
        """Walk the trunk; at each branch cool down, evaluate and commit."""
        spec = self.trunk.spec
        self.observer.opened(spec.id, "trunk", spec.to_dict())
        for index, run in enumerate(pending):
            passed = max(checkpoint_steps(self.folder), default=0) > run.branch_step
            if not passed:  # ahead of a record, after which nobody would come back
                self.siblings.take_trunk(run.branch_step)
            taken = self.siblings.take_run(run, self.attempt)
            if taken is not None:
                self.observer.closed(run.id, asdict(taken))
                continue
            if passed and checkpoint_steps(self.folder / run.id) and self._finish(run, None):
                continue
            try:
                seconds = self._reach_again(run) if passed else self._reach(run)
            except Diverged as error:
                for lost in pending[index:]:
                    self._commit(lost, None, 0.0, f"trunk: {error}")
                break
            self._finish(run, seconds)
            remove_folder(self.folder / run.id / WAY)
        self.observer.closed(spec.id, {"evaluation_seconds": self.evaluation_seconds})

    def _reach(self, run: RunSpec) -> float:
        """Bring the trunk to the branch of a run; returns what that took [s]."""
        main = self._trunk_segment()
        with main.log:
            if not main.resume(at_most=run.branch_step) and self.state.step > self.trunk.spec.start:
                raise RuntimeError(
                    f"{self.folder}: all checkpoints up to step {run.branch_step} are damaged; the next "
                    "attempt restarts the trunk from its first step."
                )
            before = main.seconds
            main.advance(run.branch_step)
        return main.seconds - before

    def _reach_again(self, run: RunSpec) -> float:
        """Bring the state to a branch that the trunk has passed, and leave the trunk's folder as it is."""
        folder = own_folder(make_folder(safe_child(self.folder, run.id)), WAY)
        way = self._segment(folder, run.id, lambda step: trunk_rate(self.trunk.spec, step), silent=True)
        with way.log:
            if not way.resume(at_most=run.branch_step):
                found = peek_checkpoint(self.folder, read_checkpoint, run.branch_step)
                if found is None:
                    if self.state.step > self.trunk.spec.start:
                        del self.state
                        way.state = self.state
                else:
                    self.state.restore(found[1])
            way.advance(run.branch_step)
        return way.seconds

    def _trunk_segment(self) -> Segment:
        spec = self.trunk.spec
        return self._segment(
            self.folder,
            spec.id,
            lambda step: trunk_rate(spec, step),
            curve=lambda: self._evaluate(self.trunk.curve_tokens),
            curve_steps=self.trunk.curve_steps,
        )

    def _finish(self, run: RunSpec, trunk_seconds: float | None) -> bool:
        """From the branch to the record.

        Args:
            trunk_seconds: what reaching the branch took; None where the state is not there, and the run has
                to go on from a checkpoint of its own. False: it has none that is whole.
        """
        folder = make_folder(safe_child(self.folder, run.id))
        write_spec_once(folder / "spec.json", run.identity())
        cooldown = self._segment(folder, run.id, lambda step: run_rate(run, step))
        cooldown.before = trunk_seconds or 0.0
        reason = None
        found = None
        with cooldown.log:
            if not cooldown.resume() and trunk_seconds is None:
                return False
            self.observer.opened(run.id, "run", run.to_dict())
            try:
                cooldown.advance(run.steps)
                if not run.cooldown_steps:
                    cooldown.save()  # a run's folder holds its weights, whatever its schedule
                self.by_set = {
                    name: self._evaluate_on(dataset, run.evaluation_tokens, saved=True)
                    for name, dataset in self.heldout.items()
                }
                found = self._evaluate(run.evaluation_tokens, saved=True)
                if not found.loss <= math.log(self.dataset.vocab):
                    reason = (
                        f"held-out loss {found.loss:.4f} after {run.steps} steps is above that of guessing, "
                        f"ln {self.dataset.vocab} = {math.log(self.dataset.vocab):.4f}"
                    )
            except Diverged as error:
                reason = f"cooldown: {error}"
        self._commit(run, None if reason else found, cooldown.before + cooldown.seconds, reason)
        return True

    def _segment(
        self,
        folder: Path,
        id: str,
        rate: Callable[[int], float],
        curve: Callable[[], Evaluation] | None = None,
        curve_steps: tuple[int, ...] = (),
        silent: bool = False,
    ) -> Segment:
        return Segment(
            self.state,
            folder,
            id=id,
            batch=self._batch,
            rate=rate,
            flops_per_token=self.trunk.flops_per_token,
            observer=Observer() if silent else self.observer,
            curve=curve,
            curve_steps=curve_steps,
        )

    def _batch(self, step: int) -> Batch:
        arrange = OBJECTIVES[self.trunk.objective]
        return arrange(self.batches.batch(step), self.dataset.layout, (self.trunk.spec.seed, step))

    def _evaluate(self, tokens: int, saved: bool = False) -> Evaluation:
        """Of a state that is saved, a request to stop need not wait for the end."""
        parts = self.dataset.heldout_sets()
        if not parts:
            return self._evaluate_on(self.dataset, tokens, saved)
        found = {name: self._evaluate_on(one, tokens // len(parts), saved) for name, one in parts.items()}
        self.by_set |= found
        return mean_over_sets(list(found.values()))

    def _evaluate_on(self, dataset: Dataset, tokens: int, saved: bool) -> Evaluation:
        started = time.monotonic()
        rows: Iterable[Ids] = dataset.heldout_batches(
            self.trunk.spec.data.context, EVALUATION_SEQUENCES, tokens
        )
        if saved:
            rows = _until_asked(rows)
        with self.state.evaluating():
            found = evaluate(self.state.model, self.trunk.objective, rows, dataset, self.numerics.device)
        self.evaluation_seconds += time.monotonic() - started
        return found

    def _commit(self, run: RunSpec, found: Evaluation | None, seconds: float, reason: str | None) -> None:
        tokens = self.batches.tokens(run.steps)
        record = RunRecord(
            **self.trunk.decided(run),
            study=self.study,
            status="done" if reason is None else "diverged",
            tokens=tokens,
            tokens_unique=self.batches.tokens_unique(run.steps),
            epochs=self.batches.epochs(run.steps),
            flops=self.trunk.flops_per_token * tokens,
            flops_6nd=6.0 * (self.trunk.params_active or self.trunk.params) * tokens,
            loss=found.loss if found else None,
            loss_se=found.loss_se if found else None,
            bits_per_byte=found.bits_per_byte if found else None,
            losses={name: one.numbers() for name, one in self.by_set.items()} if found else {},
            domains=self.batches.by_domain(run.steps),
            device=self.numerics.device,
            precision=self.numerics.precision,
            threads=self.numerics.threads,
            seconds=seconds,
            attempts=self.attempt,
            started=self.started,
            finished=_now(),
            reason=reason,
            versions=self.versions,
        )
        make_folder(safe_child(self.folder, run.id))
        commit_record(self.folder, record)
        self.observer.closed(run.id, asdict(record))


def _until_asked(rows: Iterable[Ids]) -> Iterator[Ids]:
    for row in rows:
        if stop.requested():
            raise stop.Stopped("saved before its last evaluation")
        yield row


def message_of(error: BaseException) -> str:
    """What an exception says; one that cannot even say it is named by its class."""
    try:
        return str(error)
    except Exception:
        return f"a {type(error).__name__} whose message cannot be made"


def failure_kind(error: BaseException) -> str:
    """How a failure is listed: oom, enospc, quota or exception."""
    said = message_of(error).lower()
    # oneDNN says only this where an allocation of its own fails.
    starved = "memory" in said or "could not create a primitive" in said
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or starved:
        return "oom"
    if isinstance(error, OSError):
        return {28: "enospc", 122: "quota"}.get(error.errno or 0, "exception")
    return "exception"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
