"""What the pages print is run, page by page, in one folder with small studies and tables prepared for them.

Only what costs little is trained: a command whose study is larger is planned instead. What needs a cluster, a
network or a server that never ends is held by `test_commands.py` alone.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
import pytest

import scaling
from experiments.cli import main
from experiments.commands import guide
from experiments.commands.new import write_study
from scaling.records.record import find_record_files
from scaling.study.plan import plan_studies
from scaling.study.sources import Sources
from tests.docs.pages import PAGES, ROOT, Block, blocks, commands, lines_of, name_of, ours, split_commands

pytestmark = pytest.mark.slow
AFFORDABLE = 3e10  # [FLOP] of a study that is trained
ELSEWHERE = re.compile(
    r"launcher|torchrun|online|wandb:|huggingface|optuna|parallel=|-m$|--follow|serve|--tune|RATES"
)
SMALL = [
    *("tracking=off", "workers=1", "data.vocab=256", "data.context=32", "data.limit_bytes=2e6"),
    *("model.params=5e3,8e3", "budget.tokens=[2e3,5e3]", "training.sequences=4", "training.warmup_steps=3"),
    *("model.width=null", "model.depth=null", "data.heldout_fraction=0.2"),  # a study may sweep shapes
    *("training.threads=1", "training.evaluation_tokens=2048", "training.curve_evaluations=3"),
    "training.curve_tokens=1024",
]
STUDIES = {  # folder → what is trained for it
    "demo": ["model.params=5e3,8e3,1.2e4,2e4", "budget.tokens=[4e3,8e3,1.6e4]"],
    "smoke": ["model.params=5e3,8e3,1.2e4,2e4", "budget.tokens=[4e3,8e3,1.6e4]"],
    "first": ["model.params=5e3,8e3,1.2e4,2e4", "budget.tokens=[4e3,8e3,1.6e4]"],
}
SPLIT = {page: commands(page) for page in PAGES if "experiments" not in name_of(page)}


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which the commands of the pages find what they name."""
    folder, before = tmp_path_factory.mktemp("workshop"), Path.cwd()
    os.chdir(folder)
    Path("experiments").symlink_to(ROOT / "experiments")
    Path("books").mkdir()
    for i in range(30):
        Path(f"books/{i:02d}.txt").write_text("\n".join(f"item {i} is {i * j % 97}." for j in range(400)))
    Path("train.py").write_text((ROOT / "tests/trainers/tiny_train.py").read_text())
    write_study("mine")
    for name, overrides in STUDIES.items():
        scaling.run_study("smoke", [*small(), f"name={name}", *overrides], progress=False)
    for name in ("mine", "big", "ladder", "books", "my_study"):
        Path(f"runs/{name}").symlink_to("demo")
    write_tables(pd.read_csv(ROOT / "experiments/demo/runs.csv"))
    for page in SPLIT:  # here rather than with its page: a page may use the file of another
        for block in blocks(page):
            if block.file is not None and not Path(block.file).exists():
                Path(block.file).parent.mkdir(parents=True, exist_ok=True)
                Path(block.file).write_text(block.text)
    yield folder
    os.chdir(before)


def small() -> list[str]:
    """Overrides that make any study small, its cache beside it."""
    return [*SMALL, "cache=cache"]


def write_tables(runs: pd.DataFrame) -> None:
    """Tables under the names, and with the columns, that pages speak of."""
    plain = runs[["params", "tokens", "loss", "flops", "learning_rate", "trunk_id"]]
    named = plain.assign(
        ppl=runs["loss"].rpow(2.718281828459045), tokens_b=runs["tokens"] / 1e9, state="finished"
    )
    named = named.assign(kind="run", outlier=False).rename(columns={"params": "Model Size"})
    named.to_csv("table.csv", index=False)
    plain.to_csv("runs.csv", index=False)
    plain.assign(kind="run").to_csv("export.csv", index=False)
    runs.groupby("flops")["loss"].min().reset_index().to_csv("frontier.csv", index=False)
    plain.assign(**{"Size (M)": runs["params"] / 1e6}).drop(columns="params").to_csv(
        "theirs.csv", index=False
    )
    curves = pd.DataFrame(
        {"run": f"r{n}", "params": n * 1e6, "tokens": t * 1e8, "loss": 1.5 + 4 / (n * t) ** 0.2}
        for n in (1, 2, 4, 8, 16)
        for t in range(1, 41)
    )
    curves.to_csv("ladder.csv", index=False)
    curves[["tokens", "loss"]].head(20).to_csv("curve.csv", index=False)
    with open("reviews.csv", "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "label"])
        rows.writerows((f"item {i} is {'good' if i % 2 else 'bad'}", i % 2) for i in range(80))


def words_of(program: str, words: Sequence[str]) -> list[str] | None:
    """A command as it is run here; None where it is not."""
    line = " ".join(words)
    if program != "scaling" or len(words) < 2 or ELSEWHERE.search(line):
        return None
    run = next(path.parent for path in find_record_files(Path("runs/demo")))
    words = [re.sub(r"^(RUN|runs/my_study/TRUNK/RUN)$", str(run), word) for word in words]
    if any(re.search(r"(^|[=/])[A-Z]{3,}\b", word) for word in words):  # NAME, FOLDER: prose
        return None
    if words[0] == "compare":
        words = [
            re.sub(r"^(runs/muon|runs\.csv)$", "experiments/optimizers/runs.csv", word) for word in words
        ]
    if words[0] == "new":
        return ["new", f"{words[1]}_{len(list(Path('conf/study').iterdir()))}"]
    if words[0] not in ("plan", "run"):
        return words
    flags = [word for word in words[1:] if word.startswith("-")]
    overrides = [*small(), *(word for word in words[1:] if "=" in word and not word.startswith("-"))]
    if "--cfg" in flags:
        return [words[0], *overrides, "--cfg", "job"]
    if any(word.startswith(("budget.compute", "budget.tokens_per_param")) for word in words):
        overrides.append("budget.tokens=null")
    if any("trainer=command" in word for word in words):
        overrides = ["tracking=off", *words[1:]]
    flops = sum(t.flops for plan in plan_studies(overrides, Sources.here(None, None)) for t in plan.trunks)
    return [words[0] if flops < AFFORDABLE else "plan", *overrides, *(f for f in flags if f != "--simulate")]


@pytest.mark.parametrize("page", SPLIT, ids=name_of)
def test_the_commands_of_a_page_run(page: Path, workshop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for program, words in SPLIT[page]:
        typed = words_of(program, words)
        if typed is not None:
            code = main(typed)
            said = capsys.readouterr()
            assert code == 0 or (code == 1 and typed[0] in ("watch", "doctor")), (
                f"{typed}\n{said.err or said.out}"
            )


CONSOLE = [block for page in PAGES for block in blocks(page) if block.language == "console"]


@pytest.mark.parametrize("block", CONSOLE, ids=str)
def test_printed_output_has_the_shape_of_what_is_printed_now(
    block: Block, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers differ between machines; labels, columns and their order do not."""
    monkeypatch.chdir(ROOT)
    (line,) = lines_of(block)
    ((_, words),) = (found for words in split_commands(line) if (found := ours(words)))
    assert main(words) == 0
    now = shape(capsys.readouterr().out)
    printed = [line for line in block.text.splitlines()[1:] if "…" not in line]
    missing = [line for line in printed if shape(line) not in now]
    assert not missing, "\n".join(missing)


def shape(text: str) -> str:
    """A text without its numbers, line breaks and the width of its columns."""
    number = r"[-+]?[\d.,]+(e[-+]?\d+)?[kM]?( min \d+ s| h \d+ min| min| s| h)*"
    return re.sub(r"\s+", " ", re.sub(number, "0", text)).strip()


def test_the_guide_names_keys_that_commands_print(workshop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for step in guide.STEPS:
        if step.read and "watch" not in step.command:
            typed = words_of("scaling", step.command.split()[1:])
            assert typed is not None
            code, said = main(typed), capsys.readouterr()
            assert code in (0, 1), f"{step.command}\n{said.err}"
            found = json.loads(said.out)
            assert set(step.read) <= found.keys(), f"{step.command}: {sorted(found)}"
