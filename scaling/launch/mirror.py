"""What training tells, told on to W&B: one W&B run a trunk and one a run, grouped by study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scaling.records.tracking import RunTracker, Tracker
from scaling.training.observer import Kind, Observer


class Mirror(Observer):
    """Forwards to a tracker, which never raises and never waits."""

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker
        self.open: dict[str, RunTracker] = {}

    def opened(self, id: str, kind: Kind, config: Mapping[str, Any]) -> None:
        trunk = config if kind == "trunk" else config["trunk"]
        tags = [
            trunk["family"],
            *([trunk["data"]["corpus"]] if "data" in trunk else []),
        ]  # a command has none
        self.open[id] = self.tracker.run(id, name=id, job_type=kind, config=config, tags=tags)

    def logged(self, id: str, row: Mapping[str, Any]) -> None:
        self.open[id].log(row)

    def closed(self, id: str, summary: Mapping[str, Any]) -> None:
        run = self.open.pop(id, None)
        if run is not None:  # a run that its trunk's divergence took along was never opened
            run.summary({k: v for k, v in summary.items() if isinstance(v, int | float | str)})
            run.finish()
