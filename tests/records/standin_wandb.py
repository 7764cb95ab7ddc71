"""A stand-in for the W&B server: what wandb asks when it logs, resumes and syncs, kept in memory."""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ENTITY = "me"  # of whoever gives none


@dataclass
class SyncedRun:
    """One run as the server has it."""

    entity: str = ""
    project: str = ""
    group: str = ""
    job_type: str = ""
    tags: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)  # as W&B wraps it: {"value": …}
    rows: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    state: str = "running"

    def settings(self) -> dict[str, Any]:
        """The config, unwrapped."""
        return {key: item["value"] for key, item in self.config.items() if key != "_wandb"}


class StandIn(ThreadingHTTPServer):
    daemon_threads = True
    runs: dict[str, SyncedRun]

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def standin_wandb() -> Iterator[StandIn]:
    """A server that runs while inside."""
    with StandIn(("127.0.0.1", 0), _Answers) as server:
        server.runs = {}
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: StandIn

    def do_GET(self) -> None:
        self._send({}, 404)

    def do_PUT(self) -> None:
        self._body()
        self._send({})

    def do_POST(self) -> None:
        body = json.loads(self._body() or b"{}")
        streamed = re.fullmatch(r"/files/[^/]+/[^/]+/([^/]+)/file_stream", self.path)
        if streamed:
            self._stream(self.server.runs.setdefault(streamed[1], SyncedRun()), body)
            self._send({"exitcode": None, "limits": {}})
        elif self.path == "/graphql":
            self._send({"data": self._graphql(body.get("query", ""), body.get("variables") or {})})
        else:
            self._send({}, 404)

    def _stream(self, run: SyncedRun, body: dict[str, Any]) -> None:
        for name, part in (body.get("files") or {}).items():
            if name == "wandb-history.jsonl":
                run.rows[part["offset"] :] = map(json.loads, part["content"])
            elif name == "wandb-summary.json":
                run.summary = json.loads(part["content"][-1])
        if body.get("complete"):
            run.state = "finished" if body.get("exitcode") == 0 else "failed"

    def _graphql(self, query: str, asked: dict[str, Any]) -> dict[str, Any]:
        name = asked.get("name")
        if "upsertBucket" in query:
            return {"upsertBucket": self._upsert(str(name), asked)}
        if "RunResumeStatus" in query:
            return {
                "model": {"id": "m", "name": "p", "entity": {"name": ENTITY}, "bucket": self._bucket(name)}
            }
        if "createRunFiles" in query:
            files = [{"name": file, "uploadUrl": f"{self.server.address}/{file}"} for file in asked["files"]]
            return {"createRunFiles": {"runID": "x", "uploadHeaders": [], "files": files}}
        if "createArtifact(" in query:  # as if it were there already: nothing is uploaded
            latest = {"id": "a", "versionIndex": 0}
            sequence = {"id": "s", "latestArtifact": latest}
            return {
                "createArtifact": {
                    "artifact": {"id": "a", "state": "COMMITTED", "artifactSequence": sequence}
                }
            }
        if "runs(first" in query:
            edges = [{"node": self._node(*item)} for item in self.server.runs.items()]
            return {"project": {"runs": {"edges": edges, "pageInfo": {"hasNextPage": False}}}}
        viewer = {"id": "u", "entity": ENTITY, "username": ENTITY, "flags": "{}", "teams": {"edges": []}}
        info = {
            "cliVersionInfo": {"max_cli_version": "99.0.0"},
            "latestLocalVersionInfo": None,
            "features": [],
        }
        return {"viewer": viewer, "serverInfo": info, "project": None, "model": None}

    def _upsert(self, name: str, asked: dict[str, Any]) -> dict[str, Any]:
        new = name not in self.server.runs
        run = self.server.runs.setdefault(name, SyncedRun())
        run.entity = asked.get("entity") or run.entity or ENTITY
        run.project = asked.get("project") or run.project
        run.group = asked.get("groupName") or run.group
        run.job_type = asked.get("jobType") or run.job_type
        run.tags = asked.get("tags") or run.tags
        run.config = json.loads(asked.get("config") or "null") or run.config
        project = {"id": "p", "name": run.project, "entity": {"id": "e", "name": run.entity}}
        bucket = {"id": name, "name": name, "displayName": name, "config": "{}", "project": project}
        return {"bucket": {**bucket, "historyLineCount": len(run.rows)}, "inserted": new}

    def _bucket(self, name: Any) -> dict[str, Any] | None:
        run = self.server.runs.get(name)
        if run is None:
            return None
        counts = {"logLineCount": 0, "historyLineCount": len(run.rows), "eventsLineCount": 0}
        tails = {"historyTail": json.dumps([json.dumps(row) for row in run.rows[-1:]]), "eventsTail": "[]"}
        about = {"id": name, "name": name, "displayName": name, "tags": run.tags, "wandbConfig": '{"t": 1}'}
        documents = {"summaryMetrics": json.dumps(run.summary), "config": json.dumps(run.config)}
        return {**counts, **tails, **about, **documents}

    def _node(self, name: str, run: SyncedRun) -> dict[str, Any]:
        documents = {"config": json.dumps(run.config), "summaryMetrics": json.dumps(run.summary)}
        about = {"name": name, "displayName": name, "state": run.state, "jobType": run.job_type}
        return {**about, "group": run.group, **documents}

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline() or b"0", 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            body = b"".join(parts)
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def _send(self, answer: dict[str, Any], status: int = 200) -> None:
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        """Quiet."""
