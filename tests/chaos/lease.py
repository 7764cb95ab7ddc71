"""Workers that fight for one lock while its owner is killed over and over: lease.py FOLDER TAKEOVERS WORKERS.

Prints how often the lock was taken from a dead owner, and how often two were inside. "broken" as a fourth
word is a mutant whose lock never refuses.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import random
import signal
import sys
import time
from pathlib import Path

from scaling.records.storage import Lock, LockedError

OWNER, DOOMED, TAKEOVERS, OVERLAPS = range(4)


def compete(path: Path, cells: memoryview) -> None:
    """Try until inside, and stay there until killed."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    me, rng = os.getpid(), random.Random(os.getpid())
    while True:
        try:
            with Lock(path):
                # Whoever is written there has left no goodbye: it is dead or dying, or should not be.
                if cells[OWNER] not in (0, cells[DOOMED]):
                    cells[OVERLAPS] += 1
                cells[OWNER] = me
                cells[TAKEOVERS] += 1
                while True:
                    if cells[OWNER] != me:
                        cells[OVERLAPS] += 1
                        cells[OWNER] = me
                    time.sleep(0.0002)
        except LockedError:
            time.sleep(rng.uniform(0, 0.004))


def main(folder: Path, takeovers: int, workers: int) -> None:
    cells = memoryview(mmap.mmap(-1, 4 * 8)).cast("q")
    alive: set[int] = set()
    rng = random.Random(7)
    while cells[TAKEOVERS] < takeovers and not cells[OVERLAPS]:
        while len(alive) < workers:
            child = os.fork()
            if child == 0:
                compete(folder / "lock", cells)
            alive.add(child)
        owner = cells[OWNER]
        if owner in alive:
            time.sleep(rng.uniform(0, 0.002))
            cells[DOOMED] = owner
            os.kill(owner, signal.SIGKILL)
            os.waitpid(owner, 0)
            alive.remove(owner)
        else:
            time.sleep(0.0002)
    found = {"takeovers": cells[TAKEOVERS], "overlaps": cells[OVERLAPS]}  # what ends here follows no rule
    for child in alive:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    print(json.dumps(found))


if __name__ == "__main__":
    if "broken" in sys.argv:
        Lock._take = lambda self, fd: None  # type: ignore[method-assign]
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
