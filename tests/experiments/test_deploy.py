"""A finished run packed, exported, loaded again, tuned and served, by the commands that people use."""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from experiments.cli import main
from experiments.commands.serve import Answerer
from experiments.trained import add_model, open_model
from scaling.capability.compress import compress
from scaling.capability.exported import open_exported
from scaling.capability.finished import open_finished
from scaling.models import FAMILIES, input_lengths
from tests.capability.labels import pairs, questions, reviews, sentences, write_jsonl

pytest.importorskip("safetensors.torch", reason="the extra `export` is not installed")
Runs = dict[str, Path]
ROOT = Path(__file__).parents[2]


def cache_of(runs: Runs) -> list[str]:
    return ["--cache", str(runs["decoder"].parents[2] / "cache")]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_packed_export_is_small_and_runs(
    family: str, one_of_each: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, cache = one_of_each[family], cache_of(one_of_each)
    assert main(["export", str(run), "--to", f"{tmp_path}/whole", *cache]) == 0
    assert main(["export", str(run), "--to", f"{tmp_path}/four", "--quantise", "4", *cache]) == 0
    assert main(["export", str(run), "--to", f"{tmp_path}/half", "--prune", "0.5", *cache]) == 0
    capsys.readouterr()
    subject = open_finished(run, cache=cache[1]).subject
    subject.model.float()
    ids = [torch.randint(256, (2, n)) for n in input_lengths(subject.objective, subject.context)]
    for name, setting in (("four", {"quantise": 4}), ("half", {"prune": 0.5}), ("whole", {})):
        loaded, config = open_exported(tmp_path / name)
        assert config.get("compression", {}) == setting
        with torch.no_grad():
            expected = compress(subject.model, setting)[0](*ids)
            torch.testing.assert_close(loaded.model(*ids), expected, rtol=0, atol=1e-6)
    whole, four = ((tmp_path / name / "model.safetensors").stat().st_size for name in ("whole", "four"))
    assert four < 0.35 * whole, "of so small a model, names are a part"
    if family != "masked":
        assert main(["sample", f"{tmp_path}/four", "--prompt", "item 3 has", "--tokens", "9"]) == 0
        one = capsys.readouterr().out
        assert (
            main(["sample", str(run), "--prompt", "item 3 has", "--tokens", "9", "--quantise", "4", *cache])
            == 0
        )
        assert capsys.readouterr().out == one


@pytest.mark.parametrize(
    "family",
    [
        "decoder",
        *(pytest.param(name, marks=pytest.mark.slow) for name in sorted({*FAMILIES} - {"decoder"})),
    ],
)
def test_a_program_gives_the_same_logits(
    family: str, one_of_each: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, cache = one_of_each[family], cache_of(one_of_each)
    assert main(["export", str(run), "--to", str(tmp_path), "--program", *cache]) == 0
    assert "model.pt2" in capsys.readouterr().out
    subject = open_finished(run, cache=cache[1]).subject
    program: Any = torch.export.load(tmp_path / "model.pt2").module()
    ids = [torch.randint(256, (3, n)) for n in input_lengths(subject.objective, subject.context)]
    with torch.no_grad():
        torch.testing.assert_close(program(*ids), subject.model(*ids), rtol=1e-4, atol=1e-4)


def test_a_run_is_tuned_to_write_and_exported(
    one_of_each: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = cache_of(one_of_each)
    path = write_jsonl(tmp_path / "mine.jsonl", pairs(60))
    tuned = ["--tune", f"write:{path}", "--examples", "32", *cache]
    assert (
        main(["sample", str(one_of_each["decoder"]), *tuned, "--prompt", "7 Rome\n=> ", "--tokens", "3"]) == 0
    )
    said = capsys.readouterr().out
    to = ["--to", f"{tmp_path}/out", "--quantise", "8", "--group", "16"]
    assert main(["export", str(one_of_each["decoder"]), *tuned, "--lora", "4", *to]) == 0
    assert json.loads((tmp_path / "out" / "config.json").read_text())["tuned"] == f"write:{path}"
    assert said.startswith("7 Rome\n=> ")
    for words, message in (
        ([str(one_of_each["masked"]), *tuned], "a masked model cannot generate text"),
        ([str(one_of_each["decoder"]), "--tune", "sort:x.csv", *cache], "--tune: classify:FILE, tag:FILE"),
        ([f"{tmp_path}/out", "--quantise", "4"], "an export is used as it is"),
        ([str(one_of_each["decoder"]), "--quantise", "5", *cache], "packed into 2, 3, 4, 8 bits; got 5"),
    ):
        assert main(["sample", *words]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("family", "kind", "rows", "prompt", "legal"),
    [
        ("decoder", "classify", reviews, "no 3: the film was dull", r"(pos|neg)\n"),
        ("encoder_decoder", "tag", sentences, "Anna Smith lives in Oslo", r"(\w+\t(O|[BI]-\w+)\n){5}"),
        ("masked", "tag", partial(sentences, chinese=True), "王芳住在北京", r"(\w\t(O|[BI]-\w+)\n){6}"),
        ("lstm", "answer", questions, "where?\nAnna lives in Oslo.", r"[\w .]+\n"),
    ],
)
def test_a_model_that_was_tuned_on_labels_says_them_from_its_export_too(
    family: str,
    kind: str,
    rows: Callable[[int], list[dict[str, Any]]],
    prompt: str,
    legal: str,
    one_of_each: Runs,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run, cache = str(one_of_each[family]), cache_of(one_of_each)
    tuned = ["--tune", f"{kind}:{write_jsonl(tmp_path / 'mine.jsonl', rows(40))}", "--examples", "16", *cache]
    assert main(["sample", run, *tuned, "--prompt", prompt]) == 0
    said = capsys.readouterr().out
    assert re.fullmatch(legal, said), said
    out = f"{tmp_path}/out"
    more = ["--program"] if kind == "classify" else ["--lora", "2"] if kind == "answer" else []
    assert main(["export", run, *tuned, *more, "--to", out]) == 0
    assert not (tmp_path / "out" / "transformers").exists()
    capsys.readouterr()
    assert main(["sample", out, "--prompt", prompt]) == 0
    again = capsys.readouterr().out
    assert re.fullmatch(legal, again), again
    if kind != "answer":  # there it was tuned in another way
        assert again == said
    answer = Answerer(open_model(parsed(out))).answer(json.dumps({"prompt": prompt}).encode())
    assert answer["choices"][0] == {
        "text": again.removesuffix("\n"),
        "index": 0,
        "logprobs": None,
        "finish_reason": "stop",
    }
    if kind == "answer":
        assert main(["sample", out, "--prompt", "no context"]) == 2
        assert "a question on the first line" in capsys.readouterr().err
    if kind == "classify":
        program: Any = torch.export.load(tmp_path / "out" / "model.pt2").module()
        assert program(torch.randint(256, (3, 32))).shape == (3, 2)


def parsed(folder: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_model(parser)
    return parser.parse_args([folder])


@pytest.fixture
def server(one_of_each: Runs) -> Iterator[tuple[subprocess.Popen[str], str]]:
    pytest.importorskip("uvicorn", reason="in the extra `serve`")
    pytest.importorskip("starlette", reason="in the extra `serve`")
    words = [sys.executable, "-m", "experiments.cli", "serve", str(one_of_each["decoder"]), "--port", "0"]
    process = subprocess.Popen(
        [*words, *cache_of(one_of_each), "--most-bytes", "2000"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert "http://127.0.0.1:" in line, process.communicate()
    yield process, line.split(": ", 1)[1].split(";")[0]
    process.kill()
    process.communicate()


def post(url: str, body: bytes | dict[str, Any], **headers: str) -> tuple[int, dict[str, Any]]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            text = error.read()
        return error.code, json.loads(text) if text.startswith(b"{") else {}


def test_a_server_answers_a_hundred_refuses_what_is_too_long_and_leaves_nothing(
    server: tuple[subprocess.Popen[str], str],
) -> None:
    process, url = server
    asked = {"prompt": "item 3", "max_tokens": 2, "seed": 1}
    status, first = post(url, asked)
    assert (status, first["object"], first["choices"][0]["finish_reason"]) == (
        200,
        "text_completion",
        "length",
    )
    assert first["usage"] == {"prompt_tokens": 6, "completion_tokens": 2, "total_tokens": 8}
    answers = [post(url, asked) for _ in range(99)]
    assert {(status, body["choices"][0]["text"]) for status, body in answers} == {
        (200, first["choices"][0]["text"])
    }
    for body, code, message in (
        (b'{"prompt": "' + b"x" * 3000 + b'"}', 413, "more than 2,000 bytes"),
        ({"prompt": "x" * 33}, 400, "prompt: 33 tokens; the model reads 32"),
        ({"prompt": "x", "max_tokens": 5000}, 400, "max_tokens: a whole number from 1 to 1024; got 5000"),
        ({"prompt": "x", "temperature": "hot"}, 400, "temperature: a number from 0 to 100; got 'hot'"),
        ({"prompt": 3}, 400, "prompt: a text, or a list"),
        ({"prompt": "x", "stream": True}, 400, "not supported"),
        (b"{", 400, "not JSON"),
        (b"[1]", 400, "not a JSON object"),
    ):
        status, said = post(url, body)
        assert (status, message in said["error"]["message"]) == (code, True), said
    assert post(url, asked, Host="evil.example")[0] == 400
    assert len(post(url, {"prompt": ["a", "b"], "max_tokens": 1})[1]["choices"]) == 2
    with urllib.request.urlopen(url.replace("completions", "models"), timeout=60) as answer:
        assert json.load(answer)["data"][0]["id"] == first["model"]
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "", "")
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(url, timeout=5)


def test_a_task_that_the_text_cannot_give_stops_no_other(
    one_of_each: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(one_of_each["decoder"].parents[1])
    asked = [folder, "--workers", "1", *cache_of(one_of_each), "--examples", "8", "--seeds", "1"]
    mine = f"classify:{write_jsonl(tmp_path / 'mine.jsonl', reviews(40))}"
    assert main(["evaluate", *asked, "--tasks", f"well_formed,{mine}"]) == 0
    out = capsys.readouterr().out
    assert "not measured: task 'well_formed': the held-out text gives 0 items" in out
    assert "or ask something else: --tasks NAME:FILE.jsonl" in out
    assert "mine" in out.partition("not measured")[0]
    assert main(["evaluate", *asked, "--tasks", "well_formed"]) == 2
    assert "gives 0 items" in capsys.readouterr().err


def test_what_cannot_be_served_is_refused(one_of_each: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("uvicorn", reason="in the extra `serve`")
    for words, message in (
        ([str(one_of_each["masked"])], "masked models cannot generate text"),
        ([str(one_of_each["lstm"]), "--port", "70000"], "--port: 0 to 65535; got 70000"),
    ):
        assert main(["serve", *words, *cache_of(one_of_each)]) == 2
        assert message in capsys.readouterr().err
