"""What it takes to check every byte of a token cache when a process first opens it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from experiments.benchmarks.row import Row, cpu
from scaling.data import tokenset
from scaling.data.tokenizer import ByteTokenizer
from scaling.records.storage import make_folder
from scaling.study.code import code_versions, forget_files, run_roots

SIZE = 30_000_000  # tokens of a corpus that a one-minute run is trained on, as `python_source` has them
MINUTE, BOUND = 60.0, 0.01
DOCUMENT = 4_000_000


def verify_rows(folder: Path, seconds: float) -> Iterator[Row]:
    """Token files by the blocks, and the digests of the code, against a run of a minute."""
    text = np.random.default_rng(0).integers(1, 256, SIZE, dtype=np.uint8).tobytes()
    parts = [text[i : i + DOCUMENT] for i in range(0, SIZE, DOCUMENT)]
    home = make_folder(folder / "set")
    tokenset.write_set(
        home, ByteTokenizer(), [("heldout" if i == 0 else "train", part) for i, part in enumerate(parts)], "x"
    )

    def open_anew() -> None:
        tokenset._checked.clear()
        tokenset.open_set(home)

    begin = time.perf_counter()
    open_anew()
    wall = time.perf_counter() - begin
    took = cpu(open_anew, 3)
    megabytes = 2 * SIZE / 1e6
    yield Row(
        f"checking a token cache of {megabytes:.0f} MB [s]",
        f"{BOUND:.0%} of a one-minute run",
        f"{took:.3f} CPU ({megabytes / took:,.0f} MB/s), {wall:.3f} wall",
        took / (BOUND * MINUTE),
        took <= BOUND * MINUTE,
    )
    roots = run_roots(
        family="scaling.models.decoder", objective="causal", loss="cross_entropy", corpus="text"
    )
    begin_cpu = time.process_time()
    forget_files()
    code_versions(roots)
    yield Row("  digests of the code of a run [s]", "", f"{time.process_time() - begin_cpu:.3f} CPU")
