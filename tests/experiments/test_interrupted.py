"""Signals and failures through `scaling run`: one sentence, a note, and the rest goes on."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from experiments.cli import INTERRUPTED, main
from scaling.launch import job, launchers
from scaling.launch.study import StudyObserver, run_study
from scaling.records.record import read_study
from scaling.study.plan import plan_study
from scaling.training import stop
from tests.chaos.failures import KINDS, PASSING, FailsBefore, FailsInside

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("seconds", [0.3, 1.0, 3.0])
def test_ctrl_c_in_the_first_seconds_is_one_sentence(seconds: float, tiny_study: list[str]) -> None:
    """While Python starts, PyTorch is imported, or the study is planned."""
    code = "import os, sys; os.write(1, b'up'); from experiments.cli import main; sys.exit(main())"
    words = [*tiny_study, "budget.tokens=4e5"]
    process = subprocess.Popen(
        [sys.executable, "-c", code, "run", *words], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    os.read(process.stdout.fileno(), 2)
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.decode().strip() == INTERRUPTED


def test_a_terminal_that_closes_saves(tiny_study: list[str]) -> None:
    class Hangs(StudyObserver):
        def logged(self, id: str, row: Mapping[str, Any]) -> None:
            if not stop.requested():
                os.kill(os.getpid(), signal.SIGHUP)

    plan = plan_study([*tiny_study, "budget.tokens=4e5", "model.params=5e3"])
    with pytest.raises(stop.Stopped):
        run_study(plan, Hangs())
    assert list(plan.folder.glob("*/checkpoints/*.pt"))
    ignored = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup has it
    try:
        with stop.on_signals():
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop.requested()
    finally:
        signal.signal(signal.SIGHUP, ignored)


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.chaos)])
@pytest.mark.parametrize("full", [False, True])
def test_output_that_nobody_takes_ends_no_training(
    full: bool,
    workers: int,
    tiny_study: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As `scaling run … | head -1`, and as into a file on a disk that is full."""
    # Hydra, in an earlier test of this process, may have left a handler whose stream is closed.
    monkeypatch.setattr(logging.getLogger(), "handlers", [caplog.handler])
    reader, writer = os.pipe()
    os.close(reader)
    with open("/dev/full" if full else writer, "w") as nowhere:
        monkeypatch.setattr(sys, "stdout", nowhere)
        assert main(["run", *tiny_study, "budget.tokens=2e3", f"workers={workers}"]) == 0
    if full:
        os.close(writer)
    study = read_study(tmp_path / "runs" / "tiny")
    assert (len(study.done), study.failures, study.missing) == (2, {}, ())
    assert ("nothing more is printed" in caplog.text) == full
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(("full", "code", "said"), [(False, 0, ""), (True, 2, "No space left on device")])
def test_a_pipe_that_is_closed_or_full_leaves_no_traceback(full: bool, code: int, said: str) -> None:
    """Python flushes its output once more when it ends."""
    surroundings = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    reader, writer = os.pipe()
    os.close(reader)
    with open("/dev/full" if full else writer, "w") as nowhere:
        done = subprocess.run(
            [sys.executable, "-m", "experiments.cli", "--help"],
            cwd=ROOT,
            env=surroundings,
            stdout=nowhere,
            stderr=subprocess.PIPE,
            text=True,
        )
    if full:
        os.close(writer)
    assert done.returncode == code
    assert done.stderr.strip() == (f"scaling: [Errno 28] {said}" if said else "")


@pytest.mark.parametrize("kind", [FailsInside, pytest.param(FailsBefore, marks=pytest.mark.chaos)])
@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=[pytest.mark.chaos, pytest.mark.battery(14)])])
def test_a_trunk_that_fails_in_any_way_is_noted_and_the_rest_goes_on(
    kind: type[job.TrunkJob],
    workers: int,
    tiny_study: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Eight kinds of failure, one a seed; the ninth trunk is trained, whether one works or two."""
    monkeypatch.setattr(launchers, "TrunkJob", kind)
    seeds = ",".join(map(str, range(len(KINDS) + 1)))
    words = [*tiny_study, "model.params=5e3", "budget.tokens=2e3", f"seed={seeds}", f"workers={workers}"]
    assert main(["run", *words]) == 1
    study = read_study(tmp_path / "runs" / "tiny")
    assert [record.seed for record in study.done] == [len(KINDS)]
    assert len(study.failures) == len(KINDS)
    assert {failure.kind for failure in study.failures.values()} == {"exception", "oom", "enospc"}
    seed = {trunk: row["seed"] for row in study.expected.values() for trunk in [row["trunk_id"]]}
    tries = Counter(seed[trunk] for trunk in seed if trunk in caplog.text for _ in re.findall(
        rf"{trunk} failed", caplog.text))  # fmt: skip
    assert tries == {s: job.TRIES if s in PASSING else 1 for s in range(len(KINDS))}
    capsys.readouterr()
    assert main(["status", str(study.folder)]) == 0
    said = capsys.readouterr().out
    for error in KINDS:
        assert type(error).__name__ in said
    assert main(["status", str(study.folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"]["failed"] == len(KINDS)
    monkeypatch.undo()
    assert main(["run", *words]) == 0


def test_another_try_is_for_what_may_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {}
    for kind in KINDS:
        one = job.TrunkJob(None, "", tmp_path, "", "cpu", 1)  # type: ignore[arg-type]
        monkeypatch.setattr(job.TrunkJob, "id", "trunk")

        def fails(self: job.TrunkJob, observer: object, kind: Exception = kind) -> None:
            raise kind

        monkeypatch.setattr(job.TrunkJob, "train", fails)
        found[type(kind)] = one.run(StudyObserver())
    assert {kind for kind, outcome in found.items() if outcome.again} == {MemoryError, OSError}
    assert found[AssertionError].why == "AssertionError"
    assert found[KeyError].why == "KeyError: 'x'"
    assert found[ValueError].why == "bad value"


def test_the_version_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("scaling-harness 0.")
