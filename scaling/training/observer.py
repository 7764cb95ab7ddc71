"""What training tells whoever listens: a progress bar, a mirror, a test. Listeners never change a result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Kind = Literal["trunk", "run"]


class Observer:
    """Listens to nothing; override what you need. A trunk and each of its runs are opened and closed once."""

    def opened(self, id: str, kind: Kind, config: Mapping[str, Any]) -> None:
        """Training or resuming of a trunk or of a run's cooldown starts."""

    def logged(self, id: str, row: Mapping[str, Any]) -> None:
        """One line of metrics.jsonl: a training step, or a held-out evaluation."""

    def closed(self, id: str, summary: Mapping[str, Any]) -> None:
        """It ended; for a run, `summary` is its record."""


class Observers(Observer):
    """Several, told in turn."""

    def __init__(self, *members: Observer) -> None:
        self.members = members

    def opened(self, id: str, kind: Kind, config: Mapping[str, Any]) -> None:
        for member in self.members:
            member.opened(id, kind, config)

    def logged(self, id: str, row: Mapping[str, Any]) -> None:
        for member in self.members:
            member.logged(id, row)

    def closed(self, id: str, summary: Mapping[str, Any]) -> None:
        for member in self.members:
            member.closed(id, summary)
