"""Where a trunk starts that continues from a finished run: its weights and moments, under another batch size.

Rows come from (seed, step) by their place in the epoch: step s of batches of S is step s S / S' of batches of
S'. A trunk of the same seed that starts there reads the very rows, in the order, that the run would have.
"""

from __future__ import annotations

from pathlib import Path

from scaling.records.storage import peek_checkpoint
from scaling.study.spec import TrunkSpec
from scaling.training.state import TrainState, read_checkpoint


def go_on_from(spec: TrunkSpec, runs: Path, state: TrainState) -> None:
    """Give `state` what the run `spec.origin` ended with; its step becomes `spec.start`.

    Args:
        runs: the folder of studies; the run may lie in any.

    Raises:
        ValueError: when no study has a whole checkpoint of the run.
    """
    for folder in sorted(runs.glob(f"*/*/{spec.origin}")):
        found = peek_checkpoint(folder, read_checkpoint, at_most=10**12)
        if found is not None:
            state.restore({**found[1], "step": spec.start})
            return
    raise ValueError(
        f"trunk {spec.id} goes on from run {spec.origin}, of which no study in {runs} has a whole "
        "checkpoint. Train that run again."
    )
