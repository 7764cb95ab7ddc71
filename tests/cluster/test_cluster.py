"""A study on a real Slurm and a real Ray, with workers killed in the middle: the bits of one machine.

`make cluster-test`. Slurm needs root and Debian's packages; Ray the extra `ray`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from scaling.records.record import read_study
from tests.cluster import slurm
from tests.cluster.slurm import ask, free_port, until

pytestmark = pytest.mark.cluster
SECONDS = 420.0  # a run of the study, machine busy
GRU = Path(__file__).parents[1] / "extensions" / "gru.py"  # a family in a file of its own


@pytest.fixture
def study(tiny_study: list[str]) -> list[str]:
    """Long enough to be met in the middle."""
    return [*tiny_study, "budget.tokens=[1e5,2e5]"]


@pytest.fixture
def own_family(tiny_study: list[str]) -> list[str]:
    """A study of a family that only its extension knows."""
    kept = [line for line in tiny_study if not line.startswith("model.")]
    shape = ["model=gru", "model.params=null", "model.width=12,16", "model.depth=1"]
    return [*kept, f"extensions=[{GRU}]", *shape, "training.learning_rate=1e-2"]


def run(study: list[str], runs: Path, *more: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "experiments.cli", "run", *study, f"runs={runs}", *more])


def results(runs: Path) -> dict[str, tuple[str, bytes]]:
    """The loss to the bit and the whole log of every run."""
    found = read_study(runs / "tiny").records
    logs = {r.run_id: (runs / "tiny" / r.trunk_id / r.run_id / "metrics.jsonl").read_bytes() for r in found}
    return {r.run_id: (float(r.loss or "nan").hex(), logs[r.run_id]) for r in found}


def in_the_middle(runs: Path, but: str = "") -> tuple[str, int]:
    """A trunk that has logged something and has no record yet, and the process that trains it."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        for log in (runs / "tiny").glob("*/metrics.jsonl"):
            begun = log.parent.name != but and log.stat().st_size
            if begun and not list(log.parent.glob("*/record.json")):
                return log.parent.name, int(json.loads((log.parent / "lock").read_text())["pid"])
        time.sleep(0.05)
    raise AssertionError("no trunk was met in the middle")


def attempts(runs: Path, trunk: str) -> int:
    return len(list((runs / "tiny" / trunk / "attempts").glob("*.json")))


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    why = slurm.missing()
    if why:
        pytest.skip(why)
    with slurm.started(tmp_path_factory.mktemp("slurm")):
        yield


@pytest.mark.usefixtures("node")
def test_slurm(study: list[str], tmp_path: Path) -> None:
    """One job is killed, then one gets the warning that Slurm sends before a time limit."""
    assert run(study, tmp_path / "here").wait(SECONDS) == 0
    command = run(
        study, tmp_path / "slurm", "hydra/launcher=slurm", "hydra.launcher.slurm_array_parallelism=1"
    )
    killed, pid = in_the_middle(tmp_path / "slurm")
    os.kill(pid, signal.SIGKILL)
    warned, pid = in_the_middle(tmp_path / "slurm", but=killed)
    variables = dict(
        v.split("=", 1) for v in Path(f"/proc/{pid}/environ").read_text().split("\0") if "=" in v
    )
    job = variables["SLURM_JOB_ID"]
    subprocess.run(["scancel", "--signal=USR2", job], check=True)
    logs = tmp_path / "slurm" / "tiny" / "slurm"
    until(lambda: any("Requeued" in log.read_text() for log in logs.glob("*/*.out")), "no job was requeued")
    ask("scontrol", "update", f"JobId={job}", "StartTime=now")  # where it has not begun already: Slurm waits
    assert command.wait(SECONDS) == 0
    assert results(tmp_path / "slurm") == results(tmp_path / "here")
    assert (attempts(tmp_path / "slurm", killed), attempts(tmp_path / "slurm", warned)) == (2, 2)


@pytest.mark.usefixtures("node")
def test_an_extension_goes_with_a_slurm_job(own_family: list[str], tmp_path: Path) -> None:
    assert run(own_family, tmp_path / "here").wait(SECONDS) == 0
    assert run(own_family, tmp_path / "slurm", "hydra/launcher=slurm").wait(SECONDS) == 0
    assert results(tmp_path / "slurm") == results(tmp_path / "here")


@pytest.mark.usefixtures("node")
def test_one_model_over_two_processes_of_a_slurm_job(tiny_study: list[str], tmp_path: Path) -> None:
    shared = ["training.parallel=ddp", "hydra/launcher=slurm", "hydra.launcher.tasks_per_node=2"]
    assert run(tiny_study, tmp_path / "here").wait(SECONDS) == 0
    assert run(tiny_study, tmp_path / "slurm", *shared).wait(SECONDS) == 0
    here, there = (read_study(tmp_path / name / "tiny").records for name in ("here", "slurm"))
    assert {r.run_id: r.loss for r in there} == pytest.approx({r.run_id: r.loss for r in here}, rel=1e-5)
    assert {r.versions["parallel"] for r in there} == {"ddp x 2"}


@contextmanager
def ray_of_two_nodes(folder: Path) -> Iterator[str]:
    """Two nodes of one core each, ended by their own process; a stop by name would end every Ray here."""
    address = f"127.0.0.1:{free_port()}"
    start = [
        sys.executable,
        "-u",
        "-m",
        "ray.scripts.scripts",
        "start",
        "--block",
        "--node-ip-address=127.0.0.1",
    ]
    start += ["--num-cpus=1", "--disable-usage-stats", "--object-store-memory=80000000"]
    head = ["--head", f"--port={address.split(':')[1]}", "--include-dashboard=false", f"--temp-dir={folder}"]
    nodes = []
    try:
        for more in (head, [f"--address={address}"]):
            log = (folder / f"node-{len(nodes)}.log").open("wb")
            nodes.append(subprocess.Popen([*start, *more], stdout=log, stderr=log))
            log.close()
            ready = b"runtime started"
            until(lambda: ready in Path(log.name).read_bytes(), f"no Ray node; see {log.name}")  # noqa: B023
        yield address
    finally:
        for node in reversed(nodes):
            node.terminate()
            try:
                node.wait(60)
            except subprocess.TimeoutExpired:
                node.kill()


@pytest.fixture
def two_nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a Ray that only those who have the token may use."""
    pytest.importorskip("ray", reason="needs the extra ray: make cluster-test installs it")
    token = tmp_path / "token"
    token.write_text("0" * 64)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
    with TemporaryDirectory(prefix="ray-") as folder, ray_of_two_nodes(Path(folder)) as address:
        yield f"hydra.launcher.address='{address}'"


def test_ray(study: list[str], tmp_path: Path, two_nodes: str) -> None:
    assert run(study, tmp_path / "here").wait(SECONDS) == 0
    command = run(study, tmp_path / "ray", "hydra/launcher=ray", two_nodes)
    killed, pid = in_the_middle(tmp_path / "ray")
    os.kill(pid, signal.SIGKILL)
    assert command.wait(SECONDS) == 0
    assert results(tmp_path / "ray") == results(tmp_path / "here")
    assert attempts(tmp_path / "ray", killed) == 2


def test_an_extension_goes_with_a_ray_task(own_family: list[str], tmp_path: Path, two_nodes: str) -> None:
    assert run(own_family, tmp_path / "here").wait(SECONDS) == 0
    assert run(own_family, tmp_path / "ray", "hydra/launcher=ray", two_nodes).wait(SECONDS) == 0
    assert results(tmp_path / "ray") == results(tmp_path / "here")
