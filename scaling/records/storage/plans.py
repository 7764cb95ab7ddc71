"""`plan.json`: the runs that a study expects, so that missing ones are counted. Commands join it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from scaling.records.reading import LARGEST_PLAN, read_json
from scaling.records.record import PLAN_FILE
from scaling.records.storage.files import make_folder, quarantine, write_json
from scaling.records.storage.lock import waiting_lock


def join_plan(
    study: str | Path, head: Mapping[str, Any], rows: Iterable[Mapping[str, Any]], *, replace: bool = False
) -> None:
    """Write what is expected of a study, beside what others expect of it already.

    Args:
        head: what stands beside the runs: the name of the study, its question, the schema.
        rows: one per run, with `run_id` and `trunk_id`.
        replace: forget what others expect.

    Raises:
        OSError: when the folder cannot be written.
        LockedError: when another process holds the plan for ten seconds.
    """
    path = make_folder(study) / PLAN_FILE
    fresh = {str(row["run_id"]): dict(row) for row in rows}
    with waiting_lock(path.with_suffix(".lock")):
        before = _read_plan(path)
        earlier = {} if replace else {row["run_id"]: row for row in before.get("runs", ())}
        question = head.get("question") or before.get("question", "")
        body = {**head, "question": question, "runs": list({**earlier, **fresh}.values())}
        if body != before:
            write_json(path, body)


def _read_plan(path: Path) -> dict[str, Any]:
    """What stands in a plan that is there already. A damaged one is set aside."""
    try:
        body = dict(read_json(path, LARGEST_PLAN))
        rows = [dict(row) for row in body["runs"]]
        return {**body, "runs": [row for row in rows if isinstance(row["run_id"], str)]}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        quarantine(path, f"unreadable plan: {error!r}")
        return {}
