"""`scaling evaluate RUNS`: what finished runs can do, as trained and compressed; one small file per score."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from experiments.extension import add_extension
from experiments.terminal import Column, plural, table
from scaling.records.evaluation import Evaluation
from scaling.records.record import StudyRecords, read_study
from scaling.study.extensions import load_extensions

DEFAULT = "next_line,well_formed,variable_misuse,recall"


def main(arguments: list[str]) -> int:
    asked = _parser().parse_args(arguments)
    load_extensions(asked.extension)
    chosen = asked.tasks if asked.tasks is not None else [] if asked.loss else _words(DEFAULT)
    tasks = [name for name in chosen if name != "none"]
    from scaling.capability.measure import INSTEAD  # PyTorch takes seconds to import: help does without
    from scaling.launch.evaluate import evaluate_study

    scores = evaluate_study(
        read_study(asked.folder),
        tasks,
        _compressions(asked),
        sets=asked.loss,
        cache=asked.cache,
        device=asked.device,
        workers=asked.workers,
        tunings=_tunings(asked),
        heard=_say_progress,
    )
    if asked.to:
        from analysis.table.scores import score_rows

        score_rows(asked.folder).to_csv(asked.to, index=False)
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
        if scores.refused:
            print(f"\n{INSTEAD}")
        if asked.to:
            print(f"\n{asked.to}: every score so far, for scaling fit")
    return 1 if scores.failures else 0


def _say_progress(run_id: str, number: int, of: int) -> None:
    """A line on standard error for each run: measuring takes seconds to minutes a run."""
    line = f"measured {run_id}, {number} of {of}" if number else f"measuring {plural(of, 'run')} …"
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scaling evaluate", description=__doc__)
    parser.add_argument("folder", help="a study's runs folder, e.g. runs/demo")
    parser.add_argument(
        "--tasks",
        type=_words,
        default=None,
        help=f"task names, your own files as NAME:PATH.jsonl, or labelled ones as classify:FILE, tag:FILE, "
        f"answer:FILE, write:FILE (default {DEFAULT}; with --loss, none); see docs/your-task.md",
    )
    parser.add_argument(
        "--loss",
        action="append",
        default=[],
        metavar="NAME:PATHS",
        help="also measure the loss on this text, as the column loss_NAME, e.g. prose:'books/*.txt'; may be "
        "given several times",
    )
    parser.add_argument(
        "--quantise", type=_words, default=[], metavar="BITS", help="bits per weight, e.g. 8,4,3,2"
    )
    parser.add_argument(
        "--group", type=int, help="with --quantise: one scale per this many weights, not per row"
    )
    parser.add_argument(
        "--prune", type=_words, default=[], metavar="FRACTIONS", help="weights to drop, e.g. 0.25,0.5,0.75"
    )
    parser.add_argument(
        "--cache", default="~/.cache/scaling", help="folder of token files, as for scaling run"
    )
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.add_argument("--workers", type=int, help="runs at a time (default: one per core; 1 on a GPU)")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    add_extension(parser, "a family or a task")
    _add_tuning(parser)
    return parser


def _add_tuning(parser: argparse.ArgumentParser) -> None:
    """The arguments that say how labelled tasks are learnt."""
    group = parser.add_argument_group("fine-tuning on labelled tasks")
    group.add_argument(
        "--examples",
        type=_words,
        default=[],
        metavar="N,…",
        help="numbers of labelled rows, e.g. 64,256,1024",
    )
    group.add_argument(
        "--lora", type=int, metavar="RANK", help="train low-rank updates of this rank, not the weights"
    )
    group.add_argument("--scratch", action="store_true", help="also start from untrained weights, to compare")
    group.add_argument("--seeds", type=int, default=3, help="fine-tuned models per score (default 3)")
    parser.add_argument("--to", metavar="FILE.csv", help="write every score of the study, one per row")


def _compressions(asked: argparse.Namespace) -> list[dict[str, Any]]:
    """Each number of bits and each fraction, as a setting."""
    group = {"group": asked.group} if asked.group else {}
    bits: list[dict[str, Any]] = [{"quantise": int(word), **group} for word in asked.quantise]
    return bits + [{"prune": float(word)} for word in asked.prune]


def _tunings(asked: argparse.Namespace) -> list[Any]:
    """Each number of examples, from trained weights and, where that is asked, from scratch."""
    from scaling.capability.labelled.tuning import Tuning

    numbers: list[int | None] = [_count(word) for word in asked.examples]
    starts = (False, True) if asked.scratch else (False,)
    return [
        Tuning(examples=number, lora=None if scratch else asked.lora, scratch=scratch, seeds=asked.seeds)
        for scratch in starts
        for number in numbers or [None]
    ]


def _count(word: str) -> int:
    try:
        return int(word)
    except ValueError:
        raise ValueError(f"--examples: whole numbers are needed, as in 64,256,1024; got {word!r}.") from None


def describe(study: StudyRecords, scores: Sequence[Evaluation]) -> str:
    """One row per run and setting, one column per task."""
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
    parts = [table(columns)]
    parts += [f"by chance: {', '.join(chance)}"] if chance else []
    by_size = sorted(scores, key=lambda score: records[score.run_id].flops)
    largest = {score.name: score for score in by_size if score.confusion and "scratch" not in score.setting}
    parts += [confusion_text(score) for score in largest.values()]  # --json has those of all
    return "\n\n".join(parts)


def confusion_text(score: Evaluation) -> str:
    """Who is taken for whom: one row per true label, one column per guess; mean counts over seeds."""
    labels = sorted(score.confusion)
    columns = [Column("true \\ said", labels, left=True)]
    for label in labels:
        columns.append(Column(label, [f"{score.confusion[true].get(label, 0):.3g}" for true in labels]))
    return f"{score.name} of {score.run_id}, {_say(score.setting)}\n{table(columns)}"


def _say(setting: dict[str, Any]) -> str:
    words = {"scratch": "from scratch"}
    return ", ".join(words.get(k, f"{k} {v}") for k, v in setting.items()) or "as trained"


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
