"""The processes that torchrun started, as one of them sees it: rank 0 calls methods on every rank."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import torch.distributed as dist

from scaling.training.stop import SIGNALS

PATIENCE = timedelta(days=30)  # of a rank that waits for the next call: rank 0 may be planning or evaluating


class ProcessGroup:
    """Every rank of one start of torchrun, each with a part of one state.

    Args:
        make_part: makes a rank's part, from what rank 0 calls `open` with.
    """

    def __init__(self, make_part: Callable[..., Any]) -> None:
        self.make_part = make_part
        self.rank, self.ranks = dist.get_rank(), dist.get_world_size()
        self.calls = dist.new_group(backend="gloo", timeout=PATIENCE)
        self.part: Any = None
        self.broken = False

    def call_all(self, name: str, *arguments: Any, **mine: Any) -> Any:
        """On rank 0, call the method `name` of every rank's part; `mine` is passed to this rank's only.

        Raises:
            RuntimeError: after a call that failed on this rank: the others may still wait for its end.
        """
        if self.broken:
            raise RuntimeError(
                "the ranks lost step at an earlier error. End this command and start it again: it goes on "
                "from the last checkpoint."
            )
        self.broken = True
        dist.broadcast_object_list([(name, arguments)], src=0, group=self.calls)
        result = self._call(name, arguments, mine)
        self.broken = False
        return result

    def serve(self) -> None:
        """On any other rank, do what rank 0 calls until it closes. Signals are for rank 0 to decide on."""
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        while True:
            call: list[Any] = [None]
            dist.broadcast_object_list(call, src=0, group=self.calls)
            if call[0] is None:
                return
            name, arguments = call[0]
            self._call(name, arguments, {})

    def close(self) -> None:
        """On rank 0, let the others return from `serve`. Where they have lost step, torchrun ends them."""
        if not self.broken:
            dist.broadcast_object_list([None], src=0, group=self.calls)

    def _call(self, name: str, arguments: Sequence[Any], mine: dict[str, Any]) -> Any:
        if name == "open":
            self.part = None  # frees the last model before the next one is made
            self.part = self.make_part(*arguments)
            return None
        return getattr(self.part, name)(*arguments, **mine)
