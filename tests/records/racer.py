"""One of several processes that want the same names at once: racer.py FOLDER ME ROUNDS START."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from scaling.records.storage import Lock, LockedError, new_attempt, write_once


def main(folder: Path, me: str, rounds: int, start: float) -> None:
    while time.time() < start:
        time.sleep(0.001)
    won = [n for n in range(rounds) if write_once(folder / "once" / str(n), me.encode())]
    numbers = [new_attempt(folder / "trunk", {"racer": me}) for _ in range(rounds // 4)]
    held = refused = 0
    deadline = time.monotonic() + 20
    while held < rounds // 10 and time.monotonic() < deadline:
        try:
            with Lock(folder / "lock"):
                # O_EXCL: raises where two are inside at once.
                os.close(os.open(folder / "inside", os.O_CREAT | os.O_EXCL))
                time.sleep(0.001)
                os.unlink(folder / "inside")
                held += 1
        except LockedError:
            refused += 1
        time.sleep(0.001)
    print(json.dumps({"won": won, "numbers": numbers, "held": held, "refused": refused}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
