"""One model over several devices: the process of rank 0 leads, the others do what it calls.

Rank 0 alone plans, reads and writes storage, hears signals and looks at the clock, with the code that trains
on one device. Before anything that takes every rank it sends the others the name of a method and its
arguments, batches included. So a decision is made once, and no two ranks can disagree about the next step.

A checkpoint is the whole state under the names of a single process: one written by any number of ranks is
read by any other number, by DDP, FSDP2 or neither.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from scaling.study.spec import TrunkSpec
from scaling.training.device import Numerics

if TYPE_CHECKING:
    from scaling.training.process_group import ProcessGroup
    from scaling.training.state import TrainState

STARTED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")  # what torchrun sets

_group: ProcessGroup | None = None


def ranks() -> int:
    """Return how many processes train one model together, 1 alone."""
    return _group.ranks if _group else 1


@contextmanager
def process_group() -> Iterator[bool]:
    """Join the processes that torchrun started, if it did. True: this one leads, or is alone.

    False: this one was another rank, has served to the end, and has nothing left to do.
    """
    global _group
    if any(name not in os.environ for name in STARTED):
        yield True
        return
    import torch  # takes seconds to import, and most processes train alone
    import torch.distributed as dist

    from scaling.training.process_group import ProcessGroup
    from scaling.training.sharded import ShardedState

    cuda = torch.cuda.is_available()
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo")
    _group = ProcessGroup(ShardedState)
    try:
        if _group.rank:
            _group.serve()
            yield False
        else:
            try:
                yield True
            finally:
                _group.close()
    finally:
        _group = None
        dist.destroy_process_group()


def open_state(spec: TrunkSpec, numerics: Numerics, parallel: str) -> TrainState:
    """Make the state of a trunk on one device, or on those of every rank.

    Raises:
        ValueError: where the processes that were started do not fit what was asked.
    """
    if _group is None and parallel != "none":
        raise ValueError(
            f"training.parallel: {parallel} was asked, but this is the only process. One model over several "
            f"devices: torchrun --nproc-per-node=2 -m experiments.cli run … training.parallel={parallel}. "
            "Several models at a time: workers=2, without torchrun."
        )
    if _group is not None and parallel == "none":
        raise ValueError(
            f"training.parallel: none was asked, but torchrun started {_group.ranks} processes for one "
            "model. Say training.parallel=ddp or fsdp, or run without torchrun."
        )
    if _group is None:
        from scaling.training.state import LocalState

        return LocalState(spec, numerics)
    uneven = next((rows for rows in spec.batch_sizes.all if rows % _group.ranks), None)
    if uneven is not None:
        raise ValueError(
            f"training.sequences: {uneven} rows cannot be shared evenly by {_group.ranks} processes; "
            "start a number that divides it."
        )
    from scaling.training.sharded import Coordinator

    return Coordinator(_group, spec, numerics, parallel)
