"""Launchers are made from their configs, and an engine elsewhere gives what this machine gives."""

from __future__ import annotations

import json
import os
import pickle
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from scaling.launch.devices import share_machine
from scaling.launch.job import Outcome, TrunkJob, work
from scaling.launch.launchers import launch, make_launcher
from scaling.launch.local import train_here
from scaling.launch.remote import train_remotely
from scaling.records.storage import Lock
from scaling.study.compose import compose_study
from scaling.study.plan import plan_study
from scaling.study.sources import config_folder
from scaling.training import stop
from scaling.training.observer import Observer
from tests.chaos.hostile import Evil
from tests.launch.test_pool import Listener, losses, tasks

LAUNCHERS = sorted(path.stem for path in (config_folder() / "hydra" / "launcher").glob("*.yaml"))


@pytest.mark.parametrize("name", LAUNCHERS)
def test_every_launcher_is_made_from_its_config(name: str) -> None:
    if name in ("ray", "slurm"):
        pytest.importorskip({"ray": "ray", "slurm": "submitit"}[name])
    overrides = ["model.params=1e4", "budget.tokens=1e5", f"hydra/launcher={name}"]
    launcher = make_launcher(compose_study(overrides).launcher)
    assert type(launcher).__name__ == {"pool": "Local", "slurm": "Slurm", "ray": "Ray"}[name] + "Launcher"


def test_a_launcher_whose_package_is_missing_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    monkeypatch.delitem(sys.modules, "scaling.launch.slurm", raising=False)
    settings = compose_study(["model.params=1e4", "budget.tokens=1e5", "hydra/launcher=slurm"]).launcher
    with pytest.raises(ModuleNotFoundError, match=r"needs the package submitit: pip install '.*\[slurm\]'"):
        make_launcher(settings)


class HereAfter:
    """An engine of this process: each task has, in turn, the fates that were given, then is trained."""

    def __init__(self, *fates: str) -> None:
        self.fates = list(fates)
        self.waiting: dict[str, TrunkJob] = {}
        self.started = 0

    def start(self, tasks: Sequence[TrunkJob]) -> list[str]:
        names = [str(self.started + i) for i in range(len(tasks))]
        self.started += len(tasks)
        self.waiting |= zip(names, tasks, strict=True)
        return names

    def ended(self) -> dict[str, Outcome]:
        name, task = self.waiting.popitem()
        if self.fates:
            return {name: Outcome(self.fates.pop(), "as the test says", again=True)}
        return {name: work(task, os.getcwd())}

    def leave(self) -> str:
        return f"{len(self.waiting)} left"


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scaling.launch.remote.POLL", 0.0)


@pytest.mark.usefixtures("no_waiting")
def test_lost_jobs_are_tried_three_times_and_change_no_bit(tiny_study: list[str], tmp_path: Path) -> None:
    train_here(tasks(tiny_study, tmp_path / "here"), Observer())
    engine, listener = HereAfter("lost", "failed"), Listener()
    train_remotely(tasks(tiny_study, tmp_path / "away"), engine, listener)
    assert losses(tmp_path / "away") == losses(tmp_path / "here")
    assert sorted(listener.ended) == sorted(
        {*losses(tmp_path / "here"), *(p.name for p in tmp_path.glob("away/*"))}
    )
    assert engine.started == 4

    engine = HereAfter(*["lost"] * 6)
    train_remotely(tasks(tiny_study, tmp_path / "never"), engine, Observer())
    assert engine.started == 6


@pytest.mark.usefixtures("no_waiting")
def test_a_trunk_held_elsewhere_is_left_and_a_stop_leaves_the_rest(
    tiny_study: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    todo = tasks(tiny_study, tmp_path)
    held = tmp_path / todo[0].trunk.spec.id
    held.mkdir()
    with Lock(held / "lock"):
        engine = HereAfter()
        train_remotely(todo, engine, Observer())
    assert engine.started == 2
    assert "another process trains it" in caplog.text
    with stop.on_signals():
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(stop.Stopped, match="1 left"):
            train_remotely(todo[:1], HereAfter(), Observer())


# submitit's stand-in for Slurm never waits for the process it has started.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*Popen.__del__:pytest.PytestUnraisableExceptionWarning")
def test_submitit_runs_a_study_in_a_process_of_its_own(tiny_study: list[str], tmp_path: Path) -> None:
    slurm = pytest.importorskip("scaling.launch.slurm", reason="needs submitit")
    one = [*tiny_study, "model.params=5e3"]
    train_here(tasks(one, tmp_path / "here"), Observer())
    engine = slurm.Slurm(tmp_path / "jobs", {"timeout_min": 5}, cluster="local")
    train_remotely(tasks(one, tmp_path / "away"), engine, Observer())
    assert losses(tmp_path / "away") == losses(tmp_path / "here")


def test_no_answer_of_a_slurm_job_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever can write to the runs folder could write a pickle that runs code."""
    slurm = pytest.importorskip("scaling.launch.slurm", reason="needs submitit")
    from submitit.core.utils import JobPaths

    monkeypatch.setattr(slurm, "POLL", -1.0)
    canary = tmp_path / "canary"
    answers = {
        "1": json.dumps({"kind": "failed", "why": "a reason", "again": True}),
        "2": json.dumps({"kind": "os.system", "why": "x", "again": True}),
        "3": "[" * 100_000,
        "4": None,
        "5": json.dumps({"kind": "done", "extra": 1}),
    }
    engine = slurm.Slurm(tmp_path / "jobs", {}, cluster="local")
    for id, answer in answers.items():
        paths = JobPaths(tmp_path / "jobs" / id, job_id=id)
        paths.folder.mkdir(parents=True)
        paths.result_pickle.write_bytes(pickle.dumps(Evil(canary)))
        if answer is not None:
            (paths.folder / f"{id}_outcome.json").write_text(answer)
        engine.jobs[id] = SimpleNamespace(paths=paths, state="RUNNING")
    over = engine.ended()
    assert over.pop("1") == Outcome("failed", "a reason", True)
    assert {outcome.kind for outcome in over.values()} == {"lost"}
    assert len(over) == 4
    assert not canary.exists()


def test_any_launcher_of_hydra_trains_too(tiny_study: list[str]) -> None:
    overrides = [*tiny_study, "hydra/launcher=basic"]
    plan = plan_study(overrides)
    listener = Listener()
    launch(plan, share_machine(plan), listener)
    assert set(losses(plan.folder)) == {run.id for _, run in plan.runs} < set(listener.ended)
