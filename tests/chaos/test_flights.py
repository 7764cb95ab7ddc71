"""kill -9 while an autopilot flies, again and again: the rounds and runs of one that nothing touched."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.experiments.flights import command, outcome

ROOT = Path(__file__).parents[2]
KILLS = 8
LONGEST = 600.0  # seconds for a flight


def fly(home: Path) -> subprocess.Popen[bytes]:
    """Start a flight."""
    words = [sys.executable, "-m", "experiments.cli", *command(home)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(words, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, **quiet)  # type: ignore[call-overload,no-any-return]


def progress(home: Path) -> int:
    """How many runs have ended and rounds been put in writing."""
    folder = home / "runs/law"
    return len(list(folder.rglob("ended"))) + len(list(folder.glob("forecasts/*.json")))


@pytest.mark.chaos
def test_kills_change_no_choice(tmp_path: Path) -> None:
    """Each kill falls a random moment after a random step: as a run ends, or a round was chosen."""
    untouched, killed = tmp_path / "untouched", tmp_path / "killed"
    assert fly(untouched).wait(LONGEST) == 0
    rng = random.Random(0)
    kills = 0
    for step in sorted(rng.sample(range(progress(untouched)), KILLS)):
        flight = fly(killed)
        while progress(killed) < step and flight.poll() is None:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.1))
        kills += flight.poll() is None
        flight.send_signal(signal.SIGKILL)
        flight.wait()
    assert fly(killed).wait(LONGEST) == 0
    assert kills >= KILLS // 2
    assert outcome(killed) == outcome(untouched)
