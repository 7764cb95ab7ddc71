"""A Slurm of one node on this machine, from Debian's packages and without systemd."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
CONFIG = """\
ClusterName=tiny
SlurmctldHost=localhost(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmctldPort={controller}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdPidFile={folder}/slurmd.pid
SlurmdLogFile={folder}/slurmd.log
SlurmdSpoolDir={folder}/spool
StateSaveLocation={folder}/state
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/none
ReturnToService=2
KillWait=5
NodeName=localhost NodeAddr=127.0.0.1 Port={node} CPUs=2 RealMemory=1000 State=UNKNOWN
PartitionName=debug Nodes=localhost Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """Why Slurm cannot be started here, or nothing. Installs the packages where it may."""
    if os.geteuid() != 0:
        return "Slurm's daemons need root"
    if not all(map(shutil.which, ("slurmctld", "slurmd", "sbatch", "munged"))):
        if not shutil.which("apt-get"):
            return f"needs {', '.join(PACKAGES)}, and there is no apt-get"
        install = ["apt-get", "install", "-qq", "-y", "--no-install-recommends", *PACKAGES]
        for command in (["apt-get", "update", "-qq"], install):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                return f"{' '.join(command)}: {done.stderr.strip()[-300:]}"
    return ""


@contextmanager
def started(folder: Path) -> Iterator[None]:
    """Controller and node, both ended by their own process at the end; SLURM_CONF leads clients to them."""
    (folder / "state").mkdir(parents=True)
    config = folder / "slurm.conf"
    config.write_text(CONFIG.format(folder=folder, controller=free_port(), node=free_port()))
    os.environ["SLURM_CONF"] = str(config)
    daemons = []
    if not munge_answers():
        home = Path("/run/munge")
        home.mkdir(exist_ok=True)
        shutil.chown(home, "munge", "munge")
        daemons.append(subprocess.Popen(["runuser", "-u", "munge", "--", "munged", "--foreground"]))
        until(munge_answers, "munge does not answer")
    try:
        daemons.append(subprocess.Popen(["slurmctld", "-D"], stderr=subprocess.DEVNULL))
        until(lambda: "UP" in ask("scontrol", "ping"), f"slurmctld does not start; see {folder}")
        daemons.append(subprocess.Popen(["slurmd", "-D", "-N", "localhost"], stderr=subprocess.DEVNULL))
        until(lambda: ask("sinfo", "-h", "-o", "%t").strip() == "idle", f"no idle node; see {folder}")
        yield
    finally:
        ask("scancel", "--user=root")
        for daemon in reversed(daemons):
            daemon.terminate()
            daemon.wait()
        del os.environ["SLURM_CONF"]


def munge_answers() -> bool:
    return subprocess.run(["munge", "-n"], capture_output=True, check=False).returncode == 0


def ask(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def until(holds: Callable[[], bool], complaint: str, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, complaint
        time.sleep(0.2)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
