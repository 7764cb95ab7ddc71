"""`scaling serve RUN`: answer OpenAI-style completion requests from this machine; Ctrl-C ends it."""

from __future__ import annotations

import argparse
import itertools
import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from experiments.trained import Opened, add_model, open_model

ADDRESS = "127.0.0.1"  # and no other: a model that answers strangers needs more than this
LARGEST = 65_536  # bytes of a request
MOST_TOKENS = 1_024  # of an answer
MOST_PROMPTS = 16


class Refused(ValueError):
    """A request that is not answered, and the HTTP status that says so."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scaling serve", description=__doc__)
    add_model(parser)
    parser.add_argument(
        "--port", type=int, default=8000, help=f"port of {ADDRESS} (default 8000; 0: a free one)"
    )
    parser.add_argument(
        "--most-bytes", type=int, default=LARGEST, help=f"largest request, in bytes (default {LARGEST})"
    )
    asked = parser.parse_args(arguments)
    _packages()
    if not 0 <= asked.port < 2**16:
        raise ValueError(f"--port: 0 to 65535; got {asked.port}.")
    serve(Answerer(open_model(asked)), asked.port, asked.most_bytes)
    return 0


def serve(answerer: Answerer, port: int, most_bytes: int) -> None:
    """Answer until SIGINT or SIGTERM; requests that have begun are finished.

    Raises:
        OSError: where the port is taken.
    """
    import uvicorn

    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((ADDRESS, port))
        except OSError as error:
            raise OSError(
                f"--port {port}: {error.strerror}. Give another one, or 0 for a free one."
            ) from error
        listening.listen(128)
        port = listening.getsockname()[1]
        print(f"{answerer.name}: http://{ADDRESS}:{port}/v1/completions; Ctrl-C ends it", flush=True)
        config = uvicorn.Config(make_app(answerer, most_bytes), log_level="warning", lifespan="off")
        server = uvicorn.Server(config)
        with _ending(server):
            server.run(sockets=[listening])


@contextmanager
def _ending(server: Any) -> Iterator[None]:
    """Let a signal end the server; uvicorn's own handlers would raise it again when all is done."""
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = {kind: signal.signal(kind, lambda *_: setattr(server, "should_exit", True)) for kind in kinds}

    @contextmanager
    def captured() -> Iterator[None]:
        yield

    server.capture_signals = captured
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def make_app(answerer: Answerer, most_bytes: int = LARGEST) -> Any:
    """The routes, as an ASGI application."""
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def completions(request: Request) -> JSONResponse:
        try:
            body = bytearray()
            async for part in request.stream():
                body += part
                if len(body) > most_bytes:
                    raise Refused(f"the request has more than {most_bytes:,} bytes.", 413)
            return JSONResponse(await run_in_threadpool(answerer.answer, bytes(body)))
        except Refused as error:
            said = {"message": str(error), "type": "invalid_request_error"}
            return JSONResponse({"error": said}, status_code=error.status)

    def models(request: Request) -> JSONResponse:
        return JSONResponse({"object": "list", "data": [{"id": answerer.name, "object": "model"}]})

    routes = [
        Route("/v1/completions", completions, methods=["POST"]),
        Route("/v1/models", models, methods=["GET"]),
    ]
    # A page in a browser can send its requests here under a name of its own that means this address.
    hosts = Middleware(TrustedHostMiddleware, allowed_hosts=[ADDRESS, "localhost"])
    return Starlette(routes=routes, middleware=[hosts])


@dataclass
class Answerer:
    """A model, one request at a time."""

    opened: Opened
    lock: threading.Lock = field(default_factory=threading.Lock)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        if self.opened.subject.dataset.tokenizer is None:
            raise ValueError("scaling serve: the corpus is synthetic; its models cannot produce text.")
        if self.opened.subject.objective == "masked" and not self.opened.tuned:
            raise ValueError("scaling serve: masked models cannot generate text.")

    @property
    def name(self) -> str:
        return str(self.opened.about["run"])

    def answer(self, body: bytes) -> dict[str, Any]:
        """What is sent back.

        Raises:
            Refused: for a request that cannot be followed.
        """
        asked = _read(body)
        prompts = [asked["prompt"]] if isinstance(asked["prompt"], str) else asked["prompt"]
        subject, counts, choices = self.opened.subject, [0, 0], []
        for prompt in prompts:
            length = len(subject.dataset.encode(prompt))
            if length > subject.context:
                raise Refused(
                    f"prompt: {length:,} tokens; the model reads {subject.context:,}. Send its last part."
                )
            counts[0] += length
        with self.lock:
            for index, prompt in enumerate(prompts):
                text = self._text(prompt, asked, asked["seed"] + index)
                said = len(subject.dataset.encode(text))
                counts[1] += said
                cut = said >= asked["max_tokens"] and not self.opened.tuned
                reason = "length" if cut else "stop"
                choices.append({"text": text, "index": index, "logprobs": None, "finish_reason": reason})
        names = ("prompt_tokens", "completion_tokens", "total_tokens")
        return {
            "id": f"cmpl-{next(self.numbers)}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": self.name,
            "choices": choices,
            "usage": dict(zip(names, [*counts, sum(counts)], strict=True)),
        }

    def _text(self, prompt: str, asked: dict[str, Any], seed: int) -> str:
        from experiments.commands.sample import sample
        from scaling.capability.labelled.read import say

        if not self.opened.tuned:
            return sample(self.opened.subject, prompt, asked["max_tokens"], asked["temperature"], seed=seed)
        try:
            return say(self.opened.tuned, prompt)
        except ValueError as error:
            raise Refused(str(error)) from error


def _read(body: bytes) -> dict[str, Any]:
    """The fields of a request, checked, with their defaults."""
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(f"the request is not JSON ({error}).") from error
    if not isinstance(asked, dict):
        raise Refused("the request is not a JSON object.")
    prompt = asked.get("prompt", "")
    if not isinstance(prompt, str) and not (
        isinstance(prompt, list)
        and 0 < len(prompt) <= MOST_PROMPTS
        and all(isinstance(p, str) for p in prompt)
    ):
        raise Refused(f"prompt: a text, or a list of 1 to {MOST_PROMPTS} texts.")
    if asked.get("stream") or asked.get("n", 1) != 1 or asked.get("stop"):
        raise Refused("stream, n above 1 and stop are not supported; leave them out.")
    return {
        "prompt": prompt,
        "max_tokens": _number(asked, "max_tokens", 16, 1, MOST_TOKENS, whole=True),
        "temperature": _number(asked, "temperature", 1.0, 0.0, 100.0),
        "seed": _number(asked, "seed", 0, 0, 2**62, whole=True),
    }


def _number(
    asked: dict[str, Any], name: str, default: float, low: float, high: float, whole: bool = False
) -> Any:
    value = asked.get(name)
    value = default if value is None else value
    kinds = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
        raise Refused(f"{name}: a {'whole ' * whole}number from {low:g} to {high:g}; got {value!r}.")
    return value


def _packages() -> None:
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"scaling serve needs the package {error.name}: pip install 'scaling-harness[serve]'."
        ) from error
