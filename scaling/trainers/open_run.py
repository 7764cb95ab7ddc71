"""Records from any program: `open_run` in its own loop. Needs neither PyTorch, Hydra nor W&B.

A run is one folder as ours are: `spec.json`, a lock, numbered attempts, `metrics.jsonl`, and the record,
which is written once and carries its own sha256. A run is expected from the moment it is opened:
`scaling status` counts one that was never finished as missing or failed, with the reason.
"""

from __future__ import annotations

import json
import logging
import platform
import sys
import time
import traceback
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from scaling.records.record import PROGRAM, SCHEMA, RunRecord, spec_digest
from scaling.records.storage import (
    Lock,
    MetricsLog,
    commit_record,
    join_plan,
    load_record,
    make_folder,
    new_attempt,
    record_failure,
    safe_child,
    sweep_temps,
    write_spec_once,
)
from scaling.study.spec import readable
from scaling.trainers.values import (
    MOST,
    SURROUNDINGS,
    Result,
    count,
    number,
    positive,
    read_held_out_loss,
    read_settings,
    record_fields,
    short_name,
)

METRICS, SPEC = "metrics.jsonl", "spec.json"

logger = logging.getLogger(__name__)


def open_run(
    folder: str | Path,
    *,
    arm: str,
    params: float,
    seed: int = 0,
    tokens: float | None = None,
    question: str = "",
    **settings: Any,
) -> OpenRun:
    """Open a run of your own program; a context manager.

        >>> import scaling
        >>> with scaling.open_run("runs/mine", arm="mamba", params=1.2e6, lr=1e-3) as run:  # doctest: +SKIP
        ...     if not run.done:
        ...         run.log(tokens=4096, train_loss=5.1)
        ...         run.finish(loss=4.2, loss_se=0.01)

    The same call opens the same run: a program that was killed continues it, and `run.done` tells a program
    that its run is finished. Everything in which runs differ belongs in the call.

    Args:
        folder: of the study, e.g. runs/mine; `scaling fit runs/mine` reads it.
        arm: what is compared: runs of one arm that differ only in N, D and seed share a law.
        params: non-embedding parameters (Kaplan); `params_total` may be given beside them.
        tokens: training tokens planned. Needed where runs differ only in their budget.
        question: what the study asks, for its report.
        settings: anything else that tells this run from others: `learning_rate`, `optimizer`, `width`, …

    Raises:
        TypeError, ValueError: for a value that a record cannot hold.
    """
    found = read_settings(settings)
    if not isinstance(arm, str) or not arm.strip():
        raise ValueError(f"arm: a name is needed, e.g. arm='mamba'; got {arm!r}.")
    budget = None if tokens is None else count("tokens", tokens)
    size, seed = count("params", params), count("seed", seed, 0)
    return OpenRun(Path(folder), arm, size, seed, budget, found, question)


class OpenRun:
    """A run that your own program trains. Made by `open_run`.

    Attributes:
        id: of the run.
        folder: of the run's trunk; a good place for the program's own checkpoints.
        record: of the run, by this program's earlier life or by another process; None where there is none.
        tokens: training tokens of the last line that was logged, earlier lives included.
    """

    def __init__(
        self,
        study: Path,
        arm: str,
        params: int,
        seed: int,
        budget: int | None,
        settings: Mapping[str, Any],
        question: str,
    ) -> None:
        self.study, self.arm, self.params, self.seed = study, arm, params, seed
        self.budget, self.settings, self.question = budget, dict(settings), question
        self.spec = {"family": arm, "params": params, "seed": seed, "tokens": budget}
        self.spec |= {name: value for name, value in self.settings.items() if name not in SURROUNDINGS}
        self.trunk_id = f"{short_name(arm)}-{readable(params)}-{spec_digest(self.spec)}"
        self.id = self._run_id(budget)
        self.folder = study / self.trunk_id
        self.record: RunRecord | None = None
        self.tokens, self.seconds = 0, 0.0
        self.step: int | None = None
        self._held = ExitStack()
        self._log: MetricsLog | None = None
        self._fresh = True  # nothing was logged since it was opened

    @property
    def done(self) -> bool:
        """Whether it has a record."""
        return self.record is not None

    def __enter__(self) -> OpenRun:
        """Take the run.

        Raises:
            LockedError: when another process works on it.
            OSError: when the folder cannot be written.
        """
        make_folder(self.study)
        self.folder = make_folder(safe_child(self.study, self.trunk_id))
        with ExitStack() as held:
            held.enter_context(Lock(self.folder / "lock"))
            sweep_temps(self.folder)
            write_spec_once(self.folder / SPEC, self.spec)
            self._expect(self.id, self.budget)
            self.record = load_record(self.folder, self.id)
            if self.record is None:
                self.attempt = new_attempt(self.folder, {"versions": _versions(), **self._surroundings()})
                self._log = held.enter_context(MetricsLog(self.folder / METRICS))
                self._find_end()
            else:
                self.tokens, self.step = self.record.tokens, self.record.steps
            self._held = held.pop_all()
        self.started, self.begin = _now(), time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if not self.done and isinstance(error, Exception):
                text = "".join(traceback.format_exception(error))
                record_failure(self.folder, self.attempt, "exception", text)
            elif not self.done and error is None:
                why = "the program left the run without run.finish(loss=…)"
                record_failure(self.folder, self.attempt, "unfinished", why)
                logger.warning("%s: %s; it has no record.", self.id, why)
        finally:
            self._held.close()

    def close(self) -> None:
        """Release the run, finished or not: for programs that cannot use `with`."""
        self._held.close()

    def log(self, *, tokens: float, step: int | None = None, **values: Any) -> None:
        """Write one line of the learning curve: `train_loss`, the held-out `loss`, `learning_rate`, …

        A program that continues from a checkpoint logs again what it had logged after it: those lines are
        replaced. In a run that is already done, nothing is written.

        Args:
            tokens: training tokens seen since the start of the run.

        Raises:
            TypeError, ValueError: for what is not a number, a negative loss, or tokens that go backwards.
        """
        line = {"tokens": count("tokens", tokens, 0)}
        if step is not None:
            line["step"] = count("step", step, 0)
        said = {name: number(name, value) for name, value in values.items()}
        for name in ("loss", "train_loss"):
            if said.get(name, 0) < 0:
                raise ValueError(f"{name}: {values[name]!r} is negative; losses are in nats per token.")
        if self.record is not None:
            self._refuse_more(line["tokens"])
            return
        log = self._opened()
        if self._fresh:
            self._go_back(line["tokens"])
        elif line["tokens"] < self.tokens:
            raise ValueError(
                f"tokens: {line['tokens']:,} after {self.tokens:,}; they count from the start of the run."
            )
        self._fresh, self.tokens = False, line["tokens"]
        self.step = line.get("step", self.step)
        passed = {"flops": 6.0 * self.params * self.tokens, "seconds": round(self._seconds(), 3)}
        log.append({**line, **passed, **said})

    def sync(self) -> None:
        """Put every line on the disk. Call it where the program saves a checkpoint: then none is lost."""
        if self._log is not None and not self.done:
            self._log.sync()

    def finish(
        self,
        *,
        loss: Any,
        loss_se: Any = None,
        bits_per_byte: Any = None,
        tokens: float | None = None,
        flops: float | None = None,
    ) -> RunRecord:
        """Commit the record; returns it. A loss that is NaN or infinite makes it that of a diverged run.

        Args:
            loss: held-out [nats/token].
            loss_se: its standard error.
            tokens: training tokens seen; by default those of the last line.
            flops: training FLOPs; by default 6 N D.

        Raises:
            TypeError, ValueError: for a loss that is none; tokens that are missing or far from the budget;
                or another result than the one that the run has a record of.
        """
        outcome = read_held_out_loss(loss, loss_se, bits_per_byte)
        seen = self._seen(tokens)
        if self.record is None:
            self._opened().sync()
            self.record = self._commit(self.id, seen, outcome, flops, {})
        self._refuse_other(self.record, outcome, seen)
        return self.record

    def branch(
        self,
        *,
        tokens: float,
        loss: Any,
        loss_se: Any = None,
        bits_per_byte: Any = None,
        flops: float | None = None,
    ) -> RunRecord:
        """Commit the record of a run that has cooled down off this one, and return it.

        Runs of one trajectory are not independent: they share its id, and intervals draw them together.

        Args:
            tokens: of the branch, its cooldown included.
        """
        outcome, seen = read_held_out_loss(loss, loss_se, bits_per_byte), count("tokens", tokens)
        id = self._run_id(seen, "branch")
        found = load_record(self.folder, id)
        if found is None:
            if self.done:
                raise ValueError(f"run {self.id} is finished; a branch off it belongs before run.finish().")
            self._opened().sync()
            self._expect(id, seen)
            found = self._commit(id, seen, outcome, flops, {"branch": True})
        self._refuse_other(found, outcome, seen)
        return found

    def _commit(
        self, id: str, tokens: int, outcome: Result, flops: float | None, more: Mapping[str, Any]
    ) -> RunRecord:
        spec = {**self.spec, **more}
        columns = record_fields(self.settings)
        columns["steps"] = columns["steps"] or self.step or None
        record = RunRecord(
            run_id=id,
            trunk_id=self.trunk_id,
            study=self.study.resolve().name,
            status="done" if outcome.reason is None else "diverged",
            family=self.arm,
            params=self.params,
            tokens=tokens,
            flops=6.0 * self.params * tokens if flops is None else positive("flops", flops),
            flops_6nd=6.0 * self.params * tokens,
            loss=outcome.loss,
            loss_se=outcome.loss_se,
            bits_per_byte=outcome.bits_per_byte,
            seed=self.seed,
            seconds=self._seconds(),
            attempts=self.attempt,
            started=self.started,
            finished=_now(),
            reason=outcome.reason,
            versions=_versions(),
            spec=spec,
            **columns,
        )
        commit_record(self.folder, record)
        found = load_record(self.folder, id)  # of two that race where locks do not work, the first one's
        return found or record

    def _seen(self, tokens: float | None) -> int:
        if tokens is not None:
            return count("tokens", tokens)
        if not self.tokens:
            raise ValueError("tokens: none were logged; give finish(tokens=…) the training tokens seen.")
        if self.budget and abs(self.tokens / self.budget - 1) > MOST:
            raise ValueError(
                f"tokens: {self.tokens:,} were logged of a budget of {self.budget:,}. Log to the end; or, if "
                "the run was meant to end here, say so: finish(tokens=…)."
            )
        return self.tokens

    def _refuse_other(self, record: RunRecord, outcome: Result, tokens: int) -> None:
        said, has = (outcome.loss, tokens), (record.loss, record.tokens)
        if said != has:
            raise ValueError(
                f"run {record.run_id} of {self.study} has a record already: loss {has[0]} at {has[1]:,} "
                f"tokens, and now loss {said[0]} at {said[1]:,}. Records are never overwritten. Skip a run "
                "whose run.done is true; if this is another run, say in open_run what it differs in, e.g. "
                "tokens=, seed= or a setting of your own."
            )

    def _refuse_more(self, tokens: int) -> None:
        assert self.record is not None
        if tokens > self.record.tokens:
            raise ValueError(
                f"run {self.id} of {self.study} was finished at {self.record.tokens:,} tokens, and now is at "
                f"{tokens:,}. A run with another budget is another run: give open_run tokens=BUDGET."
            )

    def _opened(self) -> MetricsLog:
        if self._log is None:
            raise ValueError(f"run {self.id} is not open: with scaling.open_run(…) as run: …")
        return self._log

    def _expect(self, id: str, tokens: int | None) -> None:
        row = {"run_id": id, "trunk_id": self.trunk_id, "family": self.arm, "params": self.params}
        head = {"study": self.study.resolve().name, "question": self.question, "schema": SCHEMA}
        join_plan(self.study, head, [{**row, "tokens": tokens, "seed": self.seed}])

    def _run_id(self, tokens: int | None, kind: str = "run") -> str:
        digest = spec_digest({"trunk": self.spec, "kind": kind, "tokens": tokens})
        return (
            f"{short_name(self.arm)}-{readable(self.params)}-{readable(tokens) if tokens else 'all'}-{digest}"
        )

    def _find_end(self) -> None:
        """Read where an earlier life has come to, and cut off the half line that a kill may have left."""
        data = self.folder.joinpath(METRICS).read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            self._opened().truncate(whole)
        for line in reversed(data[:whole].splitlines()):
            row = _row(line)
            if row:
                self.tokens, self.step = int(row["tokens"]), row.get("step")
                self.seconds = float(row.get("seconds") or 0.0)
                return

    def _go_back(self, tokens: int) -> None:
        """Forget the lines of an earlier life from `tokens` on."""
        if self.tokens < tokens:
            return
        at, self.seconds = 0, 0.0
        for line in self.folder.joinpath(METRICS).read_bytes().splitlines(keepends=True):
            row = _row(line)
            if row and row["tokens"] >= tokens:
                self._opened().truncate(at)
                return
            at += len(line)
            self.seconds = float(row.get("seconds") or self.seconds) if row else self.seconds

    def _seconds(self) -> float:
        return self.seconds + time.monotonic() - self.begin

    def _surroundings(self) -> dict[str, Any]:
        return {name: not_none for name in SURROUNDINGS if (not_none := self.settings.get(name)) is not None}


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
        return row if isinstance(row["tokens"], int) else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), PROGRAM: Path(sys.argv[0] or "python").name}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
