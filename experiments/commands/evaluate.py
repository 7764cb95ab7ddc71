"""`scaling evaluate RUNS`: what finished runs can do, as trained and compressed; a small file a score."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from experiments.extension import add_extension
from experiments.terminal import Column, table
from scaling.records.evaluation import Evaluation
from scaling.records.record import StudyRecords, read_study
from scaling.study.extensions import load_extensions

DEFAULT = "next_line,well_formed,variable_misuse,recall"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scaling evaluate", description=__doc__)
    parser.add_argument("folder", help="a study's runs folder, e.g. runs/demo")
    parser.add_argument(
        "--tasks",
        type=_words,
        default=None,
        help=f"names, or files of one's own as NAME:PATH.jsonl (default {DEFAULT}; with --loss, none)",
    )
    parser.add_argument(
        "--loss",
        action="append",
        default=[],
        metavar="NAME:PATHS",
        help="also the loss on this text, as the column loss_NAME, e.g. prose:'books/*.txt'; may be repeated",
    )
    parser.add_argument("--quantise", type=_words, default=[], metavar="BITS", help="e.g. 8,4,3,2")
    parser.add_argument("--prune", type=_words, default=[], metavar="FRACTIONS", help="e.g. 0.25,0.5,0.75")
    parser.add_argument("--cache", default="~/.cache/scaling", help="of the corpus, as for scaling run")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.add_argument("--workers", type=int, help="runs at a time (default: the cores; 1 on a GPU)")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    add_extension(parser, "a family or a task")
    asked = parser.parse_args(arguments)
    load_extensions(asked.extension)
    settings: list[dict[str, Any]] = [{"quantise": int(bits)} for bits in asked.quantise]
    settings += [{"prune": float(part)} for part in asked.prune]
    chosen = asked.tasks if asked.tasks is not None else [] if asked.loss else _words(DEFAULT)
    tasks = [name for name in chosen if name != "none"]
    from scaling.launch.evaluate import evaluate_study  # PyTorch takes seconds to import: help does without

    scores = evaluate_study(
        read_study(asked.folder),
        tasks,
        settings,
        sets=asked.loss,
        cache=asked.cache,
        device=asked.device,
        workers=asked.workers,
    )
    if asked.json:
        body = {
            "scores": [asdict(score) for score in scores.found],
            "failures": scores.failures,
            "refused": scores.refused,
        }
        print(json.dumps(body, indent=1, allow_nan=False))
    else:
        print(describe(read_study(asked.folder), scores.found))
        for reason in (*scores.refused, *scores.failures.values()):
            print(f"\nnot measured: {reason}")
    return 1 if scores.failures else 0


def describe(study: StudyRecords, scores: Sequence[Evaluation]) -> str:
    """A row a run and setting, a column a task."""
    names = list(dict.fromkeys(score.name for score in scores))
    cells: dict[tuple[str, str], dict[str, Evaluation]] = {}
    for score in scores:
        cells.setdefault((score.run_id, _say(score.setting)), {})[score.name] = score
    records = {record.run_id: record for record in study.done}
    rows = sorted(cells, key=lambda key: (records[key[0]].flops, key[0]))
    columns = [
        Column("run", [run for run, _ in rows], left=True),
        Column("setting", [setting for _, setting in rows], rank=1, left=True),
    ]
    for name in names:
        shown = [cells[row].get(name) for row in rows]
        columns.append(Column(name, [f"{s.value:.3f} ± {s.se:.3f}" if s else "·" for s in shown]))
    first = {score.name: score for score in scores}
    chance = [
        f"{name} {first[name].chance:.3g} of {first[name].items}"
        for name in names
        if not name.startswith("loss")
    ]
    return table(columns) + (f"\n\nby chance: {', '.join(chance)}" if chance else "")


def _say(setting: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in setting.items()) or "as trained"


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
