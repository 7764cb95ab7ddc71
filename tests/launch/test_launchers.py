"""Hydra finds this project's launchers, and an engine elsewhere gives what this machine gives."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.plugins import Plugins

from scaling.launch.multirun import launch, register_launchers
from scaling.launch.pool import Task, train_here
from scaling.launch.remote import Outcome, train_remotely, work
from scaling.records.storage import Lock
from scaling.study.compose import config_folder
from scaling.study.config import register
from scaling.study.plan import plan_study
from scaling.training import stop
from scaling.training.observer import Observer
from tests.launch.test_pool import Listener, losses, tasks

LAUNCHERS = sorted(path.stem for path in (config_folder() / "hydra" / "launcher").glob("*.yaml"))


@pytest.mark.parametrize("name", LAUNCHERS)
def test_hydra_makes_every_launcher_from_its_config(name: str) -> None:
    register()
    register_launchers()
    overrides = ["model.params=1e4", "budget.tokens=1e5", f"hydra/launcher={name}"]
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = compose("config", overrides, return_hydra_config=True)
    launcher = Plugins.instance()._instantiate(config.hydra.launcher)
    assert type(launcher).__module__ == "hydra_plugins.scaling_launchers"
    assert type(launcher).__name__.lower() == name


class HereAfter:
    """An engine of this process: each task has, in turn, the fates that were given, then is trained."""

    def __init__(self, *fates: str) -> None:
        self.fates = list(fates)
        self.waiting: dict[str, Task] = {}
        self.started = 0

    def start(self, tasks: Sequence[Task]) -> list[str]:
        names = [str(self.started + i) for i in range(len(tasks))]
        self.started += len(tasks)
        self.waiting |= zip(names, tasks, strict=True)
        return names

    def ended(self) -> dict[str, Outcome]:
        name, task = self.waiting.popitem()
        if self.fates:
            return {name: Outcome(self.fates.pop(), "as the test says")}
        return {name: work(task, os.getcwd())}

    def leave(self) -> str:
        return f"{len(self.waiting)} left"


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scaling.launch.remote.PACE", 0.0)


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
    held = tmp_path / todo[0].trunks[0].spec.id
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
@pytest.mark.filterwarnings("ignore:.*Popen.__del__:pytest.PytestUnraisableExceptionWarning")
def test_submitit_runs_a_study_in_a_process_of_its_own(tiny_study: list[str], tmp_path: Path) -> None:
    slurm = pytest.importorskip("scaling.launch.slurm", reason="needs submitit")
    one = [*tiny_study, "model.params=5e3"]
    train_here(tasks(one, tmp_path / "here"), Observer())
    engine = slurm.Slurm(tmp_path / "jobs", {"timeout_min": 5}, cluster="local")
    train_remotely(tasks(one, tmp_path / "away"), engine, Observer())
    assert losses(tmp_path / "away") == losses(tmp_path / "here")


def test_any_launcher_of_hydra_trains_too(tiny_study: list[str]) -> None:
    overrides = [*tiny_study, "hydra/launcher=basic"]
    plan = plan_study(overrides)
    listener = Listener()
    launch(plan, overrides, listener)
    assert set(losses(plan.folder)) == {run.id for _, run in plan.runs} < set(listener.ended)
