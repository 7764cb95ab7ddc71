"""`scaling next TABLE --compute 1e15`: the runs to train next, what each is worth, and when to stop."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml  # type: ignore[import-untyped]

from analysis.fitting.runs import FitError, Runs
from analysis.forecast.advise import Advice, advise_runs, seeds_of
from analysis.forecast.hardware import Price
from analysis.laws.law import Array
from analysis.table import RunTable, load_runs, split_comparable
from experiments.commands.forecast import number
from experiments.commands.price import add_price, price_asked
from experiments.commands.source import add_laws, add_table, add_wandb, describe_table, read_table
from experiments.terminal import wrapped
from scaling.records.storage import write_atomic
from scaling.study.extensions import load_extensions
from scaling.study.sources import config_folder

SUFFIXES = (".yaml", ".yml")  # of a study's file


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scaling next", description=__doc__)
    add_table(parser)
    parser.add_argument("--compute", type=number, required=True, help="target budget 6 N D [FLOP]")
    parser.add_argument(
        "--spend", type=number, help="FLOPs for all these runs together (default: a quarter of the table's)"
    )
    parser.add_argument(
        "--trunks",
        type=Path,
        metavar="runs/NAME",
        help="resume the trunks in this folder, paying only for added steps",
    )
    parser.add_argument(
        "--tolerance", type=float, default=0.005, help="waste at which to stop (default .005)"
    )
    parser.add_argument(
        "--shortest",
        type=number,
        metavar="TOKENS",
        help="propose no runs shorter than this (default: a quarter of the shortest; in a study, at least "
        "four warm-ups)",
    )
    parser.add_argument("--arm", help="which arm of the table, by its label (default: the only one)")
    parser.add_argument("--to", type=Path, metavar="FILE.yaml", help="write the runs as a study")
    parser.add_argument(
        "--base",
        metavar="STUDY",
        help="study to take all other settings from: a name or a file (default: the table's own)",
    )
    parser.add_argument("--run", action="store_true", help="train them now; needs --to")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    add_laws(parser)
    parser.set_defaults(resamples=200)
    add_price(parser)
    add_wandb(parser)
    return parser


def main(arguments: list[str]) -> int:
    asked = _parser().parse_args(arguments)
    if asked.run and asked.to is None:
        raise ValueError("--run trains the study that --to names; add --to next.yaml.")
    if asked.extension or asked.law:
        load_extensions(asked.extension)
    table = read_table(asked)
    part = only_part(table, asked.arm)
    base = asked.base or base_of(table)
    if asked.to and base is None:
        raise ValueError(
            f"--to: the settings of these runs are not known here: conf/study has no {table.study}. Name the "
            "study that they are of, or its file: --base ./mine.yaml."
        )
    buildable, shortest = limits_of(base) if asked.to else (None, 1.0)
    advice = advise_runs(
        Runs.of_table(part, ("N", "D")),
        asked.compute,
        asked.spend,
        laws=tuple(asked.law or ()),
        trunks=trunks_of(asked.trunks),
        buildable=buildable,
        shortest=asked.shortest or shortest,
        tolerance=asked.tolerance,
        resamples=asked.resamples,
        seed=asked.seed,
        level=asked.level,
    )
    target = price_asked(asked, asked.compute, advice.now.N.value)
    files = write_study(advice, asked.to, base, part) if asked.to and base else []
    if asked.wandb:
        from experiments.wandb_fit import mirror_advice

        mirror_advice(asked.wandb, table, advice)
    show(asked, table, part, advice, target, files)
    return train(files) if asked.run and files else 0


def show(
    asked: argparse.Namespace,
    table: RunTable,
    part: RunTable,
    advice: Advice,
    target: Price | None,
    files: list[Path],
) -> None:
    """Print the advice, what it costs elsewhere, and the studies that were written."""
    if asked.json:
        body = {**advice.to_dict(), "source": table.source, "files": list(map(str, files))}
        print(json.dumps({**body, "price": target and target.to_dict()}, indent=1, allow_nan=False))
    else:
        print(describe_table(table, [part]) + "\n\n" + wrapped(str(advice)))
        if target is not None:
            print(wrapped(f"  the target {target}"))
            device = price_asked(asked, max(advice.cost, 1.0), max((r.N for r in advice.runs), default=1.0))
            if advice.runs and device is not None:
                print(wrapped(f"  these runs {device}"))
        for file in files:
            print(f"\nwritten: {file}; `scaling plan study={named(file)}` shows its runs")


def limits_of(base: str | None) -> tuple[Callable[[Array], Array] | None, float]:
    """What maps sizes to the nearest that models of a study have, and the tokens of its shortest useful run.

    Where a command trains the models, nothing is known of either: None and 1.

    Raises:
        PlanError: for a study that cannot be composed.
    """
    from scaling.study.compose import compose_study
    from scaling.study.decide import nearest_params, shortest_budget

    asked = [f"study={base}"] if base else ["model.params=1e5", "budget.tokens=1e6"]
    config = compose_study(asked).jobs[0].config
    if config.trainer.kind != "builtin":
        return None, 1.0

    def nearest(sizes: Array) -> Array:
        found = [nearest_params(config, float(size)) for size in sizes]
        return np.array([size for size in found if size is not None], dtype=float)

    return nearest, shortest_budget(config)


def only_part(table: RunTable, label: str | None) -> RunTable:
    """The comparable part that was named, or the only one.

    Raises:
        ValueError: where there are several, or none of that name.
    """
    parts = split_comparable(table)
    if label is None and len(parts) == 1:
        return next(iter(parts.values()))
    if label not in parts:
        what = f"--arm: {label!r} is none of them" if label else "--arm: advice is for one recipe"
        raise ValueError(f"{what}; the table has {', '.join(map(repr, parts))}.")
    return parts[label]


def trunks_of(folder: Path | None) -> dict[float, float] | None:
    """Size → tokens up to which a constant-rate trunk of it was trained; None where none are to be resumed.

    Raises:
        ValueError: for a folder without such trunks.
    """
    if folder is None:
        return None
    rows = load_runs(folder).rows
    if "schedule" in rows:
        rows = rows[rows["schedule"].astype(str) == "trunk"]
    if rows.empty or "trunk_id" not in rows:
        raise ValueError(f"--trunks: {folder} has no trunk of constant rate to resume.")
    longest = rows.groupby("params")["tokens"].max()
    return dict(zip(longest.index.to_numpy(float).tolist(), longest.to_numpy(float).tolist(), strict=True))


def base_of(table: RunTable) -> str | None:
    """The study whose runs these are, where it is one that can be named."""
    folders = (Path("conf"), Path(config_folder()))
    known = any((folder / "study" / f"{table.study}.yaml").is_file() for folder in folders)
    return table.study if known else None


def write_study(advice: Advice, path: Path, base: str, part: RunTable) -> list[Path]:
    """Write the runs as studies that train them and nothing else: one file for each list of budgets.

    Raises:
        ValueError: for a name that is none of a study.
        FitError: where no run is worth training.
    """
    if path.suffix not in SUFFIXES or not path.stem.replace("-", "_").isidentifier():
        raise ValueError(f"--to: a file like next.yaml, letters and digits; got {path}.")
    if not advice.runs:
        raise FitError(f"nothing to write: {advice.stop}.")
    by_size: dict[tuple[float, int], list[float]] = {}
    for run, seed in zip(advice.runs, seeds_of(advice.runs, part), strict=True):
        by_size.setdefault((run.N, seed or 0), []).append(run.D)
    groups: dict[tuple[tuple[float, ...], int], list[float]] = {}
    for (size, own), asked in by_size.items():
        groups.setdefault((tuple(sorted(asked)), own), []).append(size)
    files = []
    for place, ((budgets, seed), sizes) in enumerate(groups.items(), 1):
        file = path if place == 1 else path.with_name(f"{path.stem}-{place}{path.suffix}")
        write_atomic(file, _study(advice, path.stem, base, budgets, sorted(sizes), seed).encode())
        files.append(file)
    return files


def _study(
    advice: Advice, name: str, base: str, budgets: tuple[float, ...], sizes: list[float], seed: int
) -> str:
    """A study of these runs: on top of one that has a name, or with the settings of a file."""
    of_file = Path(base).suffix in SUFFIXES
    body: dict[str, Any] = _settings_in(Path(base)) if of_file else {"defaults": [base]}
    swept = ((body.pop("hydra", None) or {}).get("sweeper") or {}).get("params") or {}
    chosen = ("model.params", "model.width", "model.depth", "seed")
    axes = {key: value for key, value in swept.items() if key not in chosen and key[:7] != "budget."}
    if isinstance(body.get("model"), dict):
        body["model"] = {k: v for k, v in body["model"].items() if f"model.{k}" not in chosen}
    axes["model.params"] = ",".join(f"{size:.6g}" for size in sizes)
    if seed:
        axes["seed"] = str(seed)
    body |= {
        "name": name,
        "question": f"Which size is best for {advice.compute:.4g} FLOP?",
        "budget": {"tokens": [float(f"{budget:.6g}") for budget in budgets]},
        "hydra": {"sweeper": {"params": axes}},
    }
    why = (
        f"# Chosen to lower the expected waste of a run of {advice.compute:.4g} FLOP, "
        f"{100 * advice.now.regret:.2g} % before these runs.\n"
    )
    return f"# @package _global_\n{why}{yaml.safe_dump(body, sort_keys=False)}"


def _settings_in(file: Path) -> dict[str, Any]:
    """What a study's file says; its extensions are found from anywhere.

    Raises:
        ValueError: for a file that is no mapping of keys.
    """
    body = yaml.safe_load(file.read_text())
    if not isinstance(body, dict):
        raise ValueError(f"--base: {file} is no study: keys and their values are needed.")
    if extensions := body.get("extensions"):
        body["extensions"] = [str((file.parent / one).resolve()) for one in extensions]
    return body


def named(file: Path) -> str:
    """A file as `study=` takes it."""
    return str(file) if file.is_absolute() else f"./{file}"


def train(files: list[Path]) -> int:
    """Run each study; the first that fails ends it."""
    from experiments.commands.run import main as run

    for file in files:
        if code := run([f"study={named(file)}"]):
            return code
    return 0


if __name__ == "__main__":
    from experiments.cli import run_verb

    sys.exit(run_verb("next", sys.argv[1:]))
