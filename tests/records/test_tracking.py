"""The mirror shows what was measured, and nothing it suffers reaches training."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scaling.records import tracking
from scaling.records.tracking import RunTracker, Tracker, open_tracker
from tests.records.offline_log import read_offline

REPOSITORY = Path(__file__).parents[2]
TRAIN = {"step": 1, "tokens": 4096, "flops": 1e9, "train_loss": 3.5, "learning_rate": 1e-3}
EVALUATION = {"step": 1, "tokens": 4096, "flops": 1e9, "loss": 3.25, "loss_se": 0.01}


@pytest.fixture
def no_wandb_in_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    return monkeypatch


# The real W&B, in processes of their own.

TRAINING = """
import os, signal, sys, threading, time
from pathlib import Path
from scaling.records import tracking
AHEAD
start = time.perf_counter()

def wait_for(tracker, run):  # until W&B has done all that was ordered
    done = threading.Event()
    tracker.order(run, done.set)
    done.wait(30)

def kill_core(sig):
    [core] = tracking._children(next(t for t in threading.enumerate() if t.name == "wandb-mirror"))
    os.kill(core, sig)

def rows(run):
    before = time.perf_counter()
    for step in range(1, 5001):
        run.log({"step": step, "tokens": step * 100, "flops": step * 1e6, "train_loss": 3.0})
    print("microseconds", (time.perf_counter() - before) / 5000 * 1e6)
    run.log({"step": 5000, "tokens": 500000, "flops": 5e9, "loss": 2.5, "loss_se": 0.01})

folder = Path(sys.argv[1])
config = {"params": 20480, "model": {"width": 64, "family": "lstm"}, "budget": [1, 2]}
with tracking.open_tracker("auto", study="tiny", folder=folder, project="laws") as tracker:
    trunk = tracker.run("trunk-1", name="a trunk", job_type="trunk", config=config, tags=["lstm", "smoke"])
    rows(trunk)
    BETWEEN
    run = tracker.run("run-1", name="a run", job_type="run", config=config)
    rows(run)
    run.summary({"loss": 2.25, "bits_per_byte": 1.5})
    run.finish()
    trunk.finish()
    print("trained", time.perf_counter() - start)
print("closed", time.perf_counter() - start)
"""


def train(folder: Path, between: str = "pass", ahead: str = "", **environment: str) -> dict[str, Any]:
    """Run TRAINING in its own process and home; returns its times, output and exit code."""
    home = folder / "home"
    home.mkdir()
    start = time.perf_counter()
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            TRAINING.replace("BETWEEN", between).replace("AHEAD", ahead),
            str(folder / "study"),
        ],
        cwd=REPOSITORY,
        env={"PATH": os.environ["PATH"], "HOME": str(home), "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=100,
    )
    seconds = time.perf_counter() - start
    lines = [line.split() for line in done.stdout.splitlines()]
    return {
        "trained": next(float(line[1]) for line in lines if line[0] == "trained"),
        "microseconds": [float(line[1]) for line in lines if line[0] == "microseconds"],
        "other_output": [line for line in lines if line[0] not in ("microseconds", "trained", "closed")],
        "errors": done.stderr,
        "exit_code": done.returncode,
        "seconds": seconds,
        "home": [str(path.relative_to(home)) for path in home.rglob("*")],
    }


def test_an_offline_run_says_everything(tmp_path: Path) -> None:
    result = train(
        tmp_path,
        WANDB_MODE="dryrun",  # nobody is asked, though there is a key and an address
        WANDB_API_KEY="a" * 40,
        WANDB_BASE_URL="http://127.0.0.1:9",
        WANDB_PROJECT="not this one",
        WANDB_RUN_GROUP="sweeps",
        WANDB_TAGS="smoke, night",
    )
    assert (result["exit_code"], result["errors"], result["other_output"]) == (0, "", [])
    assert result["home"] == [], "W&B writes into the study's folder only"
    assert min(result["microseconds"]) < 20
    assert result["trained"] < 1.0, "starting W&B must not hold training up"

    runs = read_offline(tmp_path / "study")
    assert set(runs) == {"trunk-1", "run-1"}
    trunk, run = runs["trunk-1"], runs["run-1"]
    assert (trunk.name, trunk.project, trunk.group, trunk.job_type) == ("a trunk", "laws", "sweeps", "trunk")
    assert (run.name, run.project, run.group, run.job_type) == ("a run", "laws", "sweeps", "run")
    assert sorted(trunk.tags) == ["lstm", "night", "smoke"]
    assert list((tmp_path / "study" / "wandb").glob("run-*")) == [], "it never tried to go online"
    assert tracking.waiting_runs(tmp_path / "study") == 2
    assert trunk.config == {
        "params": 20480,
        "model": {"width": 64, "family": "lstm"},
        "budget": [1, 2],
    }
    assert trunk.axes["train/*"] == trunk.axes["eval/*"] == "train/tokens"
    assert {"train/tokens", "train/flops"} <= set(trunk.axes)
    for one in (trunk, run):
        assert one.rows[0] == {
            "train/step": 1, "train/tokens": 100, "train/flops": 1e6, "train/loss": 3.0,
        }  # fmt: skip
        assert one.rows[-1] == {
            "train/step": 5000, "train/tokens": 500_000, "train/flops": 5e9,
            "eval/loss": 2.5, "eval/loss_se": 0.01,
        }  # fmt: skip
        assert one.exit_code == 0
        assert one.summary["mirror/rows_thinned"] == 5001 - len(one.rows)
    assert run.summary["loss"] == 2.25
    assert run.summary["bits_per_byte"] == 1.5


@pytest.fixture
def silent_server() -> Iterator[str]:
    """A server that takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(100)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_server_that_never_answers_is_given_up(silent_server: str, tmp_path: Path) -> None:
    """Battery 12. Here W&B gets one second instead of four."""
    result = train(
        tmp_path,
        ahead="tracking.INIT_SECONDS = 1.0",
        WANDB_BASE_URL=silent_server,
        WANDB_API_KEY="a" * 40,
    )
    assert result["exit_code"] == 0
    assert result["trained"] < 1.0
    assert "no connection" in result["errors"]
    assert "`wandb sync` sends it later" in result["errors"]
    assert result["errors"].count("\n") == 1
    runs = read_offline(tmp_path / "study")
    assert [runs[name].rows[-1]["eval/loss"] for name in ("trunk-1", "run-1")] == [2.5, 2.5]
    assert result["seconds"] < 20


def test_a_killed_core_is_survived(tmp_path: Path) -> None:
    result = train(tmp_path, between="wait_for(tracker, trunk); kill_core(signal.SIGKILL); rows(trunk)")
    assert result["exit_code"] == 0
    assert "run trunk-1 is no longer mirrored (ConnectionResetError" in result["errors"]
    assert result["errors"].count("no longer mirrored") == result["errors"].count("\n") == 2  # one a run
    assert max(result["microseconds"]) < 20


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.battery(12)
def test_a_frozen_core_is_stopped_in_the_end(tmp_path: Path) -> None:
    """Without the kill W&B holds the process for minutes as it ends."""
    result = train(tmp_path, between="wait_for(tracker, trunk); kill_core(signal.SIGSTOP); rows(trunk)")
    assert result["exit_code"] == 0
    assert "W&B: not finished after 20 s; stopped" in result["errors"]
    assert result["seconds"] < tracking.CLOSE_SECONDS + tracking.FINISH_SECONDS + 10


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.battery(12)
def test_a_full_disk_under_wandb_is_survived(tmp_path: Path) -> None:
    """RLIMIT_FSIZE, which wandb-core inherits: it can write no file of more than 4 KB."""
    limit = (
        "wait_for(tracker, trunk); import resource; [core] = tracking._children(next("
        "t for t in threading.enumerate() if t.name == 'wandb-mirror'));"
        "resource.prlimit(core, resource.RLIMIT_FSIZE, (4096, 4096)); rows(trunk)"
    )
    result = train(tmp_path, between=limit)
    assert result["exit_code"] == 0
    assert max(result["microseconds"]) < 20
    assert result["seconds"] < 30


def test_off_imports_no_wandb_and_starts_nothing(tmp_path: Path) -> None:
    code = """
import sys, threading
from scaling.records.tracking import open_tracker
with open_tracker("off", study="s", folder=sys.argv[1], project="p") as tracker:
    run = tracker.run("r", name="r", job_type="run", config={})
    run.log({"loss": 1.0}); run.summary({"loss": 1.0}); run.finish(); run.log({})
print("wandb" in sys.modules, threading.active_count())
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "s")], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("False 1\n", "")
    assert not (tmp_path / "s").exists()


# Which mode.


def chosen(mode: Any = "auto") -> str:
    return open_tracker(mode, study="s", folder="unused", project="p").mode


def test_a_mode_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="tracking: is one of auto, offline, online, off; got 'on'"):
        chosen("on")


def test_auto_is_offline_unless_logged_in(
    no_wandb_in_environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert chosen() == "offline"
    (tmp_path / "netrc").write_text("machine example.org login me password secret\n")
    assert chosen() == "offline"
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password secret\n")
    assert chosen() == "online"
    no_wandb_in_environment.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert chosen() == "offline"
    no_wandb_in_environment.setenv("WANDB_API_KEY", "a" * 40)
    assert chosen() == "online"
    assert chosen("offline") == "offline"


@pytest.mark.parametrize(
    ("said", "mode"),
    [
        *(("offline", "offline"), ("disabled", "off"), ("online", "online"), ("", "offline")),
        *(("dryrun", "offline"), ("DryRun", "offline"), ("run", "online")),
    ],
)
def test_auto_listens_to_wandb_mode(
    said: str, mode: str, no_wandb_in_environment: pytest.MonkeyPatch
) -> None:
    no_wandb_in_environment.setenv("WANDB_MODE", said)
    assert chosen() == mode


def test_an_unknown_wandb_mode_is_said_and_offline(
    no_wandb_in_environment: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    no_wandb_in_environment.setenv("WANDB_API_KEY", "a" * 40)
    no_wandb_in_environment.setenv("WANDB_MODE", "dry-run")
    assert chosen() == "offline"
    assert "WANDB_MODE=dry-run is unknown; there are online, run, offline, dryrun, disabled" in caplog.text


@pytest.mark.parametrize(
    ("said", "mode"), [("true", "off"), ("1", "off"), ("false", "online"), ("0", "online"), ("", "online")]
)
def test_wandb_disabled_is_off_unless_the_config_says_otherwise(
    said: str, mode: str, no_wandb_in_environment: pytest.MonkeyPatch
) -> None:
    no_wandb_in_environment.setenv("WANDB_DISABLED", said)
    no_wandb_in_environment.setenv("WANDB_MODE", "online")
    assert chosen() == mode
    assert chosen("offline") == "offline"


def test_project_and_entity_are_those_of_the_config_else_of_the_environment(
    no_wandb_in_environment: pytest.MonkeyPatch,
) -> None:
    def found(**given: str | None) -> tuple[str, str | None]:
        tracker = open_tracker("off", study="s", folder="unused", **given)
        return tracker._project, tracker._entity

    assert found() == ("scaling", None)
    no_wandb_in_environment.setenv("WANDB_PROJECT", "ours")
    no_wandb_in_environment.setenv("WANDB_ENTITY", "team")
    assert found() == ("ours", "team")
    assert found(project="laws", entity="me") == ("laws", "me")


def test_a_missing_package_is_said_once(
    no_wandb_in_environment: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    no_wandb_in_environment.setattr(tracking, "_installed", lambda: False)
    assert chosen("offline") == "off"
    assert "pip install 'scaling-harness[train]'" in caplog.text


def test_a_netrc_that_cannot_be_read_is_offline(
    no_wandb_in_environment: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "netrc").write_text("machin api.wandb.ai\n")
    assert chosen() == "offline"
    assert "cannot be read" in caplog.text


# The thread and its queue, without W&B.


class FakeRun:
    """What the mirror uses of a wandb run; anything else is an AttributeError, and fails the test."""

    def __init__(self, about: dict[str, Any]) -> None:
        self.about, self.rows, self.exit_code = about, [], None
        self.summary: dict[str, Any] = {}
        self.axes: list[tuple[str, str | None]] = []

    def define_metric(self, name: str, step_metric: str | None = None) -> None:
        self.axes.append((name, step_metric))

    def log(self, row: dict[str, Any]) -> None:
        if row.get("train/tokens") == "bad":
            raise ConnectionResetError("Connection lost")
        self.rows.append(row)

    def finish(self, exit_code: int) -> None:
        self.exit_code = exit_code


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> dict[str, FakeRun]:
    runs: dict[str, FakeRun] = {}

    def init(self: Tracker, about: dict[str, Any]) -> FakeRun:
        if about["id"] == "refused":
            raise RuntimeError("no")
        return runs.setdefault(about["id"], FakeRun(about))

    monkeypatch.setattr(Tracker, "init", init)
    return runs


def offline() -> Tracker:
    return open_tracker("offline", study="s", folder="unused", project="p")


def start(tracker: Tracker, name: str = "a") -> RunTracker:
    return tracker.run(name, name=name, job_type="run", config={"x": 1})


def test_training_rows_are_thinned_and_evaluations_are_not(
    fake: dict[str, FakeRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    with offline() as tracker:
        monkeypatch.setattr(tracking, "MIN_INTERVAL", 1000.0)
        run = start(tracker)
        for step in range(10):
            run.log({**TRAIN, "step": step})
            run.log({**EVALUATION, "step": step})
        run.finish()
    rows = fake["a"].rows
    assert [row["train/step"] for row in rows] == [0, *range(10)]
    assert ["eval/loss" in row for row in rows] == [False] + [True] * 10
    assert fake["a"].summary["mirror/rows_thinned"] == 9
    assert fake["a"].exit_code == 0


@pytest.mark.parametrize("steps", [3, 60, 75, 100, 12_345])
def test_a_short_run_has_enough_points_to_draw(fake: dict[str, FakeRun], steps: int) -> None:
    """However quickly it trains, and wherever it begins: a cooldown starts at its trunk's step."""
    with offline() as tracker:
        run = tracker.run("a", name="a", job_type="run", config={}, steps=steps)
        for step in range(500, 500 + steps):
            run.log({**TRAIN, "step": step})
        run.finish()
    assert min(steps, 58) <= len(fake["a"].rows) <= 75


def test_a_row_is_copied_when_it_is_logged(fake: dict[str, FakeRun]) -> None:
    with offline() as tracker:
        run, row, last = start(tracker), dict(EVALUATION), {"loss": 1.0}
        run.log(row)
        run.summary(last)
        row["loss"] = last["loss"] = -1.0
        run.finish()
    assert fake["a"].rows[0]["eval/loss"] == 3.25
    assert fake["a"].summary["loss"] == 1.0


def test_trouble_switches_off_one_run_and_says_so_once(
    fake: dict[str, FakeRun], caplog: pytest.LogCaptureFixture
) -> None:
    with offline() as tracker:
        well, ill, refused = (start(tracker, name) for name in ("well", "ill", "refused"))
        for run in (well, ill, refused):
            run.log({**EVALUATION, "tokens": "bad" if run is ill else 1})
            run.log(EVALUATION)
            run.summary({"loss": 1.0})
            run.finish()
    assert len(fake["well"].rows) == 2
    assert fake["ill"].rows == []
    assert "refused" not in fake
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert sorted(warnings) == [
        "W&B: run ill is no longer mirrored (ConnectionResetError: Connection lost). "
        "Training goes on; its record and metrics are complete.",
        "W&B: run refused is no longer mirrored (RuntimeError: no). "
        "Training goes on; its record and metrics are complete.",
    ]


def test_what_is_open_at_the_end_is_shown_as_failed(fake: dict[str, FakeRun]) -> None:
    def interrupted() -> None:
        with offline() as tracker:
            start(tracker)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert fake["a"].exit_code == 1


def test_a_mirror_that_stands_still_costs_nothing_and_is_left_behind(
    fake: dict[str, FakeRun], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tracking, "BACKLOG", 50)
    monkeypatch.setattr(tracking, "CLOSE_SECONDS", 0.1)
    monkeypatch.setattr(tracking, "FINISH_SECONDS", 0.1)
    entered, released = threading.Event(), threading.Event()

    def stand_still(self: FakeRun, row: dict[str, Any]) -> None:
        entered.set()
        released.wait(30)

    monkeypatch.setattr(FakeRun, "log", stand_still)
    try:
        with offline() as tracker:
            run = start(tracker)
            run.log(EVALUATION)
            assert entered.wait(30)
            before = time.perf_counter()
            for _ in range(1000):
                run.log(EVALUATION)
        assert time.perf_counter() - before < 1.0
    finally:
        released.set()
    assert "50 orders wait for it" in caplog.text
    assert "not finished after 0 s; stopped" in caplog.text


def test_nothing_is_mirrored_where_nothing_runs(fake: dict[str, FakeRun]) -> None:
    with offline() as tracker:
        pass
    assert fake == {}
    tracker.close()


def test_a_failing_connection_spares_the_runs_that_are_well(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The server goes away between two runs: the first stays online, the second is not mirrored."""
    calls: list[str] = []

    class FakeWandb:
        @staticmethod
        def Settings(**settings: Any) -> dict[str, Any]:
            return settings

        @staticmethod
        def init(**arguments: Any) -> FakeRun:
            assert "step" not in arguments
            calls.append(f"{arguments['id']} {arguments['settings']['mode']}")
            if arguments["id"] != "well" and arguments["settings"]["mode"] == "online":
                raise TimeoutError("no answer")
            return FakeRun(arguments)

        @staticmethod
        def teardown() -> None:
            calls.append("teardown")

    monkeypatch.setitem(sys.modules, "wandb", FakeWandb)
    for name in ("WANDB_CACHE_DIR", "WANDB_DATA_DIR", "WANDB_SILENT", "WANDB_ERROR_REPORTING"):
        monkeypatch.setenv(name, "set by the user")  # and put back after the test
    with open_tracker("online", study="s", folder=tmp_path, project="p") as tracker:
        runs = [start(tracker, name) for name in ("well", "second")]
        for run in runs:
            run.finish()
        start(tracker, "third").finish()
    assert calls == ["well online", "second online", "third online", "teardown", "third offline", "teardown"]
    assert "run second is no longer mirrored (TimeoutError: no answer)" in caplog.text
    assert "no connection (TimeoutError: no answer); mirroring offline" in caplog.text
    assert os.environ["WANDB_SILENT"] == "set by the user"


def test_a_call_costs_microseconds(fake: dict[str, FakeRun]) -> None:
    with offline() as tracker:
        run = start(tracker)
        seconds = []
        for _ in range(20):
            before = time.perf_counter()
            for _ in range(500):
                run.log(TRAIN)
            seconds.append((time.perf_counter() - before) / 500)
        run.finish()
    assert min(seconds) < 20e-6
