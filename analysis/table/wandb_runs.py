"""Runs of a W&B project over its public GraphQL API, with the standard library only.

Source: the `Runs` query and the field names (`config`, `summaryMetrics`, `state`, `pageInfo`) are those of
wandb 0.31, `wandb/apis/public/runs.py`; basic authentication as user `api`.
"""

from __future__ import annotations

import base64
import json
import os
import urllib.error
import urllib.request
from typing import Any

from analysis.table.nested import flatten_objects
from analysis.table.raw import Raw

_QUERY = """
query Runs($project: String!, $entity: String!, $cursor: String, $perPage: Int!) {
  project(name: $project, entityName: $entity) {
    runs(first: $perPage, after: $cursor, order: "+created_at") {
      edges { node { name displayName state jobType group config summaryMetrics } }
      pageInfo { endCursor hasNextPage }
    }
  }
}
"""
_PAGE = 200
_SECONDS = 60.0
_ANSWERS = ("fit", "compare", "next")  # job types of what was found in runs
_TRUNKS = "trunk"  # job type of a trunk of ours; its runs have job types of their own


def read_wandb(address: str) -> Raw:
    """Rows of `wandb://entity/project`: config and summary of every finished training run.

    A key is offered as `config.key` and `summary.key`, and as plain `key` where only one of the two has it or
    both agree in every run. Runs in other states are counted as failed, or missing while they run.

    Raises:
        ValueError: an address of another shape, no WANDB_API_KEY, no such project, or an answer that cannot
            be read, with what the server said.
    """
    entity, _, project = address.removeprefix("wandb://").strip("/").partition("/")
    if not entity or not project or "/" in project:
        raise ValueError(f"{address}: write wandb://ENTITY/PROJECT.")
    key = os.environ.get("WANDB_API_KEY", "")
    base = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai").rstrip("/")
    if not key:
        raise ValueError(f"{address}: set WANDB_API_KEY to read runs from {base}.")
    if not base.startswith(("https://", "http://")):
        raise ValueError(f"{address}: WANDB_BASE_URL must be an http(s) address; got {base!r}.")

    raw = Raw(address, {}, [], counts={"failed": 0, "missing": 0})
    rows: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        variables = {"project": project, "entity": entity, "cursor": cursor, "perPage": _PAGE}
        page = _ask(f"{base}/graphql", key, variables, address)
        for edge in page["edges"]:
            row = _row(edge["node"], raw)
            if row is not None:
                rows.append(row)
        if not page["pageInfo"]["hasNextPage"]:
            break
        cursor = page["pageInfo"]["endCursor"]
    if raw.counts.pop(_TRUNKS, 0):
        raw.notes.append("trunks are left out: their loss is that before a cooldown")
    if not rows:
        raise ValueError(f"{address}: no finished training run; {raw.counts['failed']} failed.")
    names = list(dict.fromkeys(name for row in rows for name in row))
    raw.columns = {name: [row.get(name) for row in rows] for name in names}
    flatten_objects(raw)
    return raw


def _ask(url: str, key: str, variables: dict[str, Any], address: str) -> dict[str, Any]:
    body = json.dumps({"query": _QUERY, "variables": variables}).encode()
    token = base64.b64encode(f"api:{key}".encode()).decode()
    headers = {"Content-Type": "application/json", "Authorization": f"Basic {token}"}
    request = urllib.request.Request(url, data=body, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as response:
            answer = json.loads(response.read())
    except urllib.error.HTTPError as error:
        with error:
            hint = " Is WANDB_API_KEY right?" if error.code in (401, 403) else ""
            raise ValueError(f"{address}: {url} answered {error.code} {error.reason}.{hint}") from error
    except (OSError, ValueError) as error:
        raise ValueError(f"{address}: no usable answer from {url}: {error}") from error
    if answer.get("errors"):
        raise ValueError(f"{address}: {url} refused: {answer['errors'][0].get('message')}")
    found = (answer.get("data") or {}).get("project")
    if found is None:
        raise ValueError(f"{address}: no such project, or this key may not read it.")
    runs: dict[str, Any] = found["runs"]
    return runs


def _row(node: dict[str, Any], raw: Raw) -> dict[str, Any] | None:
    """One run as a flat row, or None when it is no finished training run (counted in `raw`)."""
    label = str(node["name"])
    kind = node.get("jobType")
    if kind == _TRUNKS:
        raw.counts[_TRUNKS] = 1
    if kind in (*_ANSWERS, _TRUNKS):
        return None
    state = node.get("state")
    if state != "finished":
        raw.counts["missing" if state in ("running", "pending") else "failed"] += 1
        raw.notes.append(f"run {label} is {state}")
        return None
    try:
        config = json.loads(node.get("config") or "{}")
        summary = json.loads(node.get("summaryMetrics") or "{}")
        if not (isinstance(config, dict) and isinstance(summary, dict)):
            raise ValueError("not an object")
    except ValueError as error:
        raw.quarantine.append({"row": label, "reason": f"config or summary is not JSON: {error}"})
        return None
    raw.labels.append(label)
    about = {"run_id": label, "display name": node.get("displayName"), "group": node.get("group")}
    return about | {"config": config, "summary": summary}
