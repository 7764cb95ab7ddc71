"""Passes what training tells on to W&B: one W&B run per trunk and one per run, grouped by study."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from scaling.launch.described import describe_all
from scaling.records.tracking import RunTracker, Tracker
from scaling.study.spec import Trunk
from scaling.training.observer import Kind, Observer

EVALUATED = ("loss", "loss_se", "bits_per_byte")


class Mirror(Observer):
    """Forwards to a tracker, which never raises and never waits."""

    def __init__(self, tracker: Tracker, trunks: Iterable[Trunk]) -> None:
        self.tracker = tracker
        self.described = describe_all(trunks)
        self.open: dict[str, RunTracker] = {}

    def opened(self, id: str, kind: Kind, config: Mapping[str, Any]) -> None:
        if id in self.open:  # a trunk that has failed is tried again
            self.open.pop(id).finish(exit_code=1)
        known = self.described[id]
        tags = [str(known.config["family"]), str(known.config["data"])]
        self.open[id] = self.tracker.run(
            id, name=id, job_type=kind, config=known.config, tags=tags, steps=known.steps
        )

    def logged(self, id: str, row: Mapping[str, Any]) -> None:
        self.open[id].log(row)

    def closed(self, id: str, summary: Mapping[str, Any]) -> None:
        run = self.open.pop(id, None)
        if run is None:  # a run that its trunk's divergence took along was never opened
            return
        last = last_row(summary)
        if last:
            run.log(last)
        run.configure({key: summary[key] for key in self.described[id].config if key in summary})
        run.summary({k: v for k, v in summary.items() if isinstance(v, int | float | str)})
        run.finish()


def last_row(record: Mapping[str, Any]) -> dict[str, Any]:
    """The final evaluation of a run as a row of its log, where its record has one."""
    if record.get("loss") is None:
        return {}
    return {"step": record["steps"], **{key: record[key] for key in ("tokens", "flops", *EVALUATED)}}
