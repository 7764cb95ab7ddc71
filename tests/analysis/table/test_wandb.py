"""Reading a W&B project from recorded answers of its GraphQL API, served on this machine."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from analysis.table import load_runs
from tests.analysis.synthetic import BUDGETS, WIDTHS, true_loss


def node(name: str, state: str = "finished", **changes: Any) -> dict[str, Any]:
    """A run as api.wandb.ai answers it: config values wrapped, both documents JSON in a string."""
    config = {k: {"value": v, "desc": None} for k, v in changes.pop("config", {}).items()}
    summary = changes.pop("summary", {}) | {"_step": 9, "_runtime": 1.5, "_wandb": {"runtime": 1}}
    body = {"name": name, "displayName": f"brisk-{name}", "state": state, "jobType": "train", "group": "demo"}
    config["_wandb"] = {"value": {"cli_version": "0.31.0"}, "desc": None}
    return body | {"config": json.dumps(config), "summaryMetrics": json.dumps(summary)} | changes


def project() -> list[dict[str, Any]]:
    runs = []
    for width, params in WIDTHS.items():
        for tokens in BUDGETS:
            config = {"model": {"params": params, "width": width}, "family": "decoder", "tokens": 1}
            summary = {"tokens": tokens, "eval/loss": true_loss(params, tokens), "trunk_id": f"w{width}"}
            runs.append(node(f"w{width}d{tokens}", config=config, summary=summary))
    runs.append(node("lost", "crashed"))
    runs.append(node("going", "running"))
    runs.append(node("laws", jobType="fit"))
    runs.append(node("odd", config={}, summary={}, summaryMetrics="{"))
    return runs


class Server(HTTPServer):
    nodes: list[dict[str, Any]]
    answer: tuple[int, bytes] | None = None  # instead of the recorded one
    asked: list[dict[str, Any]]
    keys: list[str]


class Answers(BaseHTTPRequestHandler):
    server: Server
    page = 15

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(body["variables"])
        self.server.keys.append(base64.b64decode(self.headers["Authorization"].split()[1]).decode())
        status, content = self.server.answer or (200, json.dumps(self._runs(body["variables"])).encode())
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _runs(self, variables: dict[str, Any]) -> dict[str, Any]:
        if variables["project"] != "laws":
            return {"data": {"project": None}}
        start = int(variables["cursor"] or 0)
        stop = start + self.page
        edges = [{"node": n} for n in self.server.nodes[start:stop]]
        more = {"endCursor": str(stop), "hasNextPage": stop < len(self.server.nodes)}
        return {"data": {"project": {"runs": {"edges": edges, "pageInfo": more}}}}

    def log_message(self, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Answers) as server:
        server.nodes, server.asked, server.keys = project(), [], []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
        yield server
        server.shutdown()
        thread.join()


MAPPING = ["params=model.params", "loss=eval/loss", "tokens=summary.tokens"]


def test_a_project_becomes_a_table(server: Server) -> None:
    table = load_runs("wandb://me/laws", MAPPING)
    assert table.counts == {"used": 30, "quarantined": 1, "diverged": 0, "failed": 1, "missing": 1}
    assert list(table["params"][:5]) == [5760] * 5
    assert list(table["tokens"][:5]) == list(BUDGETS)
    assert list(table["trunk_id"].unique()) == [f"w{w}" for w in WIDTHS]
    assert [table["loss"][i] for i in (0, 29)] == [true_loss(5760, 100_000), true_loss(301_056, 4_000_000)]
    assert set(table["family"]) == {"decoder"}
    assert {"run lost is crashed", "run going is running"} <= set(table.notes)
    assert [a["cursor"] for a in server.asked] == [None, "15", "30"]
    assert set(server.keys) == {"api:" + "k" * 40}


def test_two_columns_that_disagree_must_be_named(server: Server) -> None:
    with pytest.raises(ValueError, match=r"'tokens' could be any of 'config.tokens', 'summary.tokens'"):
        load_runs("wandb://me/laws", MAPPING[:2])


def test_no_such_project(server: Server) -> None:
    with pytest.raises(ValueError, match="wandb://me/other: no such project, or this key may not read it"):
        load_runs("wandb://me/other")


def test_nothing_finished(server: Server) -> None:
    server.nodes = [node("a", "failed")]
    with pytest.raises(ValueError, match="no finished training run; 1 failed"):
        load_runs("wandb://me/laws")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((401, b"no"), r"answered 401 .*Is WANDB_API_KEY right\?"),
        ((500, b"oops"), "answered 500"),
        ((200, b"<html>"), "no usable answer from"),
        ((200, b'{"errors": [{"message": "rate limit"}]}'), "refused: rate limit"),
    ],
)
def test_what_the_server_said(server: Server, answer: tuple[int, bytes], message: str) -> None:
    server.answer = answer
    with pytest.raises(ValueError, match=message):
        load_runs("wandb://me/laws")


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "k")
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    with pytest.raises(ValueError, match=r"no usable answer from http://127\.0\.0\.1:9/graphql"):
        load_runs("wandb://me/laws")


@pytest.mark.parametrize(
    ("address", "key", "base", "message"),
    [
        ("wandb://me", "k", "https://x", "write wandb://ENTITY/PROJECT"),
        ("wandb://me/laws/run", "k", "https://x", "write wandb://ENTITY/PROJECT"),
        ("wandb://me/laws", "", "https://x", "set WANDB_API_KEY to read runs from https://x"),
        ("wandb://me/laws", "k", "file:///etc", r"must be an http\(s\) address; got 'file:///etc'"),
    ],
)
def test_refused_before_asking(
    monkeypatch: pytest.MonkeyPatch, address: str, key: str, base: str, message: str
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", key)
    monkeypatch.setenv("WANDB_BASE_URL", base)
    with pytest.raises(ValueError, match=message):
        load_runs(address)
