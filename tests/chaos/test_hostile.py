"""Hostile configs, run folders, names, tables and checkpoints: a canary file never appears.

Whoever writes the config of a study is trusted with the machine: Hydra instantiates what `hydra.*` keys name.
What is asked of the harness's own keys, and all that lies in a runs folder or a table, is data.
"""

from __future__ import annotations

import csv
import hashlib
import html.parser
import io
import json
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis.fitting.bootstrap.replicates import Bootstrap
from analysis.forecast.findings import Question, fit_study
from analysis.report.formats import plain_text, to_csv
from analysis.report.write import write_report
from analysis.table import SetAside, load_runs
from experiments.cli import main
from scaling.capability.finished import open_finished
from scaling.data.corpora import open_dataset
from scaling.launch.job import TrunkJob
from scaling.records.record import encode_record, read_study
from scaling.records.storage import load_checkpoint
from scaling.study.plan import plan_study
from scaling.training.state import read_checkpoint
from scaling.training.train import train_trunk
from tests.analysis.synthetic import write_study
from tests.chaos.hostile import FORMULAS, MARKUP, NAMES, TARGETS, TEXTS, pickles
from tests.chaos.table import Tally

pytestmark = pytest.mark.chaos


class Canary:
    """The file that must not be, under a name that payloads can carry."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, payload: Any) -> Any:
        """The payload with CANARY replaced by the path, in all its strings."""
        return json.loads(json.dumps(payload).replace("CANARY", str(self.path)))

    def sings(self, what: Any) -> str | None:
        if not self.path.exists():
            return None
        self.path.unlink()
        return f"ran: {what!r}"


@pytest.fixture
def canary(tmp_path: Path) -> Canary:
    return Canary(tmp_path / "canary")


# Configs.


def hostile_overrides() -> Iterator[list[str]]:
    for target in TARGETS:
        flow = json.dumps(target)
        yield [f"+training.extra={flow}"]
        yield [f"+data.settings.x={flow}"]
    for text in TEXTS:
        quoted = "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
        yield [f"data.corpus={quoted}"]
        yield [f"question={quoted}", f"name={quoted}"]


def usual_overrides(task: TrunkJob, runs: Path) -> list[str]:
    """A study that can be planned."""
    return [
        *("model=decoder", "model.params=6e3", "budget.tokens=6e3", "data=text", "data.vocab=256"),
        *("data.context=32", "data.heldout_fraction=0.2", f"data.paths={list(task.trunk.spec.data.paths)}"),
        *("training.evaluation_tokens=2048", "training.curve_tokens=1024", "training.sequences=4"),
        *(f"cache={task.cache}", f"runs={runs}", "training.warmup_steps=4"),
    ]


@pytest.mark.battery(17)
def test_what_is_asked_is_never_run(
    tasks: list[TrunkJob], canary: Canary, tmp_path: Path, tally: Tally
) -> None:
    usual = usual_overrides(tasks[0], tmp_path / "runs")
    assert plan_study(usual).trunks  # what is refused below is refused for the payload
    for words in hostile_overrides():
        words = canary(words)
        try:
            plan = plan_study([*usual, *words])
            wrong = None if plan.folder.resolve().parent == tmp_path / "runs" else f"leads to {plan.folder}"
            json.dumps(plan.to_dict())
            tally.facts["planned as plain text"] += 1
        except (ValueError, OSError):
            tally.facts["refused"] += 1
            wrong = None
        tally.case(canary.sings(words) or wrong)
    assert tally.cases >= 30
    assert not tally.failures


@pytest.mark.battery(17)
def test_what_lies_in_a_runs_folder_is_never_run(canary: Canary, tmp_path: Path, tally: Tally) -> None:
    """Payloads in spec, record, plan, failure and column files, read by every command that reads them."""
    for number, payload in enumerate(canary([*TARGETS, *TEXTS])):
        study = tmp_path / str(number)
        records = write_study(study)
        spec, said = {"trunk": payload, "x": payload}, str(payload)
        first = replace(records[0], spec=spec, data=said, versions={"x": said})
        home = study / first.trunk_id / first.run_id
        (home / "record.json").write_bytes(encode_record(first))
        (home / "spec.json").write_text(json.dumps(payload))
        (home / "evaluations").mkdir(exist_ok=True)
        (home / "evaluations" / "x.json").write_text(json.dumps(payload))
        plan = json.loads((study / "plan.json").read_text())
        plan["question"] = str(payload)
        plan["runs"].append({"run_id": str(payload), "trunk_id": first.trunk_id, "extra": payload})
        (study / "plan.json").write_text(json.dumps(plan))
        columns = study / "columns.yaml"
        columns.write_text(payload if isinstance(payload, str) else json.dumps(payload))
        (study / "table.csv").write_text("params,tokens,loss\n1e6,1e7,3.0\n")
        for act in (
            lambda: read_study(study),  # noqa: B023
            lambda: load_runs(study),  # noqa: B023
            lambda: load_runs(study / "table.csv", columns=columns),  # noqa: B023
            lambda: open_finished(home),  # noqa: B023
            lambda: main(["status", str(study)]),  # noqa: B023
        ):
            try:
                act()
            except (ValueError, OSError, KeyError, TypeError) as error:
                tally.facts[f"refused with {type(error).__name__}"] += 1
        tally.case(canary.sings(payload))
    assert not tally.failures


@pytest.mark.battery(17)
def test_a_mapping_that_explodes_is_read_at_once(tmp_path: Path, tally: Tally) -> None:
    """Aliases of aliases: 201 bytes that cost a loader which expands them a minute and half a gigabyte."""
    table = tmp_path / "table.csv"
    table.write_text("params,tokens,loss\n1e6,1e7,3.0\n2e6,1e7,2.9\n")
    for depth in (8, 12, 20):
        lines = ["a0: &a0 [x, x, x, x, x, x, x, x]"]
        lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 8)}]" for i in range(1, depth)]
        columns = tmp_path / f"{depth}.yaml"
        columns.write_text("\n".join(lines))
        with pytest.raises(ValueError, match="column mapping") as refusal:
            load_runs(table, columns=columns)
        tally.case(None if len(str(refusal.value)) < 10_000 else "its refusal explodes")
    assert not tally.failures


# Names.


@pytest.mark.battery(17)
def test_no_name_leads_out_of_the_runs_folder(tasks: list[TrunkJob], tmp_path: Path, tally: Tally) -> None:
    """As the name of a study, planned and written as `scaling run` does: refused, or taken as it stands."""
    from scaling.launch.study import save_plan

    root = tmp_path / "deep" / "in" / "runs"
    usual = usual_overrides(tasks[0], root)
    for name in NAMES:
        quoted = "'" + name.replace("\\", "\\\\").replace("'", "\\'") + "'"
        try:
            plan = plan_study([*usual, f"name={quoted}"])
            save_plan(plan)
            wrong = None if plan.folder.resolve() == root / name else f"{name!r} leads to {plan.folder}"
            tally.facts["taken as it is"] += 1
        except (ValueError, OSError):
            wrong = None
            tally.facts["refused"] += 1
        tally.case(wrong)
    outside = [p for p in tmp_path.rglob("*") if p.is_file() and not p.is_relative_to(root)]
    assert tally.cases >= 40
    assert tally.facts["refused"] >= 30
    assert not tally.failures
    assert outside == []


# Reports and tables.


class Skeleton(html.parser.HTMLParser):
    """Every tag of a page with the names of its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = tuple(name for name, _ in attrs)
        assert not any(name.startswith("on") for name in names)
        if tag not in ("use", "path"):  # letters of a figure are drawn, and another name has others
            self.tags.append((tag, names))


@pytest.mark.battery(17)
def test_no_name_becomes_markup(tmp_path: Path, tally: Tally) -> None:
    """The page with these names has the tags and attributes of the page with harmless ones, no more."""
    write_study(tmp_path / "study")
    pages = {}
    for kind, texts in (("plain", [f"name {i}" for i in range(len(MARKUP))]), ("hostile", MARKUP)):
        table = load_runs(tmp_path / "study")
        names = [f"{texts[i % len(texts)]} {i}" for i in range(len(table))]
        table = replace(
            table,
            rows=table.rows.assign(family=texts[1], data=texts[4], run_id=names),
            study=" ".join(texts),
            set_aside=tuple(SetAside(text, text) for text in texts),
            notes=tuple(texts),
        )
        findings = fit_study(table, Question(("chinchilla",), bootstrap=Bootstrap(resamples=0)))
        written = write_report(table, findings, tmp_path / kind, question=" ".join(texts))
        pages[kind] = written["index.html"].read_text()
    for text in MARKUP:
        raw = text in pages["hostile"] and "<" in text
        tally.case(f"{text} stands there raw" if raw else None)
    assert not tally.failures
    assert Skeleton(pages["hostile"]).tags == Skeleton(pages["plain"]).tags


@pytest.mark.battery(17)
@pytest.mark.parametrize("text", FORMULAS)
def test_no_name_becomes_a_formula(text: str, tally: Tally) -> None:
    _, row = csv.reader(io.StringIO(to_csv([text], [[text]]), newline=""))
    tally.case(f"{row}" if row[0][:1] in "=+-@\t\r" else None)
    assert plain_text(text) == f"'{text}"
    assert not tally.failures


# Pickles.


@pytest.mark.battery(17)
def test_no_pickle_is_ever_run(tasks: list[TrunkJob], tmp_path: Path, canary: Canary, tally: Tally) -> None:
    """As a checkpoint whose name has the right hash, as a record, and as a table."""
    dataset, trunk = open_dataset(tasks[0].trunk.spec.data, tasks[0].cache), tasks[0].trunk
    for name, content in pickles(canary.path).items():
        folder = tmp_path / name.replace(" ", "-") / trunk.spec.id
        home = folder / "checkpoints"
        home.mkdir(parents=True)
        (home / f"step-00000001-{hashlib.sha256(content).hexdigest()[:32]}.pt").write_bytes(content)
        record = folder / trunk.runs[0].id / "record.json"
        record.parent.mkdir()
        record.write_bytes(content)
        tables = [folder / f"table{suffix}" for suffix in (".csv", ".json", ".jsonl", ".parquet", ".pkl")]
        for table in tables:
            table.write_bytes(content)
        for act in (
            lambda: load_checkpoint(folder, read_checkpoint),  # noqa: B023
            lambda: train_trunk(trunk, dataset, folder.parent, study="x", threads=1),  # noqa: B023
            *(lambda table=table: load_runs(table) for table in tables),
        ):
            with pytest.raises((ValueError, RuntimeError, pickle.UnpicklingError)):
                act()
            tally.case(canary.sings(name))
        assert (record.parent / "quarantine" / record.name).read_bytes() == content
    assert not tally.failures
    pickle.loads(pickles(canary.path)["plain"])
    assert canary.sings("the bait itself"), "a canary that cannot sing proves nothing"
