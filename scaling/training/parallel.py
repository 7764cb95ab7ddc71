"""One model over several devices: the process of rank 0 leads, the others do as they are told.

Rank 0 alone plans, reads and writes storage, hears signals and looks at the clock, with the code that trains
on one device. Before anything that takes every rank it tells the others the name of a method and what it
takes, batches included. So a decision is made once, and no two ranks can disagree about the next step.

A checkpoint is the whole state under the names of a single process: one written by any number of ranks is
read by any other number, by DDP, FSDP2 or neither.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist

from scaling.study.spec import TrunkSpec
from scaling.training.device import Arithmetic
from scaling.training.state import State
from scaling.training.stop import SIGNALS

if TYPE_CHECKING:  # it takes seconds to import, and most processes train alone
    from scaling.training.shared import Part

PATIENCE = timedelta(days=30)  # of a rank that waits for the next word: rank 0 may be planning or evaluating
STARTED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")  # what torchrun sets

_crew: Crew | None = None


def ranks() -> int:
    """How many processes train one model together, 1 alone."""
    return _crew.ranks if _crew else 1


@contextmanager
def crew() -> Iterator[bool]:
    """Join the processes that torchrun started, if it did. True: this one leads, or is alone.

    False: this one was another rank, has followed to the end, and has nothing left to do.
    """
    global _crew
    if any(name not in os.environ for name in STARTED):
        yield True
        return
    cuda = torch.cuda.is_available()
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo")
    _crew = Crew()
    try:
        if _crew.rank:
            _crew.follow()
            yield False
        else:
            try:
                yield True
            finally:
                _crew.dismiss()
    finally:
        _crew = None
        dist.destroy_process_group()


class Crew:
    """Every rank of one start of torchrun, as one of them sees it."""

    def __init__(self) -> None:
        self.rank, self.ranks = dist.get_rank(), dist.get_world_size()
        self.words = dist.new_group(backend="gloo", timeout=PATIENCE)
        self.part: Part | None = None
        self.broken = False

    def tell(self, name: str, *arguments: Any, **mine: Any) -> Any:
        """Rank 0: have every rank call the method `name` of its part; `mine` is given to this one's only.

        Raises:
            RuntimeError: after a call that did not end well here: the others may still wait for its end.
        """
        if self.broken:
            raise RuntimeError(
                "the ranks lost step at an earlier error. End this command and start it again: it goes on "
                "from the last checkpoint."
            )
        self.broken = True
        dist.broadcast_object_list([(name, arguments)], src=0, group=self.words)
        result = self._do(name, arguments, mine)
        self.broken = False
        return result

    def follow(self) -> None:
        """Any other rank: do as told until dismissed. Signals are for rank 0 to decide on."""
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        while True:
            word: list[Any] = [None]
            dist.broadcast_object_list(word, src=0, group=self.words)
            if word[0] is None:
                return
            name, arguments = word[0]
            self._do(name, arguments, {})

    def dismiss(self) -> None:
        """Rank 0: let the others go. Where they have lost step, torchrun ends them."""
        if not self.broken:
            dist.broadcast_object_list([None], src=0, group=self.words)

    def _do(self, name: str, arguments: Sequence[Any], mine: dict[str, Any]) -> Any:
        if name == "open":
            from scaling.training.shared import Part

            self.part = None  # frees the last model before the next one is made
            self.part = Part(*arguments)
            return None
        return getattr(self.part, name)(*arguments, **mine)


def open_state(spec: TrunkSpec, arithmetic: Arithmetic, parallel: str) -> State:
    """The state of a trunk on one device, or on those of every rank.

    Raises:
        ValueError: where the processes that were started do not fit what was asked.
    """
    if _crew is None and parallel != "none":
        raise ValueError(
            f"training.parallel: {parallel} was asked, but this is the only process. One model over several "
            f"devices: torchrun --nproc-per-node=2 -m experiments.run … training.parallel={parallel}. "
            "Several models at a time: workers=2, without torchrun."
        )
    if _crew is not None and parallel == "none":
        raise ValueError(
            f"training.parallel: none was asked, but torchrun started {_crew.ranks} processes for one model. "
            "Say training.parallel=ddp or fsdp, or run without torchrun."
        )
    if _crew is None:
        return State(spec, arithmetic)
    if spec.sequences % _crew.ranks:
        raise ValueError(
            f"training.sequences: {spec.sequences} rows cannot be shared evenly by {_crew.ranks} processes; "
            "start a number that divides it."
        )
    from scaling.training.shared import Lead

    return Lead(_crew, spec, arithmetic, parallel)
